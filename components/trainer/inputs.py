"""The training input pipeline: transformed examples to augmented batches, in an order that a restart repeats."""

from __future__ import annotations

import tensorflow as tf

from components.config import Data, Training
from components.landmark_markup import MARKUPS

_SHUFFLE_BUFFER = 16_384


def training_batches(
    files: list[str], data: Data, training: Training, num_attributes: int, steps: int, first_epoch: int = 0
) -> tf.data.Dataset:
    """Batches of all epochs from `first_epoch` on.

    Order and augmentation follow from the seed, so a run that is stopped and continues with an epoch sees what an
    unbroken run sees.

    Args:
        files: gzipped TFRecords of transformed examples.
        num_attributes: N.
        steps: batches an epoch; what is left over is drawn into other epochs.

    Returns:
        (image [batch, H, W, 3] uint8, {"attributes": [batch, N] int64, "positive_rate": [batch, N] float32, every row
        the training split's, "landmarks": [batch, 2·T] float32}).
    """
    epoch_size = steps * training.batch_size

    def prepare(index, example):
        image, labels = parse(example, data, num_attributes)
        return augment(image, labels, training, tf.stack([tf.constant(training.seed, tf.int64), index]))

    return (
        _examples(files)
        .shuffle(_SHUFFLE_BUFFER, seed=training.seed, reshuffle_each_iteration=True)
        .take(epoch_size)
        .repeat(training.epochs)
        .enumerate()
        .skip(first_epoch * epoch_size)
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(training.batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def evaluation_examples(files: list[str], data: Data, num_attributes: int) -> tf.data.Dataset:
    """Single examples in stored order, not augmented; elements as of `training_batches` without the batch axis."""
    return _examples(files).map(
        lambda example: parse(example, data, num_attributes), num_parallel_calls=tf.data.AUTOTUNE
    )


def count_examples(files: list[str]) -> int:
    """Number of records in the files."""
    return int(_examples(files).reduce(tf.constant(0, tf.int64), lambda n, _: n + 1))


def example_images(files: list[str], count: int) -> list[bytes]:
    """The first `count` encoded pictures."""
    spec = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
    return [tf.io.parse_single_example(e, spec)["image/encoded"].numpy() for e in _examples(files).take(count)]


def _examples(files):
    return tf.data.TFRecordDataset(sorted(files), compression_type="GZIP")


def parse(example: tf.Tensor, data: Data, num_attributes: int) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """One serialized transformed example to (image [H, W, 3] uint8, labels)."""
    features = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "attributes": tf.io.FixedLenFeature([num_attributes], tf.int64),
        "positive_rate": tf.io.FixedLenFeature([num_attributes], tf.float32),
    }
    if data.num_landmarks:
        features["landmarks"] = tf.io.FixedLenFeature([2 * data.num_landmarks], tf.float32)
    labels = tf.io.parse_single_example(example, features)
    # The accurate transform: what training sees is then as near to what serving decodes as Transform's JPEG allows.
    image = tf.io.decode_jpeg(labels.pop("image/encoded"), channels=3, dct_method="INTEGER_ACCURATE")
    return tf.ensure_shape(image, [*data.image_size, 3]), labels


def augment(
    image: tf.Tensor, labels: dict[str, tf.Tensor], training: Training, seed: tf.Tensor
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Mirrors and shifts a picture together with its landmarks.

    Args:
        image: [H, W, 3] uint8.
        labels: `landmarks` [2·T], in [0, 1] of the image, is moved along; the rest stays.
        seed: [2] integers that decide everything.
    """
    seeds = tf.random.experimental.stateless_split(seed, 2)
    points = tf.reshape(labels["landmarks"], [-1, 2]) if "landmarks" in labels else tf.zeros([0, 2])
    if training.flip:
        mirrored = tf.random.stateless_uniform([], seeds[0]) < 0.5
        image = tf.where(mirrored, image[:, ::-1], image)
        points = tf.where(mirrored, mirror_points(points), points)
    if training.max_shift:
        image, points = _shift(image, points, training.max_shift, seeds[1])
    if "landmarks" in labels:
        labels = {**labels, "landmarks": tf.reshape(points, [-1])}
    return image, labels


def mirror_points(points: tf.Tensor) -> tf.Tensor:
    """[T, 2] landmarks of the picture flipped left to right: x becomes 1 - x and left points become right points."""
    if points.shape[0] == 0:
        return points
    if points.shape[0] not in MARKUPS:
        raise ValueError(
            f"No mark-up of {points.shape[0]} points is known, only of {sorted(MARKUPS)}: which change places in "
            "a mirror? Add it to components/landmark_markup.py, or train with flip=False."
        )
    swapped = tf.gather(points, MARKUPS[points.shape[0]].mirror)
    return tf.stack([1.0 - swapped[:, 0], swapped[:, 1]], axis=-1)


def _shift(image, points, max_shift, seed):
    """Translates by up to `max_shift` of the sides; the border pixels fill what comes into view."""
    height, width = image.shape[:2]
    limit = tf.constant([round(max_shift * height), round(max_shift * width)])
    offset = tf.cast(tf.random.stateless_uniform([2], seed, 0.0, 1.0) * tf.cast(2 * limit + 1, tf.float32), tf.int32)
    rows = tf.clip_by_value(tf.range(height) + offset[0] - limit[0], 0, height - 1)
    columns = tf.clip_by_value(tf.range(width) + offset[1] - limit[1], 0, width - 1)
    moved = tf.cast((limit - offset)[::-1], tf.float32) / tf.constant([width, height], tf.float32)
    return tf.gather(tf.gather(image, rows, axis=0), columns, axis=1), points + moved
