"""What is served of yes-or-no labels: scores, and decisions at the thresholds that the network was trained to."""

from __future__ import annotations

import tensorflow as tf

from components.tasks import base
from components.tasks.multi_label.learning import THRESHOLDS


class Serving(base.Serving):
    """`<task>` [batch, N] float32 scores as the network gives them, `<task>_decisions` [batch, N] int64 0/1.

    Attributes:
        thresholds: [N]; a decision is 1 where the score is above (DMM-CNN, Eq. 5).
    """

    def __init__(self, task):
        super().__init__(task)
        start = THRESHOLDS[task.option("scores", "logits")]
        self.thresholds = tf.Variable(tf.fill([len(task.names)], start), trainable=False, name="thresholds")

    def outputs(self, output, crops, sizes):
        decisions = tf.cast(output > self.thresholds, tf.int64)
        return {self.task.name: output, f"{self.task.name}_decisions": decisions}

    def contract(self):
        named = {"shape": [None, len(self.task.names)], "names": list(self.task.names)}
        scores = {"kind": "scores", "dtype": "float32", **named}
        if self.task.option("scores") == "probabilities":
            scores |= {"kind": "probabilities", "minimum": 0.0, "maximum": 1.0}
        thresholds = self.thresholds.numpy().tolist()
        decisions = {"kind": "decisions", "dtype": "int64", "minimum": 0, "maximum": 1, "thresholds": thresholds}
        return {self.task.name: scores, f"{self.task.name}_decisions": {**decisions, **named}}
