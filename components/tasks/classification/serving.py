"""What is served of one class an image."""

from __future__ import annotations

import tensorflow as tf

from components.tasks import base


class Serving(base.Serving):
    """`<task>` [batch, C] float32 probabilities; they sum to one unless each class has a probability on its own."""

    def __init__(self, task):
        super().__init__(task)
        self._logits = task.option("scores", "logits") == "logits"

    def outputs(self, output, crops, sizes):
        return {self.task.name: tf.nn.softmax(output) if self._logits else output}

    def contract(self):
        names = list(self.task.names)
        contract = {"kind": "probabilities", "dtype": "float32", "shape": [None, len(names)], "names": names}
        return {self.task.name: {**contract, "minimum": 0, "maximum": 1, "sums_to_one": self._logits}}
