"""New images whose labels are known, in a table: do as many of them smile, say, as of the validation images?"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.datasets.table import Table
from components.drift.reference import LABEL, Values, label_statistics
from components.page.formatting import plural
from components.prediction.new_images import NewImages
from components.prediction.photographs import Photograph
from components.tasks.base import labels_of

_SUFFIXES = (".csv", ".parquet", ".pq")
_ALL_FOR_ONE = (1.0, 0.0, 0.0)  # no row is set apart
_NAMED = 5  # columns that a table lacks
_DECISIONS = "_decisions"  # behind a task's name


@dataclasses.dataclass(frozen=True)
class LabelledImages:
    """What a table says.

    Attributes:
        photographs: its images.
        labels: what `label_statistics` makes of its labels.
        problems: why rows can't be used, one each.
    """

    photographs: Sequence[Photograph]
    labels: Values
    problems: Sequence[str]


def is_table(path: str) -> bool:
    """Whether the path is a table's, by its suffix."""
    return path.lower().endswith(_SUFFIXES)


def read_table(path: str, outputs: Mapping[str, Mapping[str, Any]]) -> LabelledImages:
    """The images of a table, and those of its columns that are called as a model's attributes or tasks.

    Args:
        path: CSV or Parquet; the paths in its column `image` begin in the same folder.
        outputs: the model's, with their contract (components.tasks.base.Serving.contract).

    Raises:
        FileNotFoundError: there is no such table, or no row of it can be used.
        ValueError: it has no column `image`, or can't be read.
    """
    folder, name = os.path.split(os.path.abspath(path))
    there = Table(folder, table=name, split=None, shares=_ALL_FOR_ONE).columns() if os.path.exists(path) else []
    table = Table(folder, table=name, split=None, shares=_ALL_FOR_ONE, **_columns(outputs, there))
    photographs, problems = [], []
    payloads: dict[str, list] = {label: [] for label in table.annotations}
    for reference in table.references():
        if reference.problem:
            problems.append(reference.problem)
            continue
        photographs.append(Photograph(table.path(reference.id), reference.id, ""))
        for label, values in payloads.items():
            if label in reference.payload:
                values.append(reference.payload[label])
    if not photographs:
        raise FileNotFoundError(f"No row of {path!r} can be used. {next(iter(problems), 'It has none')}.")
    labels: Values = {}
    for label, values in payloads.items():
        if values:
            labels |= label_statistics(labels_of(label, table.annotations[label]), np.array(values))
    return LabelledImages(photographs, labels, problems)


def _columns(outputs, there):
    """The options of `Table` that say which of the columns that are there are labels."""
    found = {"yes_no": {}, "classes": {}, "numbers": []}
    for output, each in outputs.items():
        if each["kind"] == "decisions":
            if names := [name for name in each["names"] if name in there]:
                found["yes_no"][output.removesuffix(_DECISIONS)] = names
        elif output in there and each["kind"] == "number":
            found["numbers"].append(output)
        elif output in there and each["kind"] in ("scores", "probabilities") and f"{output}{_DECISIONS}" not in outputs:
            found["classes"][output] = each["names"]
    return found


def add_labels(found: NewImages, known: Mapping[str, Values], table: LabelledImages) -> None:
    """Adds the table's labels to what was found, wherever validation images have such a label."""
    if table.problems:
        rows = plural(len(table.problems), "row")
        found.not_compared["a part of the table"] = f"{rows} can't be used, the first since {table.problems[0]}"
    missing = {}
    for dataset, values in known.items():
        labels = {name: table.labels[name] for name in values if name in table.labels}
        if labels:
            found.values.setdefault(dataset, {}).update(labels)
        missing |= dict.fromkeys(name for name in values if name.startswith(LABEL) and name not in labels)
    if missing:
        columns = [name.removeprefix(LABEL).rpartition(".")[-1] for name in missing]
        more = f" and {len(columns) - _NAMED} others" if len(columns) > _NAMED else ""
        found.not_compared["labels"] = f"the table says nothing of {', '.join(columns[:_NAMED])}{more}"
