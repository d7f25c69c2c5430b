"""Kinds of tasks: one folder says everything about a kind of label, from the record to the report.

A folder holds, each looked up when it is needed: `__init__.py` (KIND: what an experiment may say of such a task; no
TensorFlow), `labels.py` (the record, Transform, the training input), `learning.py` (loss and validation metric),
`serving.py` (what is served), `evaluation.py` (TFMA) and `report.py` (its part of the page). components/tasks/base.py
has the contracts.
"""

from __future__ import annotations

import dataclasses
import importlib
import pathlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any


@dataclasses.dataclass(frozen=True)
class Kind:
    """What an experiment may say of a task of this kind.

    Attributes:
        metrics: that a bar can apply to, with the direction: whether a higher value is better.
        options: names of Task.options with the values that they may have, or their type.
        answers_yes_or_no: whether such a task is made of yes-or-no questions, each with a probability (if its network
            gives probabilities): what soft labels and widening need.
        shares: whether its metrics are shares, which are shown in percent; False for plain numbers.
    """

    metrics: Mapping[str, bool]
    options: Mapping[str, type | tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    answers_yes_or_no: bool = False
    shares: bool = True


def kinds() -> tuple[str, ...]:
    """The names of the kinds there are."""
    folder = pathlib.Path(__file__).parent
    return tuple(sorted(file.parent.name for file in folder.glob("*/__init__.py")))


def kind(name: str) -> Kind:
    """A kind's KIND; ValueError that lists the kinds there are, if there is no such."""
    if name not in kinds():
        raise ValueError(f"No kind of task is called {name!r}. There are: {', '.join(kinds())}.")
    return importlib.import_module(f"{__name__}.{name}").KIND


def role(name: str, module: str) -> ModuleType:
    """A module of a kind's folder: "labels", "learning", "serving", "evaluation" or "report"."""
    return importlib.import_module(f"{__name__}.{name}.{module}")
