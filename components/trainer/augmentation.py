"""Training images are mirrored, shifted, turned and enlarged, and their labels with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from components.config import InputConfig
from components.images.addons import transform
from components.tasks.annotation import BoundTask
from components.tasks.base import Labels, labels_of


def augment(
    image: tf.Tensor, labels: dict[str, tf.Tensor], tasks: Sequence[BoundTask], config: InputConfig, seed: tf.Tensor
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Moves an image and its labels at random.

    Mirroring and shifting alone are exact; with rotation or enlargement all moves but the mirror are one `warp`.

    Args:
        image: [H, W, 3] uint8.
        labels: by name, those of the tasks without the batch axis; what is no task's label stays.
        config: how far.
        seed: [2] integers that decide everything.
    """
    size = tuple(image.shape[:2])
    seeds = tf.random.experimental.stateless_split(seed, 4)
    if config.flip:
        mirrored = tf.random.stateless_uniform([], seeds[0]) < 0.5
        image, labels = tf.cond(mirrored, lambda: mirror(image, labels, tasks), lambda: (image, labels))
    offset = _drawn_shift(size, config.max_shift, seeds[1])
    if config.max_rotation or config.scale != (1.0, 1.0):
        angle = tf.random.stateless_uniform([], seeds[2], -config.max_rotation, config.max_rotation)
        factor = tf.random.stateless_uniform([], seeds[3], *config.scale)
        return warp(image, labels, tasks, affine_matrix(size, angle, factor, offset), config.fill_mode)
    return shift(image, labels, tasks, offset, config.fill_mode) if config.max_shift else (image, labels)


def mirror(
    image: tf.Tensor, labels: dict[str, tf.Tensor], tasks: Sequence[BoundTask]
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """The image flipped left to right, and what its labels are then."""
    return tf.reverse(image, [1]), _moved(labels, tasks, lambda kind, label: kind.mirror(label))


def _moved(labels: dict, tasks: Sequence[BoundTask], move: Callable[[Labels, tf.Tensor], tf.Tensor]) -> dict:
    return labels | {task.name: move(labels_of(task.name, task.annotation), labels[task.name]) for task in tasks}


def _drawn_shift(size, max_shift, seed):
    """[2] int32: whole pixels, down and to the right, of up to `max_shift` of the sides."""
    limit = tf.constant([round(max_shift * side) for side in size])
    offset = tf.cast(tf.random.stateless_uniform([2], seed, 0.0, 1.0) * tf.cast(2 * limit + 1, tf.float32), tf.int32)
    return limit - offset


def shift(
    image: tf.Tensor,
    labels: dict[str, tf.Tensor],
    tasks: Sequence[BoundTask],
    pixels: tf.Tensor,
    fill_mode: str = "nearest",
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Translates by `pixels` [2], down and to the right; `fill_mode` as of `InputConfig`."""
    size = tuple(image.shape[:2])
    sources = [tf.range(side) - pixels[axis] for axis, side in enumerate(size)]
    rows, columns = (tf.clip_by_value(source, 0, side - 1) for source, side in zip(sources, size, strict=True))
    translated = tf.gather(tf.gather(image, rows, axis=0), columns, axis=1)
    if fill_mode == "constant":
        inside = (rows == sources[0])[:, None] & (columns == sources[1])
        translated = tf.where(inside[..., None], translated, 0)
    return translated, _moved(labels, tasks, lambda kind, label: kind.shift(label, pixels, size))


def affine_matrix(size: tuple[int, int], angle: tf.Tensor, factor: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """[3, 3] float32 matrix for `warp`: a rotation and enlargement about the image's centre, then a translation.

    Args:
        size: (height, width).
        angle: degrees, clockwise.
        factor: what lengths are multiplied by.
        shift: [2] pixels, down and to the right.
    """
    angle = angle * (math.pi / 180.0)
    cos, sin = factor * tf.cos(angle), factor * tf.sin(angle)
    x, y = (size[1] - 1) / 2, (size[0] - 1) / 2
    down, right = tf.unstack(tf.cast(shift, tf.float32))
    matrix = [cos, -sin, x + right - cos * x + sin * y, sin, cos, y + down - sin * x - cos * y, 0.0, 0.0, 1.0]
    return tf.reshape(tf.stack(matrix), [3, 3])


def warp(
    image: tf.Tensor,
    labels: dict[str, tf.Tensor],
    tasks: Sequence[BoundTask],
    matrix: tf.Tensor,
    fill_mode: str = "nearest",
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Moves an image, which is interpolated bilinearly, and its labels by one affine map.

    Args:
        image: [H, W, 3] uint8.
        matrix: [3, 3] float32, from (x, y, 1) of a point, in pixels from the centre of the top left one, to where
            it goes.
        fill_mode: as of `InputConfig`.
    """
    size = tuple(image.shape[:2])
    moved = transform(tf.cast(image, tf.float32), matrix, "bilinear", fill_mode)
    image = tf.cast(tf.round(moved), tf.uint8)
    return image, _moved(labels, tasks, lambda kind, label: kind.warp(label, matrix, size))
