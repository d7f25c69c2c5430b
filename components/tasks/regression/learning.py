"""How one number an image is learnt."""

from __future__ import annotations

import tensorflow as tf
from tensorflow import keras

from components.tasks import base


class Learning(base.Learning):
    """Huber loss of the number that the network gives in units of the option `scale`; validation by absolute error."""

    higher_is_better = False

    def __init__(self, task, image_size):
        super().__init__(task, image_size)
        self._scale = task.option("scale", 1.0)
        self._delta = task.option("delta", self._scale) / self._scale
        self.metric = keras.metrics.Mean("mean_absolute_error")

    @property
    def channels(self):
        return 1

    def loss(self, labels, output):
        truth, annotated = self._truth(labels)
        losses = keras.losses.huber(truth[:, tf.newaxis] / self._scale, output, self._delta)
        annotated = tf.cast(annotated, losses.dtype)
        return tf.reduce_sum(losses * annotated), tf.reduce_sum(annotated)

    def update(self, labels, output, losses):
        truth, annotated = self._truth(labels)
        errors = tf.abs(truth - self._scale * output[:, 0])
        self.metric.update_state(tf.boolean_mask(errors, annotated))

    def mean_target(self, labels):
        truth, annotated = self._truth(labels)
        return truth[:, tf.newaxis] / self._scale, tf.cast(annotated, tf.float32)[:, tf.newaxis]

    def _truth(self, labels):
        """[batch] numbers, 0 where not annotated: a NaN behind tf.where would still reach the gradient."""
        truth = labels[self.task.name]
        annotated = tf.math.is_finite(truth)
        return tf.where(annotated, truth, 0.0), annotated
