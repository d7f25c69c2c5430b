"""Flattening of branches that lie side by side."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow import keras


@keras.saving.register_keras_serializable("facetfx")
class FlattenBranches(keras.layers.Layer):
    """Flattens each branch separately; for one branch it is keras.layers.Flatten.

    Args:
        branches: c, the number of branches.

    Call: [batch, H, W, c·C] -> [batch, c·H·W·C].
    """

    def __init__(self, branches: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.branches = branches

    def call(self, x):
        _, height, width, channels = x.shape
        apart = tf.reshape(x, [-1, height * width, self.branches, channels // self.branches])
        return tf.reshape(tf.transpose(apart, [0, 2, 1, 3]), [-1, height * width * channels])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "branches": self.branches}
