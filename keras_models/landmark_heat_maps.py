"""Landmarks as heat maps, aligned with the image."""

from __future__ import annotations

import tensorflow as tf


def landmark_heat_maps(landmarks: tf.Tensor, size: tuple[int, int], radius: float) -> tf.Tensor:
    """A disc of ones about each point (iFAN, Section 4.1.2: "we enlarge the one-hot point heat map to a radius of 5").

    Args:
        landmarks: [batch, L, 2] x, y in [0, 1] of the image. The map of a point outside has
            only the part of its disc that lies inside.
        size: (H, W) of the maps.
        radius: in pixels of the maps.

    Returns:
        [batch, H, W, L] float32: 1 where a pixel's centre is within `radius` of the point, else 0. No gradient flows.
    """
    height, width = size
    x, y = (tf.stop_gradient(landmarks[:, None, None, :, axis]) for axis in (0, 1))
    columns = tf.range(width, dtype=tf.float32)[None, None, :, None] + 0.5
    rows = tf.range(height, dtype=tf.float32)[None, :, None, None] + 0.5
    distance = tf.square(columns - width * x) + tf.square(rows - height * y)
    return tf.cast(distance <= radius**2, tf.float32)
