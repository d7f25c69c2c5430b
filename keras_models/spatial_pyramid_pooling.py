"""Spatial pyramid pooling (He et al. 2014), as DMM-CNN uses it (Mao et al. 2020, Section 3.2.2)."""

from typing import Any

import tensorflow as tf
from tensorflow import keras


@keras.utils.register_keras_serializable("facetfx")
class SpatialPyramidPooling(keras.layers.Layer):
    """Max pooling over a pyramid of 1×1, 2×2, … levels×levels bins.

    Bin k of n covers rows floor(k·H/n) to ceil((k+1)·H/n), columns likewise: any size works and no border is dropped.

    Args:
        levels: the finest level's bins per side.

    Input: [batch, H, W, C], H and W may be dynamic.
    Output: [batch, C·Σ_{n=1..levels} n²], level by level, bins row by row, channels last.

    Raises:
        ValueError: for fewer than one level.
    """

    def __init__(self, levels: int, **kwargs: Any):
        super().__init__(**kwargs)
        if levels < 1:
            raise ValueError(f"SpatialPyramidPooling needs at least one level, received levels={levels}.")
        self.levels = levels

    def call(self, features):
        pooled = []
        for bins in range(1, self.levels + 1):
            rows = _max_in_bins(features, bins, axis=1)
            cells = _max_in_bins(rows, bins, axis=2)
            pooled.append(tf.reshape(cells, [-1, bins * bins * features.shape[-1]]))
        return tf.concat(pooled, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": self.levels}


def _max_in_bins(x, bins, axis):
    """Maximum of `x` in each of `bins` adaptive bins along `axis`, which gets the length `bins`."""
    size = x.shape[axis] if x.shape[axis] is not None else tf.shape(x)[axis]
    before = [slice(None)] * axis
    windows = [(*before, slice(k * size // bins, -(-(k + 1) * size // bins))) for k in range(bins)]
    return tf.stack([tf.reduce_max(x[window], axis=axis) for window in windows], axis=axis)
