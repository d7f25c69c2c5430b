"""How points of a face are learnt."""

from __future__ import annotations

import tensorflow as tf
from tensorflow import keras

from components.tasks import base
from components.tasks.landmarks.markup import MARKUPS
from components.tasks.mean_by_name import MeanByName
from keras_models.losses.attributes import landmark_mse


class Learning(base.Learning):
    """Squared error of the coordinates; validation by the normalised mean error, in pixels of the working size."""

    higher_is_better = False

    def __init__(self, task, image_size):
        super().__init__(task, image_size)
        self.metric = keras.metrics.Mean("nme")
        self._nme_by_point = MeanByName(len(task.names))

    @property
    def channels(self):
        return 2 * len(self.task.names)

    def loss(self, labels, output):
        return landmark_mse(labels[self.task.name], output)

    def update(self, labels, output, losses):
        count = len(self.task.names)
        truth, output = (
            tf.reshape(points, [-1, count, 2]) * self.image_size[::-1] for points in (labels[self.task.name], output)
        )
        eyes = [tf.reduce_mean(tf.gather(truth, eye, axis=1), axis=1) for eye in MARKUPS[count].eyes]
        nme = tf.norm(output - truth, axis=-1) / tf.norm(eyes[0] - eyes[1], axis=-1)[:, tf.newaxis]
        annotated = tf.reduce_all(tf.math.is_finite(labels[self.task.name]), axis=-1)
        self.metric.update_state(tf.boolean_mask(tf.reduce_mean(nme, axis=-1), annotated))
        self._nme_by_point.update_state(nme, tf.broadcast_to(annotated[:, tf.newaxis], tf.shape(nme)))

    def metrics(self):
        return [self.metric, self._nme_by_point]

    def epoch_record(self):
        """Per point: NME on the validation split."""
        return {f"{self.task.name}_nme_by_point": self._nme_by_point.values()}

    def mean_target(self, labels):
        truth = labels[self.task.name]
        annotated = tf.math.is_finite(truth)
        return tf.where(annotated, truth, 0.0), tf.cast(annotated, tf.float32)
