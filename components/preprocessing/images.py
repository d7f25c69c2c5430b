"""Decoding and resizing: the one function that Transform, evaluation and serving share."""

from __future__ import annotations

import tensorflow as tf


def decode_and_resize(encoded: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """JPEG or PNG bytes to RGB pixels.

    Grey pictures get three equal channels, CMYK is converted, alpha is dropped, 16 bits become 8.

    Args:
        encoded: scalar string.
        size: (height, width) of the result; the aspect ratio is not kept.

    Returns:
        [height, width, 3] uint8.
    """
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    shrinks = tf.reduce_any(tf.shape(image)[:2] > tf.constant(size))
    # Where nothing shrinks there is nothing to alias, and the plain kernel takes a third of the time.
    resized = tf.cond(
        shrinks, lambda: tf.image.resize(image, size, antialias=True), lambda: tf.image.resize(image, size)
    )
    resized.set_shape([*size, 3])
    return tf.saturate_cast(tf.round(resized), tf.uint8)


def decode_and_resize_batch(encoded: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """`decode_and_resize` over [batch] strings: [batch, height, width, 3] uint8."""
    return tf.map_fn(
        lambda e: decode_and_resize(e, size), encoded, fn_output_signature=tf.TensorSpec([*size, 3], tf.uint8)
    )
