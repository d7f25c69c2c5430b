"""Means over a split, one for each class or point."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from tensorflow import keras


class MeanByName(keras.metrics.MeanTensor):
    """[N] means of what counts in each of N columns.

    Args:
        num_names: N.
    """

    def __init__(self, num_names: int):
        super().__init__("mean_by_name", shape=[num_names])

    def update_state(self, values: tf.Tensor, counts: tf.Tensor) -> tf.Operation:
        """Adds a batch.

        Args:
            values: [batch, N] float32; whatever it is where it doesn't count.
            counts: [batch, N] bool.
        """
        count = tf.reduce_sum(tf.cast(counts, tf.float32), axis=0)
        total = tf.reduce_sum(tf.where(counts, values, 0.0), axis=0)
        return super().update_state(tf.math.divide_no_nan(total, count), sample_weight=count)

    def values(self) -> list[float]:
        """The means; NaN for a name that never counted."""
        return tf.where(self.count > 0, self.result(), np.nan).numpy().tolist()
