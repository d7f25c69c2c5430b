"""The loss of fully-adaptive feature sharing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from components.tasks.annotation import BoundTask
from components.tasks.base import Learning
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


def question_names(tasks: Sequence[BoundTask]) -> tuple[str, ...]:
    """The names of all questions, in the order of the tasks."""
    return tuple(name for task in tasks for name in task.names)


def targets(tasks: Mapping[str, Learning], labels: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """[batch, T] float32, what is learnt of all questions: from 0 to 1, or -1 where nothing is known."""
    return tf.concat([task.targets(labels) for task in tasks.values()], axis=-1)


def scores(tasks: Mapping[str, Learning], outputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """[batch, T] probabilities of all questions."""
    return tf.concat([outputs[name] for name in tasks], axis=-1)
