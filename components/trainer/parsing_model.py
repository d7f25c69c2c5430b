"""A network for face parsing in training, with the confusion matrix of its validation pass."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tensorflow import keras

from components.record import IGNORE_LABEL
from components.trainer.task_model import TaskModel


class MeanF1(keras.metrics.MeanIoU):
    """Mean F1 of the classes but background, from the pixels of a split: of those that occur, in truth or prediction.

    Takes labels [batch, H, W] integers, 255 for pixels that don't count, and logits [batch, H, W, C].

    Args:
        num_classes: C, background (0) among them.
    """

    def __init__(self, num_classes: int, name: str = "mean_f1"):
        # A split may have more pixels than float32 can count.
        super().__init__(num_classes, name=name, dtype="float64", ignore_class=IGNORE_LABEL, sparse_y_pred=False)

    def f1(self) -> tf.Tensor:
        """[C] float64, NaN for a class that occurs neither in truth nor in the predictions."""
        matrix = tf.convert_to_tensor(self.total_cm)
        both = tf.reduce_sum(matrix, axis=0) + tf.reduce_sum(matrix, axis=1)
        return tf.where(both > 0, 2 * tf.linalg.diag_part(matrix) / both, np.nan)

    def result(self):
        f1 = self.f1()[1:]
        occurs = ~tf.math.is_nan(f1)
        return tf.math.divide_no_nan(tf.reduce_sum(tf.where(occurs, f1, 0)), tf.reduce_sum(tf.cast(occurs, tf.float64)))


class ParsingModel(TaskModel):
    """A network with a `parsing` output [batch, H, W, C]; what else it learns is the objective's business.

    Args:
        network: image -> dict of logits.
        objective: what is minimised; see components.trainer.objectives.

    Attributes:
        distillation: where labels are not all that teaches: (image, labels, outputs) -> named scalars, in training
            instead of the objective.
    """

    def __init__(self, network: keras.Model, objective: Callable):
        super().__init__(network, objective)
        self.mean_f1 = MeanF1(network.output["parsing"].shape[-1])
        self.distillation = None

    @property
    def metrics(self):
        return [*super().metrics, self.mean_f1]

    def training_terms(self, image, labels, outputs):
        if self.distillation is None:
            return super().training_terms(image, labels, outputs)
        return self.distillation(image, labels, outputs)

    def count_validation(self, labels, outputs):
        self.mean_f1.update_state(labels["parsing"], outputs["parsing"])
        return {"mean_f1": self.mean_f1.result()}

    def epoch_record(self):
        """Per class: F1 on the validation split, at the working size; NaN for a class that doesn't occur."""
        return {"val_f1": self.mean_f1.f1().numpy().tolist()}
