"""What an experiment says of hybrid training. No TensorFlow."""

from __future__ import annotations

import dataclasses
import math

from components.config import BaseTraining, InputConfig, ObjectConfig, Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskTraining(InputConfig):
    """How one task of several is trained, on its own data set.

    Attributes:
        task: the name of what is learnt.
        pretraining_epochs: EP of iFAN's Algorithm 1, passes over the task's training split before the tasks take turns.
    """

    task: str
    pretraining_epochs: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class HybridTraining(BaseTraining):
    """Cross-dataset hybrid training (iFAN, Algorithm 1).

    Attributes:
        tasks: in their order. First each is trained alone, then they take turns, a batch each.
        epochs: of the turns.
        plain_epochs: of turns at iteration 0, before the predictions are fed back. Not in the paper: where task-wise
            pre-training forgets one task over the next, turns don't.
        steps: batches that each task gets in such an epoch, however large its data set.
        pretraining_rate, learning_rate: before the tasks interact, alone or in plain turns, and in the turns then:
            Keras schedules, which get `steps`, the number of the task's updates there.
        l2: what the sum of all squared weights, scales and offsets weighs in every loss.
        initial_feedback: what stands for the predictions that iteration 0 has not got: "mean", the training splits'
            mean label, or "zeros".
    """

    RECIPE = "components.systems.ifan.training.Hybrid"

    tasks: tuple[TaskTraining, ...]
    steps: int
    plain_epochs: int = 0
    pretraining_rate: ObjectConfig
    learning_rate: ObjectConfig
    l2: float = 0.0
    initial_feedback: str = "mean"

    def validate(self, tasks: tuple[Task, ...]) -> None:
        super().validate(tasks)
        if self.jit_compile:
            raise ValueError(
                "training.jit_compile: XLA has no gradient of resizing to the nearest neighbour, by which iFAN feeds "
                "predictions back. Leave it False."
            )
        for task in self.tasks:
            task.validate_input()
        if self.steps < 1:
            raise ValueError(f"training.steps is 1 or more; received {self.steps}.")
        for name, epochs in (
            ("plain_epochs", self.plain_epochs),
            *((f"tasks.{task.task}.pretraining_epochs", task.pretraining_epochs) for task in self.tasks),
        ):
            if epochs < 0:
                raise ValueError(f"training.{name} is 0 or more; received {epochs}.")
        trained, learnt = (sorted(names) for names in ((t.task for t in self.tasks), (t.name for t in tasks)))
        if trained != learnt:
            raise ValueError(
                f"training.tasks are {', '.join(trained)}, the experiment's tasks {', '.join(learnt)}: hybrid training "
                "needs one TaskTraining for each task."
            )
        if not 0 <= self.l2 < math.inf:
            raise ValueError(f"training.l2 is a number from 0 on; received {self.l2}.")
        if self.initial_feedback not in ("mean", "zeros"):
            raise ValueError(f"training.initial_feedback is 'mean' or 'zeros'; received {self.initial_feedback!r}.")
