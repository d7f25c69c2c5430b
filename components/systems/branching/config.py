"""What an experiment says of adaptive widening. No TensorFlow."""

from __future__ import annotations

import dataclasses
import math

from components import tasks as task_kinds
from components.config import Task, Training

_TREES = ("learned", "permuted")


@dataclasses.dataclass(frozen=True, kw_only=True)
class WideningTraining(Training):
    """Training with adaptive widening (Lu et al. 2017, Algorithm 1).

    The model is a function of keras_models that makes a thin BranchedNetwork. Here an epoch is so many `steps`, not a
    pass over the training split, and the first ones are rounds: after each the next layer is widened, from the top
    down, until a round chooses a single branch or the lowest layer is reached. Then the tree is trained, for `epochs`
    more, from where it is with momentum and `learning_rate` anew, as in the authors' code.

    Attributes:
        steps: batches of a round, and of an epoch of the final phase.
        widening_rate: the learning rate of the rounds.
        alpha: α of Eq. 9, the branching factor. 0 never branches.
        precision: float32 or mixed_bfloat16.
        fixed_tree: train the tree of `warm_start` from the start on and don't widen it: "learned" as it is, "permuted"
            with the left half of its tasks in the places of the right half (Section 4.4). Its weights are not taken.
    """

    RECIPE = "components.systems.branching.training.Widening"

    steps: int
    widening_rate: float
    alpha: float
    fixed_tree: str | None = None

    def validate(self, tasks: tuple[Task, ...]) -> None:
        super().validate(tasks)
        for task in tasks:
            if not task_kinds.kind(task.kind).answers_yes_or_no or task.options.get("scores") != "probabilities":
                raise ValueError(
                    f"Widening compares probabilities of yes-or-no questions; task {task.name!r} is of kind "
                    f"{task.kind} with the options {task.options}. Give it scores='probabilities', or another training."
                )
        if self.half_size_epochs:
            raise ValueError("training.half_size_epochs is for networks of any size; a network that widens has one.")
        if self.steps < 1:
            raise ValueError(f"training.steps is 1 or more; received {self.steps}.")
        if not 0 <= self.widening_rate < math.inf:
            raise ValueError(f"training.widening_rate is a number from 0 on; received {self.widening_rate}.")
        if self.alpha < 0:
            raise ValueError(f"training.alpha is 0 or more; received {self.alpha}.")
        if self.fixed_tree is not None and self.fixed_tree not in _TREES:
            raise ValueError(
                f"training.fixed_tree is {', '.join(map(repr, _TREES))} or None; received {self.fixed_tree!r}."
            )
        if self.fixed_tree and self.initializer:
            raise ValueError(
                f"training.fixed_tree={self.fixed_tree!r} starts from random weights: leave training.initializer out."
            )
        if self.fixed_tree and not self.warm_start:
            raise ValueError(
                f"training.fixed_tree={self.fixed_tree!r} needs a tree: give training a warm_start, the "
                "experiment that found one."
            )
