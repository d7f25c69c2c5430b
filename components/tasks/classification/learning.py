"""How one class an image is learnt."""

from __future__ import annotations

import tensorflow as tf
from tensorflow import keras

from components.tasks import base
from components.tasks.dense import NOT_ANNOTATED
from components.tasks.mean_by_name import MeanByName
from keras_models.losses.attributes import soft_binary_crossentropy


class Learning(base.Learning):
    """Cross-entropy of one choice among logits, or of a probability for each class, as the option `scores` says."""

    def __init__(self, task, image_size):
        super().__init__(task, image_size)
        self._one_by_one = task.option("scores", "logits") == "probabilities"
        self.metric = keras.metrics.SparseCategoricalAccuracy("accuracy")
        self._recall = MeanByName(len(task.names))

    def truth(self, labels):
        """[batch, C] int64, each class as a question of its own: 1 or 0, or all -1 where not annotated."""
        classes = labels[self.task.name]
        one_hot = tf.one_hot(classes, len(self.task.names), dtype=tf.int64)
        return tf.where(classes[:, tf.newaxis] >= 0, one_hot, NOT_ANNOTATED)

    def targets(self, labels):
        """[batch, C] float32: `truth`, a teacher's score where there is no truth, or -1 where there is neither."""
        truth = tf.cast(self.truth(labels), tf.float32)
        soft = labels.get(f"{self.task.name}_soft")
        return truth if soft is None else tf.where(truth >= 0, truth, soft)

    def loss(self, labels, output):
        if self._one_by_one:
            targets = self.targets(labels)
            losses = soft_binary_crossentropy(targets, output)
            return tf.reduce_sum(losses, axis=0), tf.reduce_sum(tf.cast(targets >= 0, losses.dtype), axis=0)
        classes = labels[self.task.name]
        annotated = classes != NOT_ANNOTATED
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.where(annotated, classes, 0), output)
        annotated = tf.cast(annotated, losses.dtype)
        return tf.reduce_sum(losses * annotated), tf.reduce_sum(annotated)

    def update(self, labels, output, losses):
        classes = labels[self.task.name]
        self.metric.update_state(classes, output, sample_weight=classes != NOT_ANNOTATED)
        answers = tf.one_hot(tf.argmax(output, axis=-1), len(self.task.names))
        self._recall.update_state(answers, self.truth(labels) == 1)

    def metrics(self):
        return [self.metric, self._recall]

    def epoch_record(self):
        """Per class: recall on the validation split; NaN for a class that no image has."""
        return {f"{self.task.name}_recall": self._recall.values()}

    def mean_target(self, labels):
        truth = self.truth(labels)
        return tf.cast(truth == 1, tf.float32), tf.cast(truth >= 0, tf.float32)
