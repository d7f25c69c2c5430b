"""What is served of one class an image: probabilities."""

from __future__ import annotations

import tensorflow as tf

from components.tasks import base


class Serving(base.Serving):
    """`<task>` [batch, C] float32: probabilities of one choice, which sum to 1, or of each class on its own."""

    def __init__(self, task):
        super().__init__(task)
        self._one_choice = task.option("scores", "logits") == "logits"

    def outputs(self, output, crops, sizes):
        return {self.task.name: tf.nn.softmax(output) if self._one_choice else output}

    def contract(self):
        probabilities = {
            "kind": "probabilities",
            "dtype": "float32",
            "shape": [None, len(self.task.names)],
            "names": list(self.task.names),
            "minimum": 0.0,
            "maximum": 1.0,
            "sums_to_one": self._one_choice,
        }
        return {self.task.name: probabilities}
