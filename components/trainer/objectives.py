"""What a FaceModel minimises: labels and outputs to named scalars.

An objective has TERMS, the names of the scalars it gives; THRESHOLD, the score above which an attribute counts as
present before any training; `attribute_losses`, what callbacks look at; and a call, whose "loss" is minimised.
"""

from __future__ import annotations

import tensorflow as tf

from keras_models.losses import attribute_mse, joint_loss, landmark_mse, weighted_binary_crossentropy


class JointObjective:
    """DMM-CNN's joint loss (Eq. 3), or its attribute part where the network has no landmark branch.

    Args:
        beta: β, the weight of the landmark loss.
    """

    TERMS = ("loss", "attribute_loss", "landmark_loss")
    THRESHOLD = 0.0

    def __init__(self, beta: float = 0.5):
        self.beta = beta

    def attribute_losses(self, labels: dict, outputs: dict) -> tuple[tf.Tensor, tf.Tensor]:
        """Per attribute, the summed loss [N] and the number of annotated images [N]."""
        return attribute_mse(labels["attributes"], outputs["attributes"])

    def __call__(self, labels: dict, outputs: dict, attribute_weights: tf.Tensor) -> dict[str, tf.Tensor]:
        """Labels `attributes` [batch, N], `landmarks` [batch, 2·T]; outputs of the same names; weights [N]."""
        attributes = _mean(*self.attribute_losses(labels, outputs))
        landmarks = tf.constant(0.0)
        if "landmarks" in outputs:
            landmarks = _mean(*landmark_mse(labels["landmarks"], outputs["landmarks"]))
        return {
            "loss": joint_loss(attributes, attribute_weights, landmarks, self.beta),
            "attribute_loss": tf.reduce_mean(attributes),
            "landmark_loss": landmarks,
        }


class AttributeCrossEntropy:
    """The sum of the cross-entropies of every output and attribute (MGG-Net, Eq. 5), for networks of probabilities.

    Args:
        balanced: weigh the two sides of an attribute by their rates in the training split, for balanced accuracy.
    """

    TERMS = ("loss", "attribute_loss")
    THRESHOLD = 0.5

    def __init__(self, balanced: bool = False):
        self.balanced = balanced

    def attribute_losses(self, labels: dict, outputs: dict) -> tuple[tf.Tensor, tf.Tensor]:
        """Per attribute, the loss [N] summed over images and outputs, and the number of annotated images [N]."""
        truth = labels["attributes"]
        rate = labels["positive_rate"] if self.balanced else 0.5
        losses = [weighted_binary_crossentropy(truth, probabilities, rate) for probabilities in outputs.values()]
        annotated = tf.cast(truth >= 0, losses[0].dtype)
        return tf.reduce_sum(tf.add_n(losses), axis=0), tf.reduce_sum(annotated, axis=0)

    def __call__(self, labels: dict, outputs: dict, attribute_weights: tf.Tensor) -> dict[str, tf.Tensor]:
        """Labels `attributes`, `positive_rate`, each output, all [batch, N]; weights [N]."""
        attributes = _mean(*self.attribute_losses(labels, outputs))
        return {
            "loss": tf.reduce_sum(attribute_weights * attributes),
            "attribute_loss": tf.reduce_mean(attributes),
        }


def _mean(total, count):
    """total / count of one device; on several, a share whose mean over the devices is Σ total / Σ count."""
    context = tf.distribute.get_replica_context()
    counts = context.all_reduce(tf.distribute.ReduceOp.MEAN, count)
    return tf.math.divide_no_nan(total, counts)
