"""DML-CSR's loss."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from components.record import IGNORE_LABEL
from components.trainer.objectives import Objective, only_task
from keras_models.edges import edge_labels
from keras_models.losses.parsing import (
    binary_edge_attention,
    binary_edge_cross_entropy,
    category_edge_attention,
    category_edge_cross_entropy,
    dml_loss,
    labelled_mean,
    lovasz_softmax,
    pixel_cross_entropy,
)


class DMLLoss(Objective):
    """DML-CSR's multi-task loss L_DML (Eq. 5): parsing, both kinds of edges, and the parsing on them.

    Edges are made of the label maps here and not in the input pipeline: they are as well aligned, and a batch is then
    C + 2 times smaller on its way to the accelerator. On several devices each takes the means of its share.

    Args:
        weights: λ0 to λ4: parsing, binary edges, category edges, attention to either. A part whose weight is 0 is not
            computed; λ1 and λ2 need a network with edge branches, the attention needs labels alone.
        class_weights: w_j of Eq. 4, of each class with background; 1 without it.
        stride: which rows and columns of the maps count: every one, every second and so on, from the first. Two for a
            quarter of the cost; of sides of 4n + 1 pixels the last row and column still count. Not in the paper.

    Raises:
        ValueError: for a stride below 1; in `bind` for other than one weight a class, and a task with a Lovász-softmax
            of its own.
    """

    TERMS = ("loss", "parsing_loss", "edge_loss", "attention_loss")

    def __init__(
        self,
        weights: Sequence[float] = (1, 1, 1, 4, 1),
        class_weights: Sequence[float] | None = None,
        stride: int = 1,
    ):
        if stride < 1:
            raise ValueError(f"stride is 1 or more; received {stride}.")
        self.weights = weights
        self.class_weights = class_weights
        self.stride = stride

    def bind(self, tasks):
        super().bind(tasks)
        self.task = only_task(tasks, "segmentation", "DMLLoss")
        learning = tasks[self.task]
        if learning.task.option("lovasz"):
            raise ValueError(f"DMLLoss has its own Lovász-softmax: leave lovasz out of task {self.task!r}.")
        if self.class_weights is not None and len(self.class_weights) != learning.channels:
            raise ValueError(
                f"class_weights are one number for each of {learning.channels} classes, background among them; "
                f"received {len(self.class_weights)}."
            )

    def __call__(self, labels, outputs):
        """Outputs: logits as of keras_models.DMLCSR; the terms are added up without the weights."""
        outputs = {
            name: outputs[name][:, :: self.stride, :: self.stride]
            for name in (self.task, "binary_edge", "category_edge")
            if name in outputs
        }
        truth, logits = labels[self.task][:, :: self.stride, :: self.stride], outputs[self.task]
        pixel_losses = pixel_cross_entropy(truth, logits)
        parsing = labelled_mean(pixel_losses, truth)
        lovasz = lovasz_softmax(truth, tf.nn.softmax(logits))
        binary_edge = category_edge = binary_attention = category_attention = tf.constant(0.0)
        _, to_binary, to_category, to_binary_attention, to_category_attention = self.weights
        if any(self.weights[1:]):
            binary_edges, category_edges = edge_labels(truth, logits.shape[-1])
            labelled = truth != IGNORE_LABEL
            if to_binary:
                binary_edge = binary_edge_cross_entropy(binary_edges, outputs["binary_edge"], labelled)
            if to_category:
                category_edge = category_edge_cross_entropy(category_edges, outputs["category_edge"], labelled)
            if to_binary_attention:
                binary_attention = binary_edge_attention(pixel_losses, binary_edges)
            if to_category_attention:
                category_attention = category_edge_attention(pixel_losses, category_edges, self.class_weights)
        return {
            "loss": dml_loss(
                parsing, lovasz, binary_edge, category_edge, binary_attention, category_attention, self.weights
            ),
            "parsing_loss": parsing + lovasz,
            "edge_loss": binary_edge + category_edge,
            "attention_loss": binary_attention + category_attention,
        }
