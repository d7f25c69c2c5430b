"""The part of an image that is used: a crop is top, left, height and width, as shares of the image's sides."""

from __future__ import annotations

import tensorflow as tf

WHOLE = (0.0, 0.0, 1.0, 1.0)
ROUNDING = 1e-6  # of the sum of two shares


def crop_pixels(pixels: tf.Tensor, crop: tf.Tensor) -> tf.Tensor:
    """The pixels within a crop whose edges are rounded to whole pixels; one at least, and none beyond the image.

    Args:
        pixels: [H, W, C].
        crop: [4] float32.

    Returns:
        [H', W', C], of the same type.
    """
    start, end = crop_window(tf.shape(pixels)[:2], crop)
    return pixels[start[0] : end[0], start[1] : end[1]]


def crop_window(size: tf.Tensor, crop: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The first row and column of a crop and those behind its last, both [2] int32, in an image of `size` [2]."""
    edges = tf.stack([crop[:2], crop[:2] + crop[2:]]) * tf.cast(size, tf.float32)
    start, end = tf.unstack(tf.cast(tf.round(edges), tf.int32))
    start = tf.clip_by_value(start, 0, size - 1)
    return start, tf.clip_by_value(end, start + 1, size)


def to_crop(points: tf.Tensor, crops: tf.Tensor) -> tf.Tensor:
    """[batch, L, 2] x, y in [0, 1] of the images -> the same points in [0, 1] of their crops [batch, 4]."""
    corners, sides = _corners_and_sides(crops)
    return (points - corners) / sides


def to_image(points: tf.Tensor, crops: tf.Tensor) -> tf.Tensor:
    """Inverse of `to_crop`."""
    corners, sides = _corners_and_sides(crops)
    return points * sides + corners


def _corners_and_sides(crops):
    """[batch, 4] -> two of [batch, 1, 2]: x, y of the top left corners; widths, heights."""
    top, left, height, width = tf.unstack(crops[:, None], axis=-1)
    return tf.stack([left, top], axis=-1), tf.stack([width, height], axis=-1)
