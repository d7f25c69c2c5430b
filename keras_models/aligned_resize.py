"""Bilinear resizing with aligned corners: the up-sampling of DML-CSR and of the plain multi-task network."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow import keras


@keras.saving.register_keras_serializable("facetfx")
class AlignedResize(keras.layers.Layer):
    """Bilinear resizing that leaves the centres of the corner pixels where they are.

    Output pixel i of n samples the input at i · (size - 1) / (n - 1); a single output pixel samples the first one.
    tf.image.resize, by contrast, aligns the outer corners of the image.

    Args:
        size: (H', W'). Without it the layer is called with `like`, whose size is taken.

    Call: features [batch, H, W, C] and, without `size`, `like` [batch, H', W', any], of which only the size is used; it
        may be dynamic -> [batch, H', W', C] in the layer's compute dtype, computed in float32, forward and backward.

    Raises:
        ValueError: for a size that isn't two positive numbers, and if both or neither of `size` and `like` are given.
    """

    def __init__(self, size: tuple[int, int] | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ValueError(f"size is (height, width), both positive, received {size!r}.")
        self.size = None if size is None else tuple(size)

    def call(self, features, like=None):
        if (self.size is None) == (like is None):
            raise ValueError(
                f"{self.name} takes its size from `size` or from `like`, received size={self.size} and like={like}."
            )
        size = self.size or _spatial_size(like)
        resized = tf.raw_ops.ResizeBilinear(images=tf.cast(features, tf.float32), size=size, align_corners=True)
        return tf.cast(resized, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}


def _spatial_size(x):
    """(H, W) of [batch, H, W, C]: numbers if both are static, else a tensor."""
    if None not in x.shape[1:3]:
        return tuple(x.shape[1:3])
    return tf.shape(x)[1:3]
