"""The training input pipeline: transformed examples to augmented batches, in an order that a restart repeats."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from components.config import Batches, Data
from components.datasets import FaceDataset
from components.datasets.annotation import annotated_names
from components.datasets.label_maps import mirrored_labels
from components.landmark_markup import MARKUPS
from components.record import IGNORE_LABEL

_SHUFFLE_BUFFER = 16_384


def training_batches(
    files: list[str],
    data: Data,
    batches: Batches,
    builder: type[FaceDataset],
    steps: int,
    epochs: int | None,
    seed: int,
    first_step: int = 0,
) -> tf.data.Dataset:
    """The batches of a run from the `first_step`-th on.

    Order and augmentation follow from the seed and the position in the run: one that is stopped and continues with any
    batch sees what an unbroken run sees.

    Args:
        files: gzipped TFRecords of transformed examples, those of a split in a folder of its own. Several splits are
            mixed evenly: any stretch of an epoch has as large a share of each as the whole.
        batches: their size, and how their pictures are augmented.
        builder: the data set's, for its LABELS.
        steps: batches an epoch; what is left over is drawn into other epochs.
        epochs: of the whole run; None for a run without end.
        first_step: counted from the start of the run.

    Returns:
        (image [batch, H, W, 3] uint8, {"attributes": [batch, N] int64, "positive_rate": [batch, N] float32, every row
        the training split's, "landmarks": [batch, 2·T] float32, "parsing": [batch, H, W] uint8, 255 = ignore,
        "emotion" and "clothing": [batch] int64, -1 = not annotated}); of the labels those that `data` uses. With
        teachers also their scores, "attributes_soft": [batch, N] and "clothing_soft": [batch, C] float32, -1 = none.
    """

    def prepare(index, example):
        image, labels = parse(example, data)
        return augment(image, labels, batches, tf.stack([tf.constant(seed, tf.int64), index]), builder.LABELS)

    return (
        _shuffled(files, seed)
        .take(steps * batches.batch_size)
        .repeat(epochs)
        .enumerate()
        .skip(first_step * batches.batch_size)
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batches.batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def _shuffled(files, seed):
    """The examples in an order that follows from the seed, another one each time; splits are mixed by their sizes."""
    splits = [list(names) for _, names in itertools.groupby(sorted(files), os.path.dirname)]
    if len(splits) < 2:
        return _examples(files).shuffle(_SHUFFLE_BUFFER, seed=seed, reshuffle_each_iteration=True)
    sizes = [count_examples(names) for names in splits]
    streams = []
    for number, (names, size) in enumerate(zip(splits, sizes, strict=True)):
        # All buffers together are as large as that of a single split.
        buffer = max(1, _SHUFFLE_BUFFER * size // max(1, sum(sizes)))
        streams.append(_examples(names).shuffle(buffer, seed=seed + number, reshuffle_each_iteration=True))
    return tf.data.Dataset.choose_from_datasets(streams, tf.data.Dataset.from_tensor_slices(mixture(sizes)))


def mixture(sizes: Sequence[int]) -> np.ndarray:
    """Which split each of sum(sizes) examples is from, so that splits of these sizes are spread evenly: int64."""
    places = np.concatenate([(np.arange(size) + 0.5) / size for size in sizes])
    return np.repeat(np.arange(len(sizes)), sizes)[np.argsort(places, kind="stable")]


def evaluation_examples(files: list[str], data: Data) -> tf.data.Dataset:
    """Single examples in stored order, not augmented; elements as of `training_batches` without the batch axis."""
    return _examples(files).map(lambda example: parse(example, data), num_parallel_calls=tf.data.AUTOTUNE)


def count_examples(files: list[str]) -> int:
    """Number of records in the files."""
    return int(_examples(files).reduce(tf.constant(0, tf.int64), lambda n, _: n + 1))


def example_images(files: list[str], count: int) -> list[bytes]:
    """The first `count` encoded pictures."""
    spec = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
    return [tf.io.parse_single_example(e, spec)["image/encoded"].numpy() for e in _examples(files).take(count)]


def _examples(files):
    return tf.data.TFRecordDataset(sorted(files), compression_type="GZIP")


def parse(example: tf.Tensor, data: Data) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """One serialized transformed example to (image [H, W, 3] uint8, labels): elements as of `training_batches`.

    A record that has no label map gets one that is 255 throughout.
    """
    features = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
    if data.attributes:
        num_attributes = len(annotated_names(data, "attributes"))
        features["attributes"] = tf.io.FixedLenFeature([num_attributes], tf.int64)
        features["positive_rate"] = tf.io.FixedLenFeature([num_attributes], tf.float32)
    if data.num_landmarks:
        features["landmarks"] = tf.io.FixedLenFeature([2 * data.num_landmarks], tf.float32)
    if data.parsing:
        features["parsing/encoded"] = tf.io.FixedLenFeature([], tf.string)
    if data.emotion:
        features["emotion"] = tf.io.FixedLenFeature([], tf.int64)
    if data.clothing:
        features["clothing"] = tf.io.FixedLenFeature([], tf.int64)
    for teacher in data.teachers:
        num_scores = len(annotated_names(data, teacher.label))
        features[f"{teacher.label}/soft"] = tf.io.FixedLenFeature([num_scores], tf.float32)
    labels = tf.io.parse_single_example(example, features)
    # The accurate transform: what training sees is then as near to what serving decodes as Transform's JPEG allows.
    image = tf.io.decode_jpeg(labels.pop("image/encoded"), channels=3, dct_method="INTEGER_ACCURATE")
    if data.parsing:
        labels["parsing"] = _label_map(labels.pop("parsing/encoded"), data.image_size)
    for teacher in data.teachers:
        labels[f"{teacher.label}_soft"] = labels.pop(f"{teacher.label}/soft")
    return tf.ensure_shape(image, [*data.image_size, 3]), labels


def _label_map(encoded, size):
    """A PNG, or an empty string, to [H, W] uint8."""
    labels = tf.cond(
        encoded == "",
        lambda: tf.fill([*size, 1], tf.constant(IGNORE_LABEL, tf.uint8)),
        lambda: tf.io.decode_png(encoded, channels=1),
    )
    return tf.ensure_shape(labels, [*size, 1])[..., 0]


def augment(
    image: tf.Tensor,
    labels: dict[str, tf.Tensor],
    batches: Batches,
    seed: tf.Tensor,
    classes: Sequence[str],
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Mirrors, shifts, turns and enlarges a picture together with its landmarks and its label map.

    Mirroring and shifting alone are exact; with rotation or enlargement all moves but the mirror are one `warp`.

    Args:
        image: [H, W, 3] uint8.
        labels: `landmarks` [2·T], in [0, 1] of the image, and `parsing` [H, W] uint8 are moved along; the rest stays.
        seed: [2] integers that decide everything.
        classes: the names of `parsing`'s labels, for the mirror.
    """
    size = tuple(image.shape[:2])
    seeds = tf.random.experimental.stateless_split(seed, 4)
    if batches.flip:
        mirrored = tf.random.stateless_uniform([], seeds[0]) < 0.5
        image, labels = tf.cond(mirrored, lambda: _mirror(image, labels, classes), lambda: (image, labels))
    shift = _drawn_shift(size, batches.max_shift, seeds[1])
    if batches.max_rotation or batches.scale != (1.0, 1.0):
        angle = tf.random.stateless_uniform([], seeds[2], -batches.max_rotation, batches.max_rotation)
        factor = tf.random.stateless_uniform([], seeds[3], *batches.scale)
        return warp(image, labels, movement(size, angle, factor, shift))
    return _shift(image, labels, shift) if batches.max_shift else (image, labels)


