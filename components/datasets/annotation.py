"""What the records of a run are annotated with, by name."""

from __future__ import annotations

from components.config import BINARY_LABELS, Data
from components.datasets import source_class


def annotated_names(data: Data, label: str) -> tuple[str, ...]:
    """The names of what a label tells apart: attributes, classes of pixels, emotions or categories of clothing.

    Landmarks are numbered from 1.

    Raises:
        ValueError: if no data set of `data` has the label, or several have.
    """
    source = data.source_of(label)
    builder = source_class(source)
    names = {
        "attributes": builder.ATTRIBUTES,
        "landmarks": tuple(str(point) for point in range(1, data.num_landmarks + 1)),
        "parsing": builder.LABELS,
        "emotion": builder.EMOTIONS,
        "clothing": builder.CLOTHING,
    }[label]
    if not names:
        raise ValueError(f"Data set {source.name!r} has no {label}: set {label}=False in the experiment's data.")
    return tuple(names)


def binary_task_names(data: Data) -> tuple[str, ...]:
    """The names of what is answered by yes or no: the attributes, then the clothing categories."""
    return tuple(name for label in BINARY_LABELS if label in data.labels for name in annotated_names(data, label))
