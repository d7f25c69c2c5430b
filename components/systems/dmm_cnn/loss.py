"""DMM-CNN's joint loss."""

from __future__ import annotations

import tensorflow as tf

from components.trainer.objectives import Objective, replica_mean
from keras_models.losses.attributes import joint_loss


class DMMLoss(Objective):
    """DMM-CNN's joint loss (Mao et al. 2020, Eq. 3), or its attribute part where the network has no landmark branch.

    Args:
        beta: β, the weight of the landmark loss.
        attributes, landmarks: names of the tasks.
    """

    TERMS = ("loss", "attribute_loss", "landmark_loss")

    def __init__(self, beta: float = 0.5, attributes: str = "attributes", landmarks: str = "landmarks"):
        self.beta = beta
        self.attributes = attributes
        self.landmarks = landmarks

    def bind(self, tasks):
        super().bind(tasks)
        if self.attributes not in tasks:
            raise ValueError(f"DMMLoss needs the task {self.attributes!r}; the experiment has {', '.join(tasks)}.")

    def __call__(self, labels, outputs):
        losses = self.task_losses(labels, outputs)
        attributes = replica_mean(*losses[self.attributes])
        landmarks = replica_mean(*losses[self.landmarks]) if self.landmarks in losses else tf.constant(0.0)
        return {
            "loss": joint_loss(attributes, self.tasks[self.attributes].weights, landmarks, self.beta),
            "attribute_loss": tf.reduce_mean(attributes),
            "landmark_loss": landmarks,
        }