def _mirror(image, labels, classes):
    """The picture flipped left to right, and what its labels are then."""
    moved = dict(labels)
    if "landmarks" in labels:
        moved["landmarks"] = tf.reshape(mirror_points(tf.reshape(labels["landmarks"], [-1, 2])), [-1])
    if "parsing" in labels:
        moved["parsing"] = mirror_label_map(labels["parsing"], classes)
    return tf.reverse(image, [1]), moved


def mirror_points(points: tf.Tensor) -> tf.Tensor:
    """[T, 2] landmarks of the picture flipped left to right: x becomes 1 - x and left points become right points."""
    if points.shape[0] not in MARKUPS:
        raise ValueError(
            f"No mark-up of {points.shape[0]} points is known, only of {sorted(MARKUPS)}: which change places in "
            "a mirror? Add it to components/landmark_markup.py, or train with flip=False."
        )
    swapped = tf.gather(points, MARKUPS[points.shape[0]].mirror)
    return tf.stack([1.0 - swapped[:, 0], swapped[:, 1]], axis=-1)


def mirror_label_map(label_map: tf.Tensor, classes: Sequence[str]) -> tf.Tensor:
    """[H, W] uint8 label map of the picture flipped left to right; left classes become right ones, 255 stays."""
    others = range(len(classes), IGNORE_LABEL + 1)
    table = tf.constant([*mirrored_labels(classes), *others], tf.uint8)
    return tf.gather(table, tf.cast(tf.reverse(label_map, [1]), tf.int32))


