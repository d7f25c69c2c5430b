"""What is served of yes-or-no labels: scores, and decisions at the trained thresholds."""

from __future__ import annotations

import tensorflow as tf

from components.tasks import base


class Serving(base.Serving):
    """`<task>` [batch, N] float32 scores as the network gives them, `<task>_decisions` [batch, N] int64, 0 or 1.

    Attributes:
        thresholds: [N]; a decision is 1 where the score is above (DMM-CNN, Eq. 5).
    """

    STATE = ("thresholds",)

    def __init__(self, task):
        super().__init__(task)
        self._probabilities = task.option("scores") == "probabilities"
        initial = tf.fill([len(task.names)], 0.5 if self._probabilities else 0.0)
        self.thresholds = tf.Variable(initial, trainable=False, name="thresholds")

    def outputs(self, output, crops, sizes):
        decisions = tf.cast(output > self.thresholds, tf.int64)
        return {self.task.name: output, f"{self.task.name}_decisions": decisions}

    def contract(self):
        names = list(self.task.names)
        shared = {"shape": [None, len(names)], "names": names}
        scores = {"kind": "scores"}
        if self._probabilities:
            scores = {"kind": "probabilities", "minimum": 0, "maximum": 1}
        decisions = {"kind": "decisions", "minimum": 0, "maximum": 1, "thresholds": self.thresholds.numpy().tolist()}
        return {
            self.task.name: {**scores, "dtype": "float32", **shared},
            f"{self.task.name}_decisions": {**decisions, "dtype": "int64", **shared},
        }
