"""Bilinear resizing with aligned corners: the up-sampling of DML-CSR and of the plain multi-task network."""

from __future__ import annotations

import tensorflow as tf
from tensorflow import keras


@keras.saving.register_keras_serializable("facetfx")
class AlignedResize(keras.layers.Layer):
    """Bilinear resizing that leaves the centres of the corner pixels where they are.

    Pixel i of n new ones lies at i · (old - 1) / (n - 1) of the old ones; a single new pixel is the old first one.
    tf.image.resize, by contrast, keeps the corners of the picture itself.

    Args:
        size: (H', W'). Without it the layer is called with `like`, whose size is taken.

    Call: features [batch, H, W, C], and `like` [batch, H', W', any], of which nothing but the size is read, be it known
        at run time only -> [batch, H', W', C] in the layer's compute dtype. The arithmetic is float32's, forward and
        backward.

    Raises:
        ValueError: for a size that isn't two positive numbers, and if both or neither of `size` and `like` are given.
    """

    def __init__(self, size: tuple[int, int] | None = None, **kwargs):
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

    def get_config(self):
        return {**super().get_config(), "size": self.size}


def _spatial_size(x):
    """(H, W) of [batch, H, W, C], as numbers where they are known."""
    if None not in x.shape[1:3]:
        return tuple(x.shape[1:3])
    return tf.shape(x)[1:3]
