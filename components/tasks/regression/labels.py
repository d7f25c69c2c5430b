"""One number an image, from the record to the batch."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from components.record import RecordError
from components.tasks import base
from components.tasks.dense import dense


class Labels(base.Labels):
    """A number; in a batch [batch] float32, NaN where not annotated."""

    def schema(self):
        one = schema_pb2.ValueCount(min=1, max=1)
        return schema_pb2.Feature(name=self.feature, type=schema_pb2.FLOAT, value_count=one)

    def check(self, value, image):
        values = np.asarray(value)
        # A whole number would be stored as an integer, which the schema doesn't allow.
        if values.size != 1 or not np.issubdtype(values.dtype, np.floating) or not np.isfinite(values).all():
            raise RecordError(f"{self.name}: {values.tolist()}, expected one finite float")

    def transform(self, feature, crops, size):
        return {self.name: tf.reshape(dense(feature, 1, float("nan"), self.name), [-1])}

    def in_numbers(self, labels):
        return {self.name: labels}

    def parsing_spec(self):
        return {self.name: tf.io.FixedLenFeature([], tf.float32)}
