"""The tasks of an experiment together with what its data sets say of them."""

from __future__ import annotations

from components.config import Data, Experiment, Task
from components.datasets import build_dataset
from components.tasks.annotation import Annotation, BoundTask, points

_DLIB = Annotation("landmarks", points(68))  # what components.landmark_annotator marks


def annotation(data: Data, label: str) -> Annotation:
    """What a label is.

    Raises:
        ValueError: if no data set of `data` has the label, or several have.
    """
    if label == data.annotate_landmarks:
        return _DLIB
    dataset = data.dataset_of(label)
    there = build_dataset(dataset, None).annotations
    if label not in there:
        raise ValueError(
            f"Data set {dataset.name!r} has no {label!r}; its labels: {', '.join(there) or 'none'}. Drop the task, or "
            "name a data set that has it."
        )
    return there[label]


def bind(data: Data, task: Task) -> BoundTask:
    """A task with its annotation.

    Raises:
        ValueError: if the data sets have no such label, or it is of another kind.
    """
    found = annotation(data, task.name)
    if found.kind != task.kind:
        raise ValueError(
            f"Task {task.name!r} is of kind {task.kind}, but {data.dataset_of(task.name).name!r} annotates it as "
            f"{found.kind}: give the task that kind."
        )
    taught = any(teacher.task == task.name for teacher in data.teachers)
    return BoundTask(task, found, data.dataset_of(task.name).name, taught)


def bound_tasks(experiment: Experiment) -> tuple[BoundTask, ...]:
    """The experiment's tasks in their order; ValueError as of `bind`."""
    return tuple(bind(experiment.data, task) for task in experiment.tasks)
