"""Yes-or-no labels from the record to the batch."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_metadata.proto.v0 import schema_pb2

from components.record import RecordError
from components.tasks import base
from components.tasks.dense import NOT_ANNOTATED, dense


class Labels(base.Labels):
    """[N] integers: 1, 0, or -1 where not annotated. In a batch also "<name>_positive_rate" [batch, N] float32.

    That is the share of positives among the training split's annotated records, the same in every row.
    """

    @property
    def _rate(self):
        return f"{self.name}/positive_rate"

    def schema(self):
        domain = schema_pb2.IntDomain(min=NOT_ANNOTATED, max=1, is_categorical=True)
        return schema_pb2.Feature(name=self.feature, type=schema_pb2.INT, int_domain=domain)

    def check(self, value, image):
        values, expected = np.asarray(value), len(self.annotation.names)
        if values.shape != (expected,):
            raise RecordError(f"{self.name}: {values.size} values, expected {expected}")
        wrong = values[~np.isin(values, (NOT_ANNOTATED, 0, 1))]
        if wrong.size:
            raise RecordError(f"{self.name}: label {wrong[0]}, expected 0 or 1, or {NOT_ANNOTATED} if not annotated")

    def transform(self, feature, crops, size):
        labels = dense(feature, len(self.annotation.names), NOT_ANNOTATED, self.name)
        # One analyzer for both: every further one costs Transform a second, however few the records.
        shares = tf.cast(tf.concat([labels == 1, labels >= 0], axis=1), tf.float32)
        positive, annotated = tf.split(tft.mean(shares, reduce_instance_dims=False), 2)
        rate = tf.math.divide_no_nan(positive, annotated)
        return {self.name: labels, self._rate: tf.zeros_like(labels, tf.float32) + rate}

    def shown(self, label):
        return label == 1

    def in_numbers(self, labels):
        known = np.where(labels == NOT_ANNOTATED, np.nan, labels)
        return {f"{self.name}.{name}": known[:, place] for place, name in enumerate(self.annotation.names)}

    def parsing_spec(self):
        shape = [len(self.annotation.names)]
        return {
            self.name: tf.io.FixedLenFeature(shape, tf.int64),
            self._rate: tf.io.FixedLenFeature(shape, tf.float32),
        }
