"""What is served of one number an image."""

from __future__ import annotations

from components.tasks import base


class Serving(base.Serving):
    """`<task>` [batch] float32, in the label's own unit."""

    def __init__(self, task):
        super().__init__(task)
        self._scale = task.option("scale", 1.0)

    def outputs(self, output, crops, sizes):
        return {self.task.name: self._scale * output[:, 0]}

    def contract(self):
        return {self.task.name: {"kind": "number", "dtype": "float32", "shape": [None], "scale": self._scale}}
