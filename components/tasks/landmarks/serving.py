"""What is served of points."""

from __future__ import annotations

import tensorflow as tf

from components.images.crop import to_picture
from components.tasks import base


class Serving(base.Serving):
    """`<task>` [batch, L, 2] float32 x, y in [0, 1] of the whole image, whatever part of it the network was shown."""

    @property
    def channels(self):
        return 2 * len(self.task.names)

    def outputs(self, output, crops, sizes):
        return {self.task.name: to_picture(tf.reshape(output, [-1, len(self.task.names), 2]), crops)}

    def contract(self):
        return {self.task.name: {"kind": "points", "dtype": "float32", "shape": [None, len(self.task.names), 2]}}
