"""Which tasks share a layer: the tree that adaptive widening grows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence

OUTPUT = "output"  # the layer above all others, where each task is a branch


@dataclasses.dataclass(frozen=True)
class BranchTree:
    """The branches of every layer (Lu et al. 2017, Section 3.2): a branch is the tasks that it leads to.

    Attributes:
        num_tasks: T.
        layers: names of the layers that can branch, from the input up, without the output.
        branches: for each of `layers` its branches, each a tuple of task numbers in rising order.

    Raises:
        ValueError: if the branches of a layer are not a partition of the tasks, or one of them has tasks of several
            branches of the layer below.
    """

    num_tasks: int
    layers: tuple[str, ...]
    branches: tuple[tuple[tuple[int, ...], ...], ...]

    def __post_init__(self):
        if len(self.branches) != len(self.layers):
            raise ValueError(f"There are {len(self.layers)} layers, but branches of {len(self.branches)}.")
        for layer, branches in zip(self.layers, self.branches, strict=True):
            if sorted(task for branch in branches for task in branch) != list(range(self.num_tasks)):
                raise ValueError(
                    f"The branches of {layer} should hold each of the tasks 0 to {self.num_tasks - 1} once, received "
                    f"{branches}."
                )
        for layer in (*self.layers[1:], OUTPUT):
            self.parents(layer)

    @classmethod
    def unbranched(cls, layers: Iterable[str], num_tasks: int) -> BranchTree:
        """All tasks share every layer: a thin network before any widening."""
        layers = tuple(layers)
        return cls(num_tasks, layers, (((*range(num_tasks),),),) * len(layers))

    def of(self, layer: str) -> tuple[tuple[int, ...], ...]:
        """The branches of a layer; for OUTPUT, one branch per task."""
        if layer == OUTPUT:
            return tuple((task,) for task in range(self.num_tasks))
        return self.branches[self._number(layer)]

    def above(self, layer: str) -> str:
        """The next layer towards the output."""
        return (*self.layers, OUTPUT)[self._number(layer) + 1]

    def parents(self, layer: str) -> tuple[int, ...]:
        """The number of each branch's parent in the layer below; all 0 in the lowest layer."""
        number = len(self.layers) if layer == OUTPUT else self._number(layer)
        if number == 0:
            return (0,) * len(self.of(layer))
        below = self.layers[number - 1]
        found = []
        for branch in self.of(layer):
            parents = [i for i, lower in enumerate(self.of(below)) if set(branch) <= set(lower)]
            if not parents:
                raise ValueError(f"The branch {branch} of {layer} has tasks of several branches of {below}.")
            found += parents
        return tuple(found)

    def widened(self, layer: str, groups: Sequence[Sequence[int]]) -> BranchTree:
        """The tree in which `layer` has a branch for each group.

        Args:
            groups: lists of branch numbers of the layer above; each group gets a branch of its own.
        """
        above = self.of(self.above(layer))
        branches = tuple(tuple(sorted(task for number in group for task in above[number])) for group in groups)
        index = self._number(layer)
        return dataclasses.replace(self, branches=(*self.branches[:index], branches, *self.branches[index + 1 :]))

    def _number(self, layer):
        if layer not in self.layers:
            raise ValueError(f"There is no layer {layer!r}. The layers are: {', '.join(self.layers)}.")
        return self.layers.index(layer)

    def order(self) -> tuple[int, ...]:
        """All tasks from left to right as the tree is drawn: tasks that share more layers are closer."""
        places = [
            tuple(next(i for i, branch in enumerate(branches) if task in branch) for branches in self.branches)
            for task in range(self.num_tasks)
        ]
        return tuple(sorted(range(self.num_tasks), key=lambda task: (places[task], task)))

    def with_halves_swapped(self) -> BranchTree:
        """The tree with the two halves of its tasks swapped (Section 4.4); an odd one in the middle stays."""
        order = self.order()
        half = self.num_tasks // 2
        swapped = dict(zip(order[:half], order[-half:], strict=True)) | dict(
            zip(order[-half:], order[:half], strict=True)
        )
        return dataclasses.replace(
            self,
            branches=tuple(
                tuple(tuple(sorted(swapped.get(task, task) for task in branch)) for branch in branches)
                for branches in self.branches
            ),
        )

    def to_json(self) -> str:
        """The tree as JSON, which `from_json` reads."""
        branches = dict(zip(self.layers, self.branches, strict=True))
        return json.dumps({"num_tasks": self.num_tasks, "branches": branches})

    @classmethod
    def from_json(cls, text: str) -> BranchTree:
        """Inverse of `to_json`."""
        values = json.loads(text)
        branches = tuple(tuple(map(tuple, of_layer)) for of_layer in values["branches"].values())
        return cls(values["num_tasks"], tuple(values["branches"]), branches)
