"""What is served of landmarks: points of the whole image."""

from __future__ import annotations

import tensorflow as tf

from components.images.crop import to_image
from components.tasks import base
from components.tasks.landmarks.markup import mirror_points


class Serving(base.Serving):
    """`<task>` [batch, L, 2] float32, x and y as shares of the whole image's sides: outside it below 0 or above 1."""

    def check_mirror(self):
        mirror_points(tf.zeros([len(self.task.names), 2]))

    def mirrored(self, output):
        return tf.reshape(mirror_points(self._points(output)), tf.shape(output))

    def outputs(self, output, crops, sizes):
        return {self.task.name: to_image(self._points(output), crops)}

    def contract(self):
        names = list(self.task.names)
        return {self.task.name: {"kind": "points", "dtype": "float32", "shape": [None, len(names), 2], "names": names}}

    def _points(self, output):
        return tf.reshape(output, [-1, len(self.task.names), 2])
