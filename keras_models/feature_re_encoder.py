"""Predictions re-encoded as features (iFAN, Section 4.1.2): the feedback between tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tensorflow import keras

layers = keras.layers

WIDTHS = (24, 48, 64)


@keras.saving.register_keras_serializable("facetfx")
class FeatureReEncoder(keras.layers.Layer):
    """Re-encodes a prediction as features for each level of the backbone that it is fed back to.

    A map goes through a 5 × 5 convolution of stride 2 and then 3 × 3 ones, each followed by ReLU and 2 × 2 max
    pooling. A vector goes through two fully connected layers with ReLU; the caller tiles it at every level.

    Args:
        widths: channels of the levels; the second is also the width of the fully connected layers.

    Call: map [batch, H, W, C] -> a list of [batch, H/4, W/4, widths[0]], [batch, H/8, W/8, widths[1]] and so on; or
        vector [batch, C] -> a list with the same [batch, widths[1]] for every level.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS, **kwargs: Any):
        super().__init__(**kwargs)
        self.widths = tuple(widths)

    def build(self, input_shape):
        if len(input_shape) == 2:
            self.stages = [layers.Dense(self.widths[1], "relu", name=f"dense{i}") for i in (1, 2)]
        else:
            self.stages = [
                layers.Conv2D(width, 3 if i else 5, 1 if i else 2, "same", activation="relu", name=f"conv{i + 1}")
                for i, width in enumerate(self.widths)
            ]
            self.pool = layers.MaxPooling2D(name="pool")
        super().build(input_shape)

    def call(self, prediction):
        x = prediction
        if len(prediction.shape) == 2:
            for dense in self.stages:
                x = dense(x)
            return [x] * len(self.widths)
        pyramid = []
        for conv in self.stages:
            x = self.pool(conv(x))
            pyramid.append(x)
        return pyramid

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "widths": self.widths}
