"""What is minimised, measured and averaged of each task that a network of several learns."""

from __future__ import annotations

import abc

import numpy as np
import tensorflow as tf
from tensorflow import keras

from components.tasks.landmarks.markup import MARKUPS
from components.record import IGNORE_LABEL
from components.trainer.parsing_model import MeanF1
from keras_models.losses import labelled_mean, landmark_mse, pixel_cross_entropy

NOT_ANNOTATED = -1


class Task(abc.ABC):
    """A task by its label in the records, for a network with an output of that name.

    Attributes:
        metric: keras.metrics.Metric of the validation split; its name is the figure's.

    Args:
        outputs: number of classes, points or answers.
        image_size: (height, width) of the pictures.
    """

    metric: keras.metrics.Metric

    def __init__(self, outputs: int, image_size: tuple[int, int]):
        self.outputs = outputs
        self.image_size = image_size

    @abc.abstractmethod
    def loss(self, truth: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        """Scalar, the mean over what is annotated of a batch."""

    @abc.abstractmethod
    def count(self, truth: tf.Tensor, output: tf.Tensor) -> None:
        """Adds a batch to the metric."""

    @abc.abstractmethod
    def target(self, truth: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What a perfect network predicts, and 1 or 0: whether it is annotated; both of the prediction's shape."""


class Parsing(Task):
    """Labels [batch, H, W] integers, 255 to ignore; logits [batch, H, W, C]."""

    def __init__(self, outputs, image_size):
        super().__init__(outputs, image_size)
        self.metric = MeanF1(outputs)

    def loss(self, truth, output):
        return labelled_mean(pixel_cross_entropy(truth, output), truth)

    def count(self, truth, output):
        self.metric.update_state(truth, output)

    def target(self, truth):
        labelled = tf.cast(truth != IGNORE_LABEL, tf.float32)[..., None]
        return tf.one_hot(tf.cast(truth, tf.int32), self.outputs), labelled * tf.ones([self.outputs])


class Landmarks(Task):
    """Labels and outputs [batch, 2·L] x, y in [0, 1] of the image; labels are NaN where not annotated."""

    def __init__(self, outputs, image_size):
        super().__init__(outputs, image_size)
        self.metric = keras.metrics.Mean("nme")

    def loss(self, truth, output):
        return tf.math.divide_no_nan(*landmark_mse(truth, output))

    def count(self, truth, output):
        truth, output = (tf.reshape(x, [-1, self.outputs, 2]) * self.image_size[::-1] for x in (truth, output))
        eyes = [tf.reduce_mean(tf.gather(truth, eye, axis=1), axis=1) for eye in MARKUPS[self.outputs].eyes]
        error = tf.reduce_mean(tf.norm(output - truth, axis=-1), axis=-1)
        nme = error / tf.norm(eyes[0] - eyes[1], axis=-1)
        self.metric.update_state(tf.boolean_mask(nme, tf.math.is_finite(nme)))

    def target(self, truth):
        annotated = tf.math.is_finite(truth)
        return tf.where(annotated, truth, 0.0), tf.cast(annotated, tf.float32)


class Emotion(Task):
    """Labels [batch] class indices, -1 where not annotated; logits [batch, C]."""

    def __init__(self, outputs, image_size):
        super().__init__(outputs, image_size)
        self.metric = keras.metrics.SparseCategoricalAccuracy("accuracy")

    def loss(self, truth, output):
        annotated = truth != NOT_ANNOTATED
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.where(annotated, truth, 0), output)
        return _mean(losses, annotated)

    def count(self, truth, output):
        self.metric.update_state(truth, output, sample_weight=truth != NOT_ANNOTATED)

    def target(self, truth):
        annotated = tf.cast(truth != NOT_ANNOTATED, tf.float32)[:, None]
        return tf.one_hot(truth, self.outputs), annotated * tf.ones([self.outputs])


class Attributes(Task):
    """Labels [batch, N] 1, 0 or -1 (not annotated); logits [batch, N]."""

    def __init__(self, outputs, image_size):
        super().__init__(outputs, image_size)
        self.metric = keras.metrics.BinaryAccuracy("accuracy", threshold=0.0)

    def loss(self, truth, output):
        losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(truth == 1, output.dtype), output)
        return _mean(losses, truth != NOT_ANNOTATED)

    def count(self, truth, output):
        annotated = truth != NOT_ANNOTATED
        # The metric takes the mean of the last axis, so that each answer gets an axis of its own.
        truth, output = (tf.boolean_mask(x, annotated)[:, None] for x in (truth, output))
        self.metric.update_state(truth, output)

    def target(self, truth):
        return tf.cast(truth == 1, tf.float32), tf.cast(truth != NOT_ANNOTATED, tf.float32)


TASKS = {"parsing": Parsing, "landmarks": Landmarks, "emotion": Emotion, "attributes": Attributes}


def mean_target(task: Task, label: str, batches: tf.data.Dataset) -> np.ndarray:
    """The mean of what is annotated in a split, as a prediction without batch axis; 0 where nothing is.

    Args:
        label: of the task in the batches' labels.
        batches: (image, labels).
    """
    total = count = 0.0
    for _, labels in batches:
        values, annotated = task.target(labels[label])
        total += tf.reduce_sum(values * annotated, axis=0).numpy().astype(np.float64)
        count += tf.reduce_sum(annotated, axis=0).numpy().astype(np.float64)
    return (total / np.maximum(count, 1)).astype(np.float32)


def _mean(losses, counted):
    counted = tf.cast(counted, losses.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(losses * counted), tf.reduce_sum(counted))
