"""How a class for each pixel is learnt."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from tensorflow import keras

from components.record import IGNORE_LABEL
from components.tasks import base
from keras_models.losses.parsing import lovasz_softmax, pixel_cross_entropy


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


class Learning(base.Learning):
    """Cross-entropy over the annotated pixels, and what the task says of Lovász-softmax over the batch.

    Validation is by mean F1 at the working size.
    """

    def __init__(self, task, image_size):
        super().__init__(task, image_size)
        self.metric = MeanF1(len(task.names))

    def loss(self, labels, output):
        truth = labels[self.task.name]
        losses = pixel_cross_entropy(truth, output)
        total, count = tf.reduce_sum(losses), tf.reduce_sum(tf.cast(truth != IGNORE_LABEL, losses.dtype))
        if weight := self.task.option("lovasz"):
            total += weight * count * lovasz_softmax(truth, tf.nn.softmax(output))
        return total, count

    def update(self, labels, output, losses):
        self.metric.update_state(labels[self.task.name], output)

    def mean_target(self, labels):
        truth, classes = labels[self.task.name], len(self.task.names)
        annotated = tf.cast(truth != IGNORE_LABEL, tf.float32)[..., None]
        return tf.one_hot(tf.cast(truth, tf.int32), classes), annotated * tf.ones([classes])

    def epoch_record(self):
        """Per class: F1 on the validation split; NaN for a class that doesn't occur."""
        return {f"{self.task.name}_f1": self.metric.f1().numpy().tolist()}

    def summaries(self, log_folder, validation):
        from components.tasks.segmentation.summaries import ParsingSummaries

        return [ParsingSummaries(log_folder, self, validation)]
