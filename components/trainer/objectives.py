"""What is minimised: labels and outputs to named scalars.

An objective has TERMS, the names of the scalars it gives, and a call, whose "loss" is minimised. One for attributes
also has THRESHOLD, the score above which an attribute counts as present before any training, `attribute_losses`, what
callbacks look at, and what is compared there: `truth` and `scores`.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from components.config import BINARY_LABELS
from components.record import IGNORE_LABEL
from keras_models.edges import edge_labels
from keras_models.losses import (
    attribute_mse,
    binary_edge_attention,
    binary_edge_cross_entropy,
    category_edge_attention,
    category_edge_cross_entropy,
    dml_loss,
    joint_loss,
    labelled_mean,
    landmark_mse,
    lovasz_softmax,
    pixel_cross_entropy,
    soft_binary_crossentropy,
    weighted_binary_crossentropy,
)


class AttributeObjective:
    """Base of the objectives of networks for attributes: what is compared is `attributes`."""

    def truth(self, labels: dict, outputs: dict) -> tf.Tensor:
        """[batch, N] integers: 1, 0, or -1 where not annotated."""
        del outputs
        return labels["attributes"]

    def targets(self, labels: dict, outputs: dict) -> tf.Tensor:
        """[batch, N] float32, what is learnt: the truth."""
        return tf.cast(self.truth(labels, outputs), tf.float32)

    def scores(self, outputs: dict) -> tf.Tensor:
        """[batch, N]"""
        return outputs["attributes"]


class JointObjective(AttributeObjective):
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


class AttributeCrossEntropy(AttributeObjective):
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


class TaskCrossEntropy(AttributeObjective):
    """Cross-entropy of yes-or-no tasks that all weigh the same (Lu et al. 2017, Section 4.5).

    The tasks are the attributes and then the clothing categories, each category a task of its own; of those the ones
    that the network has an output for. Where a record has no annotation, a teacher's scores are the targets; without
    those the task is left out of the loss.
    """

    TERMS = ("loss", "task_loss")
    THRESHOLD = 0.5

    def truth(self, labels: dict, outputs: dict) -> tf.Tensor:
        """[batch, T] int64: 1, 0, or -1 where not annotated; labels and outputs as of the call."""
        tasks = dict(labels)
        if "clothing" in outputs:
            tasks["clothing"] = one_hot(labels["clothing"], outputs["clothing"].shape[-1])
        return tf.concat([tasks[name] for name in BINARY_LABELS if name in outputs], axis=-1)

    def targets(self, labels: dict, outputs: dict) -> tf.Tensor:
        """[batch, T] float32: the truth, a teacher's score where there is no truth, or -1 where there is neither."""
        truth = super().targets(labels, outputs)
        soft = [labels.get(f"{name}_soft", -tf.ones_like(outputs[name])) for name in BINARY_LABELS if name in outputs]
        return tf.where(truth >= 0, truth, tf.concat(soft, axis=-1))

    def scores(self, outputs: dict) -> tf.Tensor:
        """[batch, T]"""
        return tf.concat([outputs[name] for name in BINARY_LABELS if name in outputs], axis=-1)

    def attribute_losses(self, labels: dict, outputs: dict) -> tuple[tf.Tensor, tf.Tensor]:
        """Per task, the summed loss [T] and the number of images [T] that it is known of."""
        targets = self.targets(labels, outputs)
        losses = soft_binary_crossentropy(targets, self.scores(outputs))
        return tf.reduce_sum(losses, axis=0), tf.reduce_sum(tf.cast(targets >= 0, losses.dtype), axis=0)

    def __call__(self, labels: dict, outputs: dict, attribute_weights: tf.Tensor) -> dict[str, tf.Tensor]:
        """The loss.

        Args:
            labels: `attributes` [batch, N], `clothing` [batch]; `attributes_soft` [batch, N], `clothing_soft`
                [batch, C] where there are teachers, -1 where they weren't asked.
            outputs: `attributes` [batch, N] and `clothing` [batch, C] probabilities, or one of them.
            attribute_weights: [T].
        """
        tasks = _mean(*self.attribute_losses(labels, outputs))
        return {"loss": tf.reduce_sum(attribute_weights * tasks), "task_loss": tf.reduce_mean(tasks)}


def one_hot(classes: tf.Tensor, num_classes: int) -> tf.Tensor:
    """[batch] class numbers, -1 = not annotated -> [batch, C] int64: 1 for the class, 0 for the others; or all -1."""
    return tf.where(classes[:, tf.newaxis] >= 0, tf.one_hot(classes, num_classes, dtype=tf.int64), -1)


class DecoupledObjective:
    """DML-CSR's multi-task loss L_DML (Eq. 5): parsing, both kinds of edges, and the parsing on them.

    Edges are made of the label maps here and not in the input pipeline: they are as well aligned, and a batch is then
    C + 2 times smaller on its way to the accelerator. On several devices each takes the means of its share.

    Args:
        weights: λ0 to λ4: parsing, binary edges, category edges, attention to either. A part whose weight is 0 is not
            computed; λ1 and λ2 need a network with edge branches, the attention needs labels alone.
        both_sides, dilation: see `keras_models.edges.edge_labels`.
    """

    TERMS = ("loss", "parsing_loss", "edge_loss", "attention_loss")

    def __init__(self, weights: Sequence[float] = (1, 1, 1, 4, 1), both_sides: bool = True, dilation: int = 0):
        self.weights = weights
        self.both_sides = both_sides
        self.dilation = dilation

    def __call__(self, labels: dict, outputs: dict) -> dict[str, tf.Tensor]:
        """Label `parsing` [batch, H, W] integers, 255 to ignore; outputs: logits as of keras_models.DMLCSR.

        Returns:
            The loss, and its terms about parsing, edges and the parsing on edges, added up without the weights.
        """
        truth, logits = labels["parsing"], outputs["parsing"]
        pixel_losses = pixel_cross_entropy(truth, logits)
        parsing = labelled_mean(pixel_losses, truth)
        lovasz = lovasz_softmax(truth, tf.nn.softmax(logits))
        binary_edge = category_edge = binary_attention = category_attention = tf.constant(0.0)
        _, to_binary, to_category, to_binary_attention, to_category_attention = self.weights
        if any(self.weights[1:]):
            binary_edges, category_edges = edge_labels(truth, logits.shape[-1], self.both_sides, self.dilation)
            labelled = truth != IGNORE_LABEL
            if to_binary:
                binary_edge = binary_edge_cross_entropy(binary_edges, outputs["binary_edge"], labelled)
            if to_category:
                category_edge = category_edge_cross_entropy(category_edges, outputs["category_edge"], labelled)
            if to_binary_attention:
                binary_attention = binary_edge_attention(pixel_losses, binary_edges)
            if to_category_attention:
                category_attention = category_edge_attention(pixel_losses, category_edges)
        return {
            "loss": dml_loss(
                parsing, lovasz, binary_edge, category_edge, binary_attention, category_attention, self.weights
            ),
            "parsing_loss": parsing + lovasz,
            "edge_loss": binary_edge + category_edge,
            "attention_loss": binary_attention + category_attention,
        }


def _mean(total, count):
    """total / count of one device; on several, a share whose mean over the devices is Σ total / Σ count."""
    context = tf.distribute.get_replica_context()
    counts = context.all_reduce(tf.distribute.ReduceOp.MEAN, count)
    return tf.math.divide_no_nan(total, counts)
