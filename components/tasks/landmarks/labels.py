"""Points of a face from the record to the batch."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from components.images.crop import to_crop
from components.record import RecordError
from components.tasks import base
from components.tasks.dense import dense
from components.tasks.landmarks.markup import mirror_points


class Labels(base.Labels):
    """[L, 2] float32 x, y in [0, 1] of the image (a point outside it lies outside that range).

    In a batch [batch, 2·L] of the crop, NaN where not annotated.
    """

    def schema(self):
        return schema_pb2.Feature(name=self.feature, type=schema_pb2.FLOAT)

    def check(self, value, image):
        values, expected = np.asarray(value), 2 * len(self.annotation.names)
        if values.size != expected:
            raise RecordError(f"{self.name}: {values.size} coordinates, expected {expected}")
        if not np.isfinite(values).all():
            raise RecordError(f"{self.name}: a coordinate is not a finite number")

    def transform(self, feature, crops, size):
        count = len(self.annotation.names)
        points = to_crop(tf.reshape(dense(feature, 2 * count, float("nan"), self.name), [-1, count, 2]), crops)
        return {self.name: tf.reshape(points, [-1, 2 * count])}

    def parsing_spec(self):
        return {self.name: tf.io.FixedLenFeature([2 * len(self.annotation.names)], tf.float32)}

    def mirror(self, label):
        return tf.reshape(mirror_points(tf.reshape(label, [-1, 2])), [-1])

    def shift(self, label, pixels, size):
        share = tf.cast(pixels, tf.float32) / tf.cast(size, tf.float32)
        return tf.reshape(tf.reshape(label, [-1, 2]) + share[::-1], [-1])

    def warp(self, label, matrix, size):
        sides = tf.constant(size[::-1], tf.float32)
        points = tf.reshape(label, [-1, 2]) * sides - 0.5
        points = tf.matmul(points, matrix[:2, :2], transpose_b=True) + matrix[:2, 2]
        return tf.reshape((points + 0.5) / sides, [-1])
