"""Points of a face in a mirror."""

from __future__ import annotations

import tensorflow as tf

from components.tasks.landmarks.markup import MARKUPS


def mirror_points(points: tf.Tensor) -> tf.Tensor:
    """[..., L, 2] landmarks of the image flipped left to right: x becomes 1 - x and left points become right points.

    Raises:
        ValueError: for a number of points that no mark-up has.
    """
    if points.shape[-2] not in MARKUPS:
        raise ValueError(
            f"No mark-up of {points.shape[-2]} points is known, only of {sorted(MARKUPS)}: which change places in "
            "a mirror? Add it to components/tasks/landmarks/markup.py, or train with flip=False and export without "
            "flip_average."
        )
    swapped = tf.gather(points, MARKUPS[points.shape[-2]].mirror, axis=-2)
    return tf.stack([1.0 - swapped[..., 0], swapped[..., 1]], axis=-1)
