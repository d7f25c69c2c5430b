"""Formulas of fully-adaptive feature sharing (Lu et al. 2017): which filters to start from, which tasks to part.

`TaskAffinity` keeps what was seen of the tasks while training.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from sklearn.cluster import SpectralClustering

# Of a row's squared norm: less than that left of it is rounding, the row lies in the span of the chosen ones.
_SPANNED = 1e-12
# Clusterings of which the best is kept; the authors' code has as many.
_CLUSTERINGS = 5
# Of k-means in each; scikit-learn's usual ten take 3.6 times as long for 40 tasks and give the same L_s within 3 %.
_STARTS = 2
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
    """
    weight = np.asarray(weight, np.float64)
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


def task_agreements(difficult: tf.Tensor, counted: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Sum and count of Eq. 6 over a batch, A(i, j) = E[e_i e_j + (1 - e_i)(1 - e_j)].

    Args:
        difficult: e, [batch, T] booleans, whether an example is difficult for a task.
        counted: [batch, T] booleans, whether that is known.

    Returns:
        Two [T, T] float32, symmetric: examples on which two tasks agree, and examples that are known for both. Their
        quotient is A.
    """
    easy, hard, known = (tf.cast(flags, tf.float32) for flags in (counted & ~difficult, counted & difficult, counted))
    agree, both = (
        tf.add_n([tf.matmul(flags, flags, transpose_a=True) for flags in each]) for each in ((hard, easy), (known,))
    )
    return agree, both


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
        task annotated sets its mean alone: nothing is there to call its examples difficult. The margin is to the
        answer: to 1 for a target of 0.5 and more, also a teacher's, as in the authors' code.

        Args:
            targets: t, [batch, T] in [0, 1]; negative where not annotated.
            scores: s, [batch, T] in [0, 1].
        """
        replicas = tf.distribute.get_replica_context()
        targets, scores = (replicas.all_gather(tf.cast(x, tf.float32), axis=0) for x in (targets, scores))
        annotated = targets >= 0
        margins = tf.where(targets >= 0.5, 1 - scores, scores)
        difficult = margins >= tf.math.divide_no_nan(self.margin_sum, self.margin_count)
        counted = annotated & (self.margin_count > 0)
        agreements, both = task_agreements(difficult, counted)
        self._add(self.agreement_sum, agreements)
        self._add(self.agreement_count, both)
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
        alpha: α, the branching factor, 0 or more: the larger, the more branches.
        max_branches: the largest d, 1 or more; c if there is none or it is larger.
        unit_cost: L0; the paper gives no number, 1/64 is the authors' code's.

    Returns:
        (groups, L) for d = 1, 2, …: the groups by their smallest branch, each sorted. Of five spectral clusterings, by
        the same seeds always, the one of smallest L_s; should it leave a group empty, the grouping is that of fewer
        groups and L is theirs.
    """
    affinity = np.asarray(affinity, np.float64)
    costs = []
    for number in range(1, min(len(affinity), max_branches or len(affinity)) + 1):
        groups = _grouping(affinity, number)
        creation = (len(groups) - 1) * unit_cost * 2**pooling_layers_above
        costs.append((groups, creation + alpha * separation_cost(affinity, groups)))
    return costs


def choose_branches(costs: Sequence[tuple[list[list[int]], float]]) -> list[list[int]]:
    """The grouping of smallest L among those of `branching_costs`; the one of fewest groups on ties."""
    return min(costs, key=lambda entry: entry[1])[0]


def _grouping(affinity, number):
    """Branches in `number` groups: the groups by their smallest branch, each sorted."""
    if number == 1:
        return [list(range(len(affinity)))]
    if number == len(affinity):
        return [[branch] for branch in range(number)]
    connected = np.maximum(affinity, _LEAST_AFFINITY)
    clusterings = (
        SpectralClustering(number, affinity="precomputed", random_state=seed, n_init=_STARTS).fit_predict(connected)
        for seed in range(_CLUSTERINGS)
    )
    groupings = (
        sorted(np.flatnonzero(labels == label).tolist() for label in np.unique(labels)) for labels in clusterings
    )
    return min(groupings, key=lambda groups: separation_cost(affinity, groups))
