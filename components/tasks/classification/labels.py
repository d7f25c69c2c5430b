"""One class an image, from the record to the batch."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from components.record import RecordError
from components.tasks import base
from components.tasks.dense import NOT_ANNOTATED, dense


class Labels(base.Labels):
    """A class index; in a batch [batch] int64, -1 where not annotated."""

    def schema(self):
        return schema_pb2.Feature(
            name=self.feature,
            type=schema_pb2.INT,
            int_domain=schema_pb2.IntDomain(min=0, max=len(self.annotation.names) - 1, is_categorical=True),
            value_count=schema_pb2.ValueCount(min=1, max=1),
        )

    def check(self, value, image):
        index, count = int(np.asarray(value).item()), len(self.annotation.names)
        if not 0 <= index < count:
            raise RecordError(f"{self.name}: class {index}, expected 0 to {count - 1}")

    def transform(self, feature, crops, size):
        return {self.name: tf.reshape(dense(feature, 1, NOT_ANNOTATED, self.name), [-1])}

    def in_numbers(self, labels):
        return {self.name: np.where(labels == NOT_ANNOTATED, np.nan, labels)}

    def parsing_spec(self):
        return {self.name: tf.io.FixedLenFeature([], tf.int64)}

    def shown(self, label):
        return tf.range(len(self.annotation.names), dtype=label.dtype) == label
