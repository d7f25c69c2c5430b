"""The landmark mark-ups by number of points: which points are the eyes, and which change places in a mirror."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Markup:
    """A landmark mark-up.

    Attributes:
        eyes: indices of two point groups whose centres are the ends of the inter-ocular distance.
        mirror: [L] the index that each point takes its place from when the image is flipped left to right.
    """

    eyes: tuple[tuple[int, ...], tuple[int, ...]]
    mirror: tuple[int, ...]

    def interocular(self, points: np.ndarray) -> np.ndarray:
        """[..., L, 2] points -> [...] distance between the eyes, in the points' unit."""
        left, right = (np.asarray(points)[..., list(eye), :].mean(axis=-2) for eye in self.eyes)
        return np.linalg.norm(left - right, axis=-1)


def _mirror(size: int, *ranges: range, pairs: tuple[tuple[int, int], ...] = ()) -> tuple[int, ...]:
    """Identity but for `ranges`, each reversed in itself, and `pairs`, exchanged."""
    order = list(range(size))
    for r in ranges:
        for a, b in zip(r, reversed(r), strict=True):
            order[a] = b
    for a, b in pairs:
        order[a], order[b] = b, a
    return tuple(order)


MARKUPS = {
    # CelebA and MTFL: eyes, nose, mouth corners.
    5: Markup(eyes=((0,), (1,)), mirror=_mirror(5, pairs=((0, 1), (3, 4)))),
    # iBUG 300-W: inter-ocular distance between the outer eye corners.
    68: Markup(
        eyes=((36,), (45,)),
        mirror=_mirror(
            68,
            range(17),
            range(17, 27),
            range(31, 36),
            range(48, 55),
            range(55, 60),
            range(60, 65),
            range(65, 68),
            pairs=((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),
        ),
    ),
}


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
