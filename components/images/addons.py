"""The one place that uses tensorflow-addons, which is no longer developed: a port to Keras 3 replaces this file."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_addons as tfa


def transform(
    pixels: tf.Tensor, matrix: tf.Tensor, interpolation: str, fill_mode: str = "constant", fill_value: float = 0.0
) -> tf.Tensor:
    """Moves pixels by an affine map.

    Args:
        pixels: [H, W, C].
        matrix: [3, 3] float32, from (x, y, 1) of a point, in pixels from the centre of the top left one, to where it
            goes.
        interpolation: "nearest" or "bilinear". For integers the latter cuts off what it should round: give it floats.
        fill_mode, fill_value: of what comes into view, as tfa.image.transform has them.

    Returns:
        [H, W, C] of the same type.
    """
    # The op asks where a pixel comes from.
    inverse = tf.reshape(tf.linalg.inv(matrix), [9])[:8]
    return tfa.image.transform(pixels, inverse, interpolation, fill_mode, fill_value=float(fill_value))
