"""VGG-16 as a tree: full, thin, branched and low-rank (Lu et al. 2017, Sections 3.1 and 3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import tensorflow as tf
from tensorflow import keras

from keras_models.branch_tree import OUTPUT, BranchTree
from keras_models.branched_network import BranchedNetwork
from keras_models.branches import Branches, conv, dense, flatten, normalised, relu

layers = keras.layers

# (layers, channels) of each block; a pooling ends it.
_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
_CONVS = tuple(
    (f"conv{block}_{number}", channels, number == count, len(_BLOCKS) - block + 1)
    for block, (count, channels) in enumerate(_BLOCKS, start=1)
    for number in range(1, count + 1)
)  # name, channels, whether it is pooled, poolings above
_FULL_WIDTH = 2048  # ω at which no layer is thinner than VGG-16's
_FC = 4096


@keras.saving.register_keras_serializable("facetfx")
class BranchedVGG16(BranchedNetwork):
    """VGG-16 whose layers branch; batch norm after every layer but the output.

    A branch has min(ω, VGG-16's) channels in the convolutions and min(2ω, 4096) in fc6 and fc7.
    """

    LAYERS = (*(name for name, *_ in _CONVS), "fc6", "fc7")
    WIDTHS = MappingProxyType({**{name: channels for name, channels, *_ in _CONVS}, "fc6": _FC, "fc7": _FC})
    POOLING_ABOVE = MappingProxyType({**{name: above for name, _, _, above in _CONVS}, "fc6": 0, "fc7": 0})

    @classmethod
    def branch_width(cls, layer: str, width: int) -> int:
        return min(2 * width if layer.startswith("fc") else width, cls.WIDTHS[layer])

    @classmethod
    def features(cls, x: Branches, width: int, tree: BranchTree) -> Branches:
        for name, _, pooled, _ in _CONVS:
            x = cls.convolution(x, tree.parents(name), cls.branch_width(name, width), name)
            x = relu(normalised(x, name), f"{name}_relu")
            if pooled:
                x = Branches(layers.MaxPooling2D(2, name=f"pool{name[4]}")(x.features), x.count)
        x = flatten(x, "flatten")
        for name in ("fc6", "fc7"):
            x = cls.fully_connected(x, tree.parents(name), cls.branch_width(name, width), name)
            x = relu(normalised(x, name), f"{name}_relu")
        return x

    @classmethod
    def convolution(cls, x: Branches, parents: Sequence[int], channels: int, name: str) -> Branches:
        """A 3x3 convolution."""
        return conv(x, parents, channels, 3, name)

    @classmethod
    def fully_connected(cls, x: Branches, parents: Sequence[int], units: int, name: str) -> Branches:
        """A fully connected layer."""
        return dense(x, parents, units, name)


@keras.saving.register_keras_serializable("facetfx")
class FactorizedVGG16(BranchedVGG16):
    """VGG-16 whose every layer is a few basis filters, {layer}_basis, and a 1x1 combination of them.

    It is a baseline for an unbranched tree.
    """

    # Section 4.5: 8-16-32-64-64-64-64-16.
    RANKS = MappingProxyType(
        {**{name: (8, 16, 32, 64, 64)[int(name[4]) - 1] for name, *_ in _CONVS}, "fc6": 64, "fc7": 64, OUTPUT: 16}
    )

    def max_branches(self, layer: str) -> int:
        return 1

    @classmethod
    def convolution(cls, x: Branches, parents: Sequence[int], channels: int, name: str) -> Branches:
        basis = conv(x, parents, cls.RANKS[name], 3, f"{name}_basis")
        return conv(basis, range(len(parents)), channels, 1, name)

    @classmethod
    def fully_connected(cls, x: Branches, parents: Sequence[int], units: int, name: str) -> Branches:
        basis = dense(x, parents, cls.RANKS[name], f"{name}_basis")
        return dense(basis, range(len(parents)), units, name)

    @classmethod
    def scores(cls, x: Branches, tree: BranchTree) -> tf.Tensor:
        basis = dense(x, range(x.count), cls.RANKS[OUTPUT], f"{OUTPUT}_basis")
        return super().scores(basis, tree)


# VGG-16 with at most ω channels in any convolution, 2ω in fc6 and fc7.
ThinVGG16 = BranchedVGG16.unbranched


def VGG16(
    input_shape: tuple[int, int, int],
    num_tasks: int,
    outputs: Mapping[str, int] | None = None,
    weights: str | None = None,
) -> BranchedVGG16:
    """The full network with batch norm, one sigmoid per task.

    Args:
        input_shape: (H, W, 3), RGB pixels in [0, 255], 32 and more a side.
        num_tasks: T.
        outputs: names of the outputs, in the order of the tasks, with the number of tasks of each; None: all tasks are
            "attributes".
        weights: None (random), "imagenet" (fetched by keras.applications at first use), or a file of Keras weights of
            keras.applications.VGG16: with its top for images of 224 × 224 pixels, without it for all others.

    Raises:
        ValueError: for a file that is missing or doesn't fit.
    """
    network = ThinVGG16(input_shape, _FULL_WIDTH, num_tasks, outputs)
    if weights:
        _load(network, weights)
    return network


def _load(network, weights):
    """Takes the kernels of keras.applications' network; its biases have no effect before batch norm."""
    if weights != "imagenet" and not tf.io.gfile.exists(weights):
        raise ValueError(f"VGG-16: no weights file {weights!r}. Expected None, 'imagenet' or the path of a file.")
    shape = network.input_shape[1:]
    top = shape == (224, 224, 3)
    try:
        pretrained = keras.applications.VGG16(include_top=top, weights=weights, input_shape=shape)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"VGG-16: {weights!r} can't be loaded. Expected Keras weights of keras.applications.VGG16 "
            f"{'with' if top else 'without'} its top, for images of {shape}: {error}"
        ) from error
    theirs = {layer.name: layer for layer in pretrained.layers}
    for layer in network.layers:
        name, _, kind = layer.name.rpartition("_")
        if kind == "conv":
            kernel = theirs[f"block{name[4]}_conv{name[6]}"].kernel
            # It was trained on BGR.
            layer.kernel.assign(kernel[:, :, ::-1] if name == "conv1_1" else kernel)
        elif name in ("fc6", "fc7") and kind == "dense" and "fc1" in theirs:
            layer.kernel.assign(theirs["fc1" if name == "fc6" else "fc2"].kernel[None])


def LowRankVGG16(
    input_shape: tuple[int, int, int], num_tasks: int, outputs: Mapping[str, int] | None = None
) -> FactorizedVGG16:
    """The full network with every layer factorized.

    Args:
        input_shape: (H, W, 3), RGB pixels in [0, 255], 32 and more a side.
        num_tasks: T.
        outputs: names of the outputs, in the order of the tasks, with the number of tasks of each; None: all tasks are
            "attributes".
    """
    return FactorizedVGG16.unbranched(input_shape, _FULL_WIDTH, num_tasks, outputs)
