"""Tasks made by hand."""

from components.config import Task
from components.tasks.annotation import Annotation, BoundTask


def bound_task(name: str, kind: str, names=(), dataset: str = "faces", bar=None, **options) -> BoundTask:
    """A task with an annotation of these names."""
    return BoundTask(Task(name, kind, options, bar), Annotation(kind, tuple(names)), dataset)
