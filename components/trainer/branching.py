"""Fully-adaptive feature sharing (Lu et al. 2017): which filters to start from, which tasks to part, and where.

First the formulas, which are pure, and `TaskAffinity`, which keeps what was seen of the tasks while training. Below
them what is done to networks by those formulas: `widen`, `somp_init` and `svd_init`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from sklearn.cluster import SpectralClustering

from components.config import Factory
from components.serving.signatures import restore_trained
from keras_models.branch_tree import OUTPUT, BranchTree
from keras_models.branched_network import BranchedNetwork
from keras_models.branched_vgg16 import BranchedVGG16, FactorizedVGG16

# Of a row's squared norm: less than that left of it is rounding, the row lies in the span of the chosen ones.
_SPANNED = 1e-12
# Spectral clustering wants a connected graph: scikit-learn mistakes branches without any affinity to another.
_LEAST_AFFINITY = 1e-6


def somp_select(weight: np.ndarray, num_rows: int) -> list[int]:
    """Rows ω* with ‖W - A W_ω‖_F small (Eq. 2), by greedy simultaneous orthogonal matching pursuit.

    Each step takes the row w of largest ‖R wᵀ‖₂ / ‖w‖, R being what least squares on the rows taken so far leaves of W.

    Args:
        weight: W, [d, fan_in].
        num_rows: how many to choose, 1 to d.

    Returns:
        Indices of rows, in the order of choice. The lowest index wins a tie. Once the chosen rows span all of W, every
        score is 0; the rest is then filled up by norm, largest first.

    Raises:
        ValueError: for a number of rows that W does not have.
    """
    weight = np.asarray(weight, np.float64)
    if not 1 <= num_rows <= len(weight):
        raise ValueError(f"Expected 1 to {len(weight)} rows of a weight of shape {weight.shape}, got {num_rows}.")
    # R Rᵀ, whose column k is R w_kᵀ, as R is orthogonal to what was taken out of w_k: a step needs no more than its
    # update, whatever the fan-in.
    gram = weight @ weight.T
    squared_norms = gram.diagonal().copy()
    chosen = []
    for _ in range(num_rows):
        # What is left of a row never grows, so that one chosen stays closed, as one of zeros is from the start.
        open_rows = gram.diagonal() > _SPANNED * squared_norms
        if not open_rows.any():
            break
        scores = np.zeros(len(weight))
        np.divide(np.einsum("ij,ij->i", gram, gram), squared_norms, out=scores, where=open_rows)
        best = int(np.argmax(scores))
        chosen.append(best)
        direction = gram[best] / np.sqrt(gram[best, best])
        gram -= np.outer(direction, direction)
    by_norm = np.argsort(-squared_norms, kind="stable").tolist()
    left = [row for row in by_norm if row not in chosen]
    return chosen + left[: num_rows - len(chosen)]


def task_affinity(difficult: tf.Tensor) -> tf.Tensor:
    """Affinity of tasks (Eq. 6): A(i, j) = E[e_i e_j + (1 - e_i)(1 - e_j)], here over one batch.

    Args:
        difficult: e, [batch, T] of 0 and 1, whether an example is difficult for a task. Any numeric type or booleans.

    Returns:
        [T, T] float32 in [0, 1], symmetric, 1 on the diagonal.
    """
    difficult = tf.cast(difficult, tf.float32)
    return _joint_count(difficult, 1 - difficult) / tf.cast(tf.shape(difficult)[0], tf.float32)


def _joint_count(*flags):
    """How many examples have i and j, summed over the kinds of flags: [batch, T] each -> [T, T]."""
    return tf.add_n([tf.matmul(flag, flag, transpose_a=True) for flag in flags])


class TaskAffinity(tf.Module):
    """Running estimate of Eq. 6: means over all examples so far that weigh less by `decay` with every batch.

    Sums and counts decay alike, so that these are true weighted means from the first batch on, and what is not
    annotated counts nowhere. Plain variables: `tf.train.Checkpoint` keeps them.

    Args:
        num_tasks: T.
        decay: what a batch keeps of its weight when the next one comes.
    """

    def __init__(self, num_tasks: int, decay: float = 0.99):
        super().__init__()
        self.decay = decay
        self.margin_sum = _total([num_tasks])
        self.margin_count = _total([num_tasks])
        self.agreement_sum = _total([num_tasks, num_tasks])
        self.agreement_count = _total([num_tasks, num_tasks])

    def update(self, targets: tf.Tensor, scores: tf.Tensor) -> None:
        """Counts a batch, on several replicas the whole of it.

        An example is difficult where its margin reaches the mean margin before this batch. The first batch that has a
        task annotated sets its mean alone: nothing is there to call its examples difficult.

        Args:
            targets: t, [batch, T] in [0, 1]; negative where not annotated.
            scores: s, [batch, T] in [0, 1].
        """
        replicas = tf.distribute.get_replica_context()
        targets, scores = (replicas.all_gather(tf.cast(x, tf.float32), axis=0) for x in (targets, scores))
        annotated = targets >= 0
        margins = tf.abs(targets - scores)
        difficult = margins >= tf.math.divide_no_nan(self.margin_sum, self.margin_count)
        counted = annotated & (self.margin_count > 0)
        agreements = _joint_count(tf.cast(counted & difficult, tf.float32), tf.cast(counted & ~difficult, tf.float32))
        self._add(self.agreement_sum, agreements)
        self._add(self.agreement_count, _joint_count(tf.cast(counted, tf.float32)))
        self._add(self.margin_sum, tf.reduce_sum(tf.where(annotated, margins, 0), axis=0))
        self._add(self.margin_count, tf.reduce_sum(tf.cast(annotated, tf.float32), axis=0))

    def affinity(self) -> np.ndarray:
        """[T, T] float64 in [0, 1], symmetric; a pair that was never counted has 0.5.

        Raises:
            ValueError: if scores were no numbers.
        """
        if not np.isfinite(self.margin_sum.numpy()).all():
            raise ValueError(
                "The network's scores are no numbers any more, so tasks can't be compared: lower the rate."
            )
        total, count = self.agreement_sum.numpy().astype(np.float64), self.agreement_count.numpy()
        return np.divide(total, count, out=np.full_like(total, 0.5), where=count > 0)

    def _add(self, variable, value):
        variable.assign(self.decay * variable + value)


def _total(shape):
    # All replicas add the same to it.
    first = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return tf.Variable(tf.zeros(shape), trainable=False, aggregation=first)


def branch_affinity(affinity: np.ndarray, branches: Sequence[Sequence[int]]) -> np.ndarray:
    """Affinity of branches (Eqs. 7, 8): A_b = (Ã(k, l) + Ã(l, k)) / 2, Ã(k, l) = mean_{i in k} min_{j in l} A(i, j).

    Args:
        affinity: A, [T, T] of the tasks.
        branches: c of them, each the indices of its tasks, at least one.

    Returns:
        [c, c], symmetric; A itself where each branch has its one task. The diagonal follows the same formula, so that
        it is below 1 where a branch's own tasks differ.
    """
    affinity = np.asarray(affinity)
    one_way = np.array([[affinity[np.ix_(k, l)].min(axis=1).mean() for l in branches] for k in branches])  # noqa: E741
    return (one_way + one_way.T) / 2


def separation_cost(affinity: np.ndarray, groups: Sequence[Sequence[int]]) -> float:
    """L_s (Eqs. 10, 11): the mean over the groups i of 1 - mean_{k in i} min_{l in i} A_b(k, l).

    Args:
        affinity: A_b, [c, c] of the branches.
        groups: each the indices of its branches, at least one.

    Returns:
        0 where nothing dissimilar shares a group, at most 1.
    """
    affinity = np.asarray(affinity)
    return float(np.mean([1 - affinity[np.ix_(group, group)].min(axis=1).mean() for group in groups]))


def branching_costs(
    affinity: np.ndarray,
    pooling_layers_above: int,
    alpha: float,
    max_branches: int | None = None,
    unit_cost: float = 1 / 64,
) -> list[tuple[list[list[int]], float]]:
    """For each number of groups d the grouping and its L = (d - 1)·L0·2^p + α·L_s (Eq. 9).

    Args:
        affinity: A_b, [c, c] of the branches, symmetric in [0, 1].
        pooling_layers_above: p, of the layer to be widened.
        alpha: α, the branching factor: the larger, the more branches.
        max_branches: the largest d; c if there is none or it is larger.
        unit_cost: L0; the paper gives no number, 1/64 is the authors' code's.

    Returns:
        (groups, L) for d = 1, 2, …: the groups by their smallest branch, each sorted. Spectral clustering of the same
        affinity is always the same; should it leave a group empty, the grouping is that of fewer groups and L is
        theirs.

    Raises:
        ValueError: for an affinity that isn't one, a negative α or no branch allowed.
    """
    affinity = np.asarray(affinity, np.float64)
    if affinity.ndim != 2 or affinity.shape[0] != affinity.shape[1] or not affinity.size:
        raise ValueError(f"Expected an affinity of shape [c, c], got {list(affinity.shape)}.")
    if not ((affinity >= 0) & (affinity <= 1)).all():
        raise ValueError(f"Expected affinities in [0, 1], got {affinity.min()} to {affinity.max()}.")
    if not np.allclose(affinity, affinity.T):
        raise ValueError(f"Expected a symmetric affinity; it differs by {np.abs(affinity - affinity.T).max()}.")
    if alpha < 0:
        raise ValueError(f"Expected a branching factor alpha of 0 or more, got {alpha}.")
    if max_branches is not None and max_branches < 1:
        raise ValueError(f"Expected max_branches of 1 or more, or None, got {max_branches}.")
    costs = []
    for number in range(1, min(len(affinity), max_branches or len(affinity)) + 1):
        groups = _grouping(affinity, number)
        creation = (len(groups) - 1) * unit_cost * 2**pooling_layers_above
        costs.append((groups, creation + alpha * separation_cost(affinity, groups)))
    return costs


def choose_branches(
    affinity: np.ndarray,
    pooling_layers_above: int,
    alpha: float,
    max_branches: int | None = None,
    unit_cost: float = 1 / 64,
) -> list[list[int]]:
    """The grouping of smallest L (Eq. 9), of fewer groups on ties.

    Args and errors as of `branching_costs`.
    """
    return cheapest(branching_costs(affinity, pooling_layers_above, alpha, max_branches, unit_cost))


def cheapest(costs: Sequence[tuple[list[list[int]], float]]) -> list[list[int]]:
    """The groups of smallest L among those of `branching_costs`; the fewest on ties."""
    return min(costs, key=lambda entry: entry[1])[0]


def _grouping(affinity, number):
    """Branches in `number` groups: the groups by their smallest branch, each sorted."""
    if number == 1:
        return [list(range(len(affinity)))]
    if number == len(affinity):
        return [[branch] for branch in range(number)]
    clustering = SpectralClustering(number, affinity="precomputed", random_state=0)
    labels = clustering.fit_predict(np.maximum(affinity, _LEAST_AFFINITY))
    return sorted(np.flatnonzero(labels == label).tolist() for label in np.unique(labels))


def widen(model: BranchedNetwork, tree: BranchTree) -> BranchedNetwork:
    """The network with the branches of `tree`, which computes what `model` computes (Eqs. 4, 5).

    Every new branch starts as a copy of the one that its tasks come from, batch-norm statistics among its weights.

    Args:
        tree: with the branches of `model.tree`, or parts of them.

    Raises:
        ValueError: if a branch of `tree` has tasks of several branches of the model.
    """
    wider = model.rebuilt(tree=tree)
    copy_branches(model.weights, wider.weights, model.tree, tree)
    return wider


def copy_branches(
    source: Sequence[tf.Variable], target: Sequence[tf.Variable], old_tree: BranchTree, new_tree: BranchTree
) -> None:
    """Copies variables of a network, or an optimizer's moments of them, to those of the widened network.

    Args:
        source, target: of the same names, in any order.
    """
    values = {variable.name: variable.numpy() for variable in source}
    for variable in target:
        layer = next((layer for layer in new_tree.layers if f"/{layer}_" in f"/{variable.name}"), None)
        value = values[variable.name]
        if layer is not None:
            old = old_tree.of(layer)
            origins = [_origin(branch, old, layer) for branch in new_tree.of(layer)]
            axis = 0 if value.ndim == 3 else value.ndim - 1  # BranchedDense has its branches in front
            parts = np.split(value, len(old), axis)
            value = np.concatenate([parts[origin] for origin in origins], axis)
        variable.assign(value)


def _origin(branch, old_branches, layer):
    """Number of the old branch that a branch is part of."""
    for number, old in enumerate(old_branches):
        if set(branch) <= set(old):
            return number
    raise ValueError(
        f"The branch {branch} of {layer} has tasks of several branches of the network, {old_branches}: a network can "
        "be widened, not made thinner."
    )


def somp_init(thin: BranchedVGG16, wider: BranchedVGG16) -> None:
    """Gives a thin network filters of a wider one (Algorithm 2), layer by layer from the input.

    Each layer gets the filters that `somp_select` chooses, with their batch norm; the next layer keeps those alone
    among its inputs. The outputs are taken over if both networks have as many tasks.

    Args:
        thin, wider: neither has branches; both for the same size of pictures.

    Raises:
        ValueError: for networks with branches, of several sizes of pictures, or of which the first is wider.
    """
    _check_pair(thin, wider)
    channels, kept = 3, list(range(3))  # of the layer below
    for layer in thin.LAYERS:
        source, target = (_weighted_layer(network, layer) for network in (wider, thin))
        filters = _by_input_channel(source.kernel, channels)[:, kept]
        rows = filters.reshape(-1, filters.shape[-1]).T
        width = target.kernel.shape[-1]
        if width > len(rows):
            raise ValueError(f"{layer} has {width} channels, the network to start from only {len(rows)}.")
        chosen = somp_select(rows, width) if width < len(rows) else list(range(width))
        target.kernel.assign(filters[..., chosen].reshape(target.kernel.shape))
        for old, new in zip(wider.get_layer(f"{layer}_bn").weights, thin.get_layer(f"{layer}_bn").weights, strict=True):
            new.assign(old.numpy()[chosen])
        channels, kept = len(rows), chosen
    if thin.tree.num_tasks == wider.tree.num_tasks:
        source, target = (_weighted_layer(network, OUTPUT) for network in (wider, thin))
        target.kernel.assign(source.kernel.numpy()[:, kept])
        target.bias.assign(source.bias)


def svd_init(low_rank: FactorizedVGG16, full: BranchedVGG16) -> None:
    """Factorizes every layer of a network by a truncated singular value decomposition (Section 4.5, "Baselines").

    Where the basis has more filters than the layer has singular values, the rest stay as they are and weigh nothing.

    Args:
        low_rank: gets the basis and the combination, both with the root of the singular values, and the batch norm.
        full: as wide, for the same size of pictures and as many tasks; neither has branches.

    Raises:
        ValueError: for networks that differ in these, or have branches.
    """
    _check_pair(low_rank, full)
    ours, theirs = ((network.width, network.tree.num_tasks) for network in (low_rank, full))
    if ours != theirs:
        raise ValueError(
            f"The network to start from is {theirs[0]} wide and has {theirs[1]} tasks, the one to factorize it into "
            f"{ours[0]} and {ours[1]}: both have to be alike."
        )
    for layer in (*full.LAYERS, OUTPUT):
        source, basis, combination = (
            _weighted_layer(full, layer),
            _weighted_layer(low_rank, f"{layer}_basis"),
            _weighted_layer(low_rank, layer),
        )
        kernel = source.kernel.numpy()
        # The output has a kernel [T, n, 1], its tasks side by side; of all other layers the last axis is the output.
        matrix = kernel[..., 0].T if layer == OUTPUT else kernel.reshape(-1, kernel.shape[-1])
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        filters = basis.kernel.numpy().reshape(len(matrix), -1)
        rank = min(filters.shape[1], len(values))
        roots = np.sqrt(values[:rank])
        filters = np.hstack([left[:, :rank] * roots, filters[:, rank:]])
        basis.kernel.assign(filters.reshape(basis.kernel.shape))
        combined = np.zeros((filters.shape[1], matrix.shape[1]), matrix.dtype)
        combined[:rank] = roots[:, np.newaxis] * right[:rank]
        combination.kernel.assign((combined.T if layer == OUTPUT else combined).reshape(combination.kernel.shape))
        if layer == OUTPUT:
            combination.bias.assign(source.bias)
        else:
            low_rank.get_layer(f"{layer}_bn").set_weights(full.get_layer(f"{layer}_bn").get_weights())


def _check_pair(network, other):
    """No branches, one size of pictures."""
    for each in (network, other):
        branched = [layer for layer in each.LAYERS if len(each.tree.of(layer)) > 1]
        if branched:
            raise ValueError(
                f"SOMP and SVD take networks without branches, {each.name} has some in {', '.join(branched)}."
            )
    if network.input_shape != other.input_shape:
        raise ValueError(
            f"The network takes pictures of {network.input_shape[1:]}, the one it is to start from of "
            f"{other.input_shape[1:]}: fc6 would not fit. Use one size for both."
        )


def _weighted_layer(network, name):
    """The layer of a unit that has a kernel."""
    names = {layer.name for layer in network.layers}
    return network.get_layer(f"{name}_conv" if f"{name}_conv" in names else f"{name}_dense")


def _by_input_channel(kernel, channels):
    """Kernel of a convolution, or of what is fed its flattened maps, as [places, channels, filters]."""
    return kernel.numpy().reshape(-1, channels, kernel.shape[-1])


def start_by_somp(network: BranchedVGG16, folder: str, thresholds: tf.Variable | None, wider: Factory) -> None:
    """`Training.start` by `somp_init`: `wider` makes the network whose exported model lies in `folder`.

    Its thresholds, which fit its own scores, are not taken.
    """
    del thresholds
    somp_init(network, _trained(network, folder, wider))


def start_by_svd(network: FactorizedVGG16, folder: str, thresholds: tf.Variable | None, wider: Factory) -> None:
    """`Training.start` by `svd_init`; arguments as of `start_by_somp`."""
    del thresholds
    svd_init(network, _trained(network, folder, wider))


def _trained(network, folder, wider):
    other = wider.build(input_shape=network.input_shape[1:])
    restore_trained(other, folder)
    return other
