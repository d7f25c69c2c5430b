"""Objectives: labels and outputs to the named scalars of which training minimises one."""

from __future__ import annotations

import abc
from collections.abc import Mapping

import tensorflow as tf

from components.tasks.base import Learning, mean_loss


class Objective(abc.ABC):
    """A loss made of the tasks' labels and the network's outputs.

    Attributes:
        TERMS: names of the scalars that a call gives; "loss" is minimised.
        tasks: by name, what is learnt; from `bind` on.
    """

    TERMS: tuple[str, ...]

    def bind(self, tasks: Mapping[str, Learning]) -> None:
        """Called once, before training."""
        self.tasks = tasks

    @abc.abstractmethod
    def __call__(self, labels: Mapping[str, tf.Tensor], outputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The scalars of a batch; on several devices of a device's share, the mean over them being the batch's."""

    def task_losses(
        self, labels: Mapping[str, tf.Tensor], outputs: Mapping[str, tf.Tensor]
    ) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """By task, (sum, count) of what is measured as its loss: of the task's output alone, by its own loss."""
        return {name: task.loss(labels, outputs[name]) for name, task in self.tasks.items()}


class TaskLosses(Objective):
    """The tasks' own losses, each the mean over what is annotated, times the tasks' weights."""

    def bind(self, tasks):
        super().bind(tasks)
        self.TERMS = ("loss", *(f"{name}_loss" for name in tasks))

    def __call__(self, labels, outputs):
        losses = {
            name: mean_loss(self.tasks[name], (total, over_replicas(count)))
            for name, (total, count) in self.task_losses(labels, outputs).items()
        }
        loss = tf.add_n([self.tasks[name].task.task.weight * loss for name, loss in losses.items()])
        return {"loss": loss, **{f"{name}_loss": value for name, value in losses.items()}}


def only_task(tasks: Mapping[str, Learning], kind: str, who: str) -> str:
    """The name of the one task; ValueError, naming `who` needs it, for several tasks or another kind."""
    kinds = {name: task.task.kind for name, task in tasks.items()}
    if list(kinds.values()) != [kind]:
        received = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise ValueError(f"{who} is for one task of kind {kind}; the experiment has {received}. Give it another loss.")
    return next(iter(kinds))


def over_replicas(count: tf.Tensor) -> tf.Tensor:
    """The mean of a device's count over all devices: Σ total / Σ count is the mean of total / that."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, count)


def replica_mean(total: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """total / count of one device; on several, a share whose mean over the devices is Σ total / Σ count."""
    return tf.math.divide_no_nan(total, over_replicas(count))
