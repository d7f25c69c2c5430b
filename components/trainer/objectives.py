"""What a FaceModel minimises: labels and outputs to named scalars."""

from __future__ import annotations

import tensorflow as tf

from keras_models.losses import attribute_mse, joint_loss, landmark_mse


class JointObjective:
    """DMM-CNN's joint loss (Eq. 3), or its attribute part where the network has no landmark branch.

    Args:
        beta: β, the weight of the landmark loss.
    """

    TERMS = ("loss", "attribute_loss", "landmark_loss")

    def __init__(self, beta: float = 0.5):
        self.beta = beta

    def __call__(self, labels: dict, outputs: dict, attribute_weights: tf.Tensor) -> dict[str, tf.Tensor]:
        """Labels `attributes` [batch, N], `landmarks` [batch, 2·T]; outputs of the same names; weights [N]."""
        attributes = tf.math.divide_no_nan(*attribute_mse(labels["attributes"], outputs["attributes"]))
        landmarks = tf.constant(0.0)
        if "landmarks" in outputs:
            landmarks = tf.math.divide_no_nan(*landmark_mse(labels["landmarks"], outputs["landmarks"]))
        return {
            "loss": joint_loss(attributes, attribute_weights, landmarks, self.beta),
            "attribute_loss": tf.reduce_mean(attributes),
            "landmark_loss": landmarks,
        }
