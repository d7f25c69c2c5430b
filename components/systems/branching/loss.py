"""The loss of fully-adaptive feature sharing."""

from __future__ import annotations

import tensorflow as tf

from components.trainer.objectives import Objective, replica_mean


class TaskCrossEntropy(Objective):
    """Cross-entropy of yes-or-no questions that all weigh the same (Lu et al. 2017, Section 4.5).

    The paper's tasks are the attributes, and then each category of clothing: every task of the experiment is made of
    such questions. Where a record has no annotation, a teacher's scores are the targets; without those the question is
    left out of the loss.
    """

    TERMS = ("loss", "task_loss")

    def __call__(self, labels, outputs):
        losses = {name: replica_mean(*each) for name, each in self.task_losses(labels, outputs).items()}
        weighted = [getattr(self.tasks[name], "weights", 1.0) * each for name, each in losses.items()]
        return {
            "loss": tf.reduce_sum(tf.concat(weighted, axis=0)),
            "task_loss": tf.reduce_mean(tf.concat(list(losses.values()), axis=0)),
        }