def _drawn_shift(size, max_shift, seed):
    """[2] int32: whole pixels, down and to the right, of up to `max_shift` of the sides."""
    limit = tf.constant([round(max_shift * side) for side in size])
    offset = tf.cast(tf.random.stateless_uniform([2], seed, 0.0, 1.0) * tf.cast(2 * limit + 1, tf.float32), tf.int32)
    return limit - offset


def _shift(image, labels, shift):
    """Translates by `shift`; the border pixels fill what comes into view, and a label map has 255 there."""
    size = tf.constant(tuple(image.shape[:2]))
    rows, columns = (tf.range(size[axis]) - shift[axis] for axis in (0, 1))
    inside_rows, inside_columns = (tf.clip_by_value(x, 0, size[axis] - 1) for axis, x in enumerate((rows, columns)))

    def translated(pixels):
        return tf.gather(tf.gather(pixels, inside_rows, axis=0), inside_columns, axis=1)

    moved = dict(labels)
    if "landmarks" in labels:
        share = tf.cast(shift, tf.float32) / tf.cast(size, tf.float32)
        moved["landmarks"] = tf.reshape(tf.reshape(labels["landmarks"], [-1, 2]) + share[::-1], [-1])
    if "parsing" in labels:
        inside = (rows == inside_rows)[:, None] & (columns == inside_columns)
        moved["parsing"] = tf.where(inside, translated(labels["parsing"]), IGNORE_LABEL)
    return translated(image), moved


def movement(size: tuple[int, int], angle: tf.Tensor, factor: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """[3, 3] float32 matrix for `warp`: a rotation and enlargement about the picture's centre, then a translation.

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


def warp(image: tf.Tensor, labels: dict[str, tf.Tensor], matrix: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Moves a picture, its landmarks and its label map by one affine map.

    The image is interpolated bilinearly and its border pixels fill what comes into view. A pixel of the label map gets
    the nearest label, 255 if it comes from outside.

    Args:
        image: [H, W, 3] uint8.
        labels: as `augment` has them.
        matrix: [3, 3] float32, from (x, y, 1) of a point, in pixels from the middle of the top left one, to where
            it goes.
    """
    height, width = image.shape[:2]
    # The op asks where a pixel comes from.
    inverse = tf.reshape(tf.linalg.inv(matrix), [1, 9])[:, :8]

    def warped(pixels, interpolation, fill_mode, fill_value=0.0):
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=pixels[None],
            transforms=inverse,
            output_shape=[height, width],
            interpolation=interpolation,
            fill_mode=fill_mode,
            fill_value=fill_value,
        )[0]

    moved = dict(labels)
    if "landmarks" in labels:
        sides = tf.constant([width, height], tf.float32)
        points = tf.reshape(labels["landmarks"], [-1, 2]) * sides - 0.5
        points = tf.matmul(points, matrix[:2, :2], transpose_b=True) + matrix[:2, 2]
        moved["landmarks"] = tf.reshape((points + 0.5) / sides, [-1])
    if "parsing" in labels:
        moved["parsing"] = warped(labels["parsing"][..., None], "NEAREST", "CONSTANT", float(IGNORE_LABEL))[..., 0]
    # In float32, since for integers the op cuts off what it should round.
    image = tf.cast(tf.round(warped(tf.cast(image, tf.float32), "BILINEAR", "NEAREST")), tf.uint8)
    return image, moved
