"""What a data set's records are annotated with, and a task together with it. No TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from components.config import Task


@dataclasses.dataclass(frozen=True)
class Annotation:
    """What a label of a data set's records is.

    Attributes:
        kind: of components.tasks.
        names: of the attributes, classes (of pixels: background first) or points; none for a number.
        merged_parts: by the name of a part, the classes that an overall F1 counts as one.
    """

    kind: str
    names: tuple[str, ...] = ()
    merged_parts: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class BoundTask:
    """A task of an experiment with what its data set says of it.

    Attributes:
        task: as the experiment has it.
        annotation: as the data set has it.
        dataset: the name of the data set that has the label.
        taught: whether a teacher gives soft labels where records lack the label.
    """

    task: Task
    annotation: Annotation
    dataset: str
    taught: bool = False

    @property
    def name(self) -> str:
        """Of the record's feature, the network's output, what is served and measured."""
        return self.task.name

    @property
    def kind(self) -> str:
        """A folder of components.tasks."""
        return self.task.kind

    @property
    def names(self) -> tuple[str, ...]:
        """Of the attributes, classes or points; none for a number."""
        return self.annotation.names

    @property
    def prepared(self) -> BoundTask:
        """What preparing the data rests on: without what an experiment says of learning and of the bar."""
        return dataclasses.replace(self, task=Task(self.name, self.kind))

    @property
    def learnt(self) -> BoundTask:
        """What training rests on: without the bar."""
        return dataclasses.replace(self, task=dataclasses.replace(self.task, bar=None))

    def option(self, name: str, default: Any = None) -> Any:
        """One of the task's options."""
        return self.task.options.get(name, default)


def points(count: int) -> tuple[str, ...]:
    """Names of landmarks that have numbers, from 1 on."""
    return tuple(str(point) for point in range(1, count + 1))
