"""A network for attributes together with what training keeps beside its weights."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
from tensorflow import keras

from components.trainer.task_model import TaskModel


class AttributeErrors(keras.metrics.Metric):
    """Per attribute over a split: summed loss, annotated images, false positives and negatives at the thresholds.

    Args:
        num_attributes: N.
    """

    def __init__(self, num_attributes: int, **kwargs):
        super().__init__(dtype=tf.float32, **kwargs)
        for name in ("loss_sum", "annotated", "false_positives", "false_negatives"):
            setattr(self, name, self.add_weight(name, [num_attributes], initializer="zeros"))

    def update_state(self, losses, labels, scores, thresholds):
        """Adds a batch.

        Args:
            losses: per attribute, the batch's summed loss [N] and annotated images [N].
            labels: [batch, N] 1, 0 or -1 (not annotated).
            scores: [batch, N].
            thresholds: [N]; positive if above (DMM-CNN, Eq. 5).
        """
        loss_sum, annotated = losses
        positive = scores > thresholds
        self.loss_sum.assign_add(loss_sum)
        self.annotated.assign_add(annotated)
        self.false_positives.assign_add(_number(positive & (labels == 0)))
        self.false_negatives.assign_add(_number(~positive & (labels == 1)))

    def reset_state(self):
        for variable in self.variables:
            variable.assign(tf.zeros_like(variable))

    def losses(self):
        """[N] mean loss per attribute as NumPy; 0 for an attribute that is annotated nowhere."""
        return tf.math.divide_no_nan(self.loss_sum, self.annotated).numpy()

    def result(self):
        """Scalar: share of wrong decisions."""
        return tf.math.divide_no_nan(
            tf.reduce_sum(self.false_positives + self.false_negatives), tf.reduce_sum(self.annotated)
        )


def _number(flags):
    return tf.reduce_sum(tf.cast(flags, tf.float32), axis=0)


class FaceModel(TaskModel):
    """A network for attributes: its loss weights and decision thresholds are variables that callbacks move.

    The objective says which outputs are yes-or-no tasks (attributes, categories of clothing) and what else is learnt.

    Args:
        network: image -> dict of outputs.
        objective: what is minimised; see components.trainer.objectives. Its `THRESHOLD` is where decisions start.
        num_attributes: N.
    """

    def __init__(self, network: keras.Model, objective: Callable, num_attributes: int):
        super().__init__(network, objective)
        self.thresholds = tf.Variable(
            tf.fill([num_attributes], objective.THRESHOLD), trainable=False, name="thresholds"
        )
        self.attribute_weights = tf.Variable(tf.ones([num_attributes]), trainable=False, name="attribute_weights")
        self.validation = AttributeErrors(num_attributes, name="validation")
        self.training_losses = AttributeErrors(num_attributes, name="training_losses")

    @property
    def metrics(self):
        """What Keras resets before a pass. The training losses are still needed after the validation pass."""
        return [*super().metrics, self.validation]

    def validation_terms(self, labels, outputs):
        return self.objective(labels, outputs, self.attribute_weights)

    def count_training(self, labels, outputs):
        self._count(self.training_losses, labels, outputs)

    def count_validation(self, labels, outputs):
        self._count(self.validation, labels, outputs)
        return {}

    def epoch_record(self):
        """Per attribute: validation loss, loss weight, threshold."""
        return {
            "attribute_losses": self.validation.losses().tolist(),
            "attribute_weights": self.attribute_weights.numpy().tolist(),
            "thresholds": self.thresholds.numpy().tolist(),
        }

    @tf.function
    def attribute_losses(self, image, labels):
        """[N] mean loss per attribute of a batch; 0 for an attribute that is annotated nowhere in it."""
        outputs = self(image, training=False)
        return tf.math.divide_no_nan(*self.objective.attribute_losses(labels, outputs))

    def _count(self, errors, labels, outputs):
        losses = self.objective.attribute_losses(labels, outputs)
        truth, scores = self.objective.truth(labels, outputs), self.objective.scores(outputs)
        errors.update_state(losses, truth, scores, self.thresholds)
