"""MGG-Net's loss."""

from __future__ import annotations

import tensorflow as tf

from components.trainer.objectives import Objective, only_task, replica_mean
from keras_models.losses.attributes import weighted_binary_crossentropy


class MGGLoss(Objective):
    """The sum of the cross-entropies of every output and attribute (MGG-Net, Eq. 5), for a network of probabilities.

    Args:
        balanced: weigh the two sides of an attribute by their rates in the training split, for balanced accuracy.
    """

    TERMS = ("loss", "attribute_loss")

    def __init__(self, balanced: bool = False):
        self.balanced = balanced

    def bind(self, tasks):
        super().bind(tasks)
        self.task = only_task(tasks, "multi_label", "MGGLoss")

    def task_losses(self, labels, outputs):
        """Of the task, the loss [N] summed over images and all outputs, and the number of annotated images [N]."""
        name = self.task
        truth = labels[name]
        rate = labels[f"{name}_positive_rate"] if self.balanced else 0.5
        losses = [weighted_binary_crossentropy(truth, probabilities, rate) for probabilities in outputs.values()]
        annotated = tf.cast(truth >= 0, losses[0].dtype)
        return {name: (tf.reduce_sum(tf.add_n(losses), axis=0), tf.reduce_sum(annotated, axis=0))}

    def __call__(self, labels, outputs):
        attributes = replica_mean(*self.task_losses(labels, outputs)[self.task])
        return {
            "loss": tf.reduce_sum(self.tasks[self.task].weights * attributes),
            "attribute_loss": tf.reduce_mean(attributes),
        }
