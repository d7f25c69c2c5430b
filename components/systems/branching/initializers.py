"""What a network starts from: filters of a wider one by SOMP, or its layers by their singular values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from components.config import ObjectConfig
from components.serving.export import restore_trained
from components.systems.branching.formulas import somp_select
from components.tasks.base import Learning
from keras_models.branch_tree import OUTPUT
from keras_models.branched_vgg16 import BranchedVGG16, FactorizedVGG16


def somp_init(thin: BranchedVGG16, wider: BranchedVGG16) -> None:
    """Gives a thin network filters of a wider one (Algorithm 2), layer by layer from the input.

    Each layer gets the filters that `somp_select` chooses, with their batch norm; the next layer keeps those alone
    among its inputs. The outputs are taken over if both networks have as many tasks.

    Args:
        thin, wider: neither has branches; both for the same size of images.

    Raises:
        ValueError: for networks with branches, of several sizes of images, or of which the first is wider.
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
        full: as wide, for the same size of images and as many tasks; neither has branches.

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
    """No branches, one size of images."""
    for each in (network, other):
        branched = [layer for layer in each.LAYERS if len(each.tree.of(layer)) > 1]
        if branched:
            raise ValueError(
                f"SOMP and SVD take networks without branches, {each.name} has some in {', '.join(branched)}."
            )
    if network.input_shape != other.input_shape:
        raise ValueError(
            f"The network takes images of {network.input_shape[1:]}, the one it is to start from of "
            f"{other.input_shape[1:]}: fc6 would not fit. Use one size for both."
        )


def _weighted_layer(network, name):
    """The layer of a unit that has a kernel."""
    names = {layer.name for layer in network.layers}
    return network.get_layer(f"{name}_conv" if f"{name}_conv" in names else f"{name}_dense")


def _by_input_channel(kernel, channels):
    """Kernel of a convolution, or of what is fed its flattened maps, as [places, channels, filters]."""
    return kernel.numpy().reshape(-1, channels, kernel.shape[-1])


def start_by_somp(
    network: BranchedVGG16, folder: str | None, tasks: Mapping[str, Learning], wider: ObjectConfig
) -> None:
    """`Training.initializer` by `somp_init`.

    Args:
        folder: of an exported model of the wider network; None where that has weights as it is made (ImageNet's). Its
            tasks' thresholds, which fit its own scores, are not taken.
        wider: makes the wider network.
    """
    somp_init(network, _trained(network, folder, wider))


def start_by_svd(
    network: FactorizedVGG16, folder: str | None, tasks: Mapping[str, Learning], wider: ObjectConfig
) -> None:
    """`Training.initializer` by `svd_init`; arguments as of `start_by_somp`."""
    svd_init(network, _trained(network, folder, wider))


def _trained(network, folder, wider):
    if not folder and not wider.kwargs.get("weights"):
        raise ValueError(
            "The wider network to start from has learnt nothing: name its experiment in training.warm_start, or give "
            "training.initializer.wider `weights`."
        )
    other = wider.build(input_shape=network.input_shape[1:])
    if folder:
        restore_trained(other, folder, {})
    return other
