"""Predictions re-encoded as features (iFAN, Section 4.1.2): the feedback between tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow import keras

layers = keras.layers

WIDTHS = (24, 48, 64)


@keras.saving.register_keras_serializable("facetfx")
class FeatureReEncoder(keras.layers.Layer):
    """Re-encodes a prediction as features for each level of the backbone that it is fed back to.

    A map goes through a 5 × 5 convolution of stride 2 and then 3 × 3 ones, each followed by ReLU and 2 × 2 max
    pooling. A vector goes through a fully connected layer of its own size with ReLU for each level; the caller tiles
    it there. Nothing has a bias, as in the authors' graph, where vectors are tiled first and go through 1 × 1
    convolutions: the same.

    Args:
        widths: channels of a map's levels.

    Call: map [batch, H, W, C] -> a list of [batch, H/4, W/4, widths[0]], [batch, H/8, W/8, widths[1]] and so on; or
        vector [batch, C] -> a list of as many [batch, C].
    """

    def __init__(self, widths: Sequence[int] = WIDTHS, **kwargs: Any):
        super().__init__(**kwargs)
        self.widths = tuple(widths)

    def build(self, input_shape):
        options = {"activation": "relu", "use_bias": False, "kernel_initializer": "he_uniform"}
        if len(input_shape) == 2:
            self.stages = [
                layers.Dense(input_shape[-1], name=f"dense{i}", **options) for i in range(1, len(self.widths) + 1)
            ]
            self.pool = tf.identity
        else:
            self.stages = [
                layers.Conv2D(width, 3 if i else 5, 1 if i else 2, "same", name=f"conv{i + 1}", **options)
                for i, width in enumerate(self.widths)
            ]
            self.pool = layers.MaxPooling2D(name="pool")
        super().build(input_shape)

    def call(self, prediction):
        x, pyramid = prediction, []
        for stage in self.stages:
            x = self.pool(stage(x))
            pyramid.append(x)
        return pyramid

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "widths": self.widths}
