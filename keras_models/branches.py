"""Layers whose branches lie side by side in one tensor, branch by branch along its last axis.

So a layer is one op however many branches it has, and widening it repeats its weights along one axis and leaves all
other layers' weights unchanged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf
from tensorflow import keras

from keras_models.branched_dense import BranchedDense
from keras_models.grouped_convolution import GroupedConv2D
from keras_models.normalization import batch_norm

layers = keras.layers


@dataclasses.dataclass(frozen=True)
class Branches:
    """Features of branches side by side.

    Attributes:
        features: [batch, H, W, count·C] or [batch, count·C].
        count: number of branches.
    """

    features: tf.Tensor
    count: int


def conv(x: Branches, parents: Sequence[int], channels: int, kernel: int, name: str, strides: int = 1) -> Branches:
    """A convolution for each branch, layer {name}_conv, padded symmetrically.

    Args:
        x: features of the layer below.
        parents: for each branch, the number of its parent branch in `x`.
        channels: output channels of each branch.
    """
    features, shared = _of_parents(x, parents)
    padding = "same"
    if strides > 1 and kernel > 1:
        features = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(features)
        padding = "valid"
    features = GroupedConv2D(
        channels * len(parents),
        kernel,
        groups=1 if shared else len(parents),
        strides=strides,
        padding=padding,
        kernel_initializer=keras.initializers.HeNormal(),
        name=f"{name}_conv",
    )(features)
    return Branches(features, len(parents))


def dense(
    x: Branches, parents: Sequence[int], units: int, name: str, use_bias: bool = False, dtype: str | None = None
) -> Branches:
    """A fully connected layer for each branch, layer {name}_dense; `parents` as in `conv`."""
    features, shared = _of_parents(x, parents)
    features = BranchedDense(units, len(parents), shared, use_bias, dtype=dtype, name=f"{name}_dense")(features)
    return Branches(features, len(parents))


def normalised(x: Branches, name: str) -> Branches:
    """Batch norm, layer {name}_bn."""
    return Branches(batch_norm(f"{name}_bn")(x.features), x.count)


def relu(x: Branches, name: str) -> Branches:
    """Layer {name}."""
    return Branches(layers.ReLU(name=name)(x.features), x.count)


def flatten(x: Branches, name: str) -> Branches:
    """Each branch flattened by itself, layer {name}: [batch, H, W, count·C] -> [batch, count·H·W·C]."""
    height, width, channels = x.features.shape[1:]
    apart = layers.Reshape((height * width, x.count, channels // x.count), name=f"{name}_apart")(x.features)
    by_branch = layers.Permute((2, 1, 3), name=f"{name}_branches")(apart)
    return Branches(layers.Flatten(name=name)(by_branch), x.count)


def _of_parents(x, parents):
    """The input of the branches, and whether all of them share it."""
    if x.count == 1:
        return x.features, True
    if tuple(parents) == tuple(range(x.count)):
        return x.features, False
    # Not tf.gather, whose gradient is many times slower.
    pieces = tf.split(x.features, x.count, axis=-1)
    return tf.concat([pieces[parent] for parent in parents], axis=-1), False
