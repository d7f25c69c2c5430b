"""How yes-or-no labels are learnt, with decision thresholds and loss weights that callbacks move."""

from __future__ import annotations

from types import MappingProxyType

import tensorflow as tf
from tensorflow import keras

from components.tasks import base
from keras_models.losses.attributes import attribute_mse, soft_binary_crossentropy

# Above which score an attribute counts as present before any training, by what the network gives.
THRESHOLDS = MappingProxyType({"logits": 0.0, "probabilities": 0.5, "signed": 0.0})


class BinaryErrors(keras.metrics.Metric):
    """Per question over a split: summed loss, annotated images, false positives and negatives at the thresholds.

    Its result is the share of right decisions.

    Args:
        count: N, of the questions.
    """

    def __init__(self, count: int, **kwargs):
        super().__init__(dtype=tf.float32, **kwargs)
        for name in ("loss_sum", "annotated", "false_positives", "false_negatives"):
            setattr(self, name, self.add_weight(name, [count], initializer="zeros"))

    def update_state(self, losses, truth, scores, thresholds):
        """Adds a batch.

        Args:
            losses: the batch's summed loss [N] and annotated images [N].
            truth: [batch, N] 1, 0 or -1 (not annotated).
            scores: [batch, N].
            thresholds: [N]; positive if above (DMM-CNN, Eq. 5).
        """
        loss_sum, annotated = losses
        positive = scores > thresholds
        self.loss_sum.assign_add(loss_sum)
        self.annotated.assign_add(annotated)
        self.false_positives.assign_add(_number(positive & (truth == 0)))
        self.false_negatives.assign_add(_number(~positive & (truth == 1)))

    def reset_state(self):
        for variable in self.variables:
            variable.assign(tf.zeros_like(variable))

    def losses(self):
        """[N] mean loss as NumPy; 0 for a question that is answered nowhere."""
        return tf.math.divide_no_nan(self.loss_sum, self.annotated).numpy()

    def result(self):
        wrong = tf.reduce_sum(self.false_positives + self.false_negatives)
        return 1.0 - tf.math.divide_no_nan(wrong, tf.reduce_sum(self.annotated))


def _number(flags):
    return tf.reduce_sum(tf.cast(flags, tf.float32), axis=0)


class Learning(base.Learning):
    """Cross-entropy, or the squared error of values trained towards +1 and -1, as the option `scores` says.

    Attributes:
        thresholds: [N], above which a score is a yes; saved with the model.
        weights: [N], of the attributes' losses.
        training_losses: BinaryErrors of the training split, which callbacks reset.
    """

    def __init__(self, task, image_size):
        super().__init__(task, image_size)
        self._scores = task.option("scores", "logits")
        count = len(task.names)
        self.thresholds = tf.Variable(tf.fill([count], THRESHOLDS[self._scores]), trainable=False, name="thresholds")
        self.weights = tf.Variable(tf.ones([count]), trainable=False, name="weights")
        self.metric = BinaryErrors(count, name="accuracy")
        self.training_losses = BinaryErrors(count, name="training_losses")

    def truth(self, labels):
        """[batch, N] 1, 0, or -1 where not annotated."""
        return labels[self.task.name]

    def targets(self, labels):
        """[batch, N] float32: the truth, a teacher's score where there is no truth, or -1 where there is neither."""
        truth = tf.cast(self.truth(labels), tf.float32)
        soft = labels.get(f"{self.task.name}_soft")
        return truth if soft is None else tf.where(truth >= 0, truth, soft)

    def loss(self, labels, output):
        if self._scores == "signed":
            return attribute_mse(self.truth(labels), output)
        targets = self.targets(labels)
        if self._scores == "probabilities":
            losses = soft_binary_crossentropy(targets, output)
        else:
            # What is not known has no target; a negative one would be clear of infinities, but not 0.
            losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(tf.maximum(targets, 0), output.dtype), output)
        known = tf.cast(targets >= 0, losses.dtype)
        return tf.reduce_sum(losses * known, axis=0), tf.reduce_sum(known, axis=0)

    def update(self, labels, output, losses):
        self.metric.update_state(losses, self.truth(labels), output, self.thresholds)

    def update_training(self, labels, output, losses):
        self.training_losses.update_state(losses, self.truth(labels), output, self.thresholds)

    def mean_target(self, labels):
        truth = self.truth(labels)
        return tf.cast(truth == 1, tf.float32), tf.cast(truth >= 0, tf.float32)

    def state(self):
        return {"thresholds": self.thresholds}

    def epoch_record(self):
        return {
            f"{self.task.name}_losses": self.metric.losses().tolist(),
            f"{self.task.name}_weights": self.weights.numpy().tolist(),
            f"{self.task.name}_thresholds": self.thresholds.numpy().tolist(),
        }
