"""New pictures as a model sees them and answers for them, in the numbers that were kept of its own."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from components.prediction.model import PushedModel
from components.prediction.photographs import Photograph, PhotographError, read_photograph
from components.prediction.predictor import Predictor
from components.serving.reference import Values, described, joined, outputs_of

_TOGETHER = 16  # photographs that are asked about at once


@dataclasses.dataclass
class NewPictures:
    """What was seen.

    Attributes:
        values: by data set of the model's reference.
        looked_at: photographs.
        unreadable: why, and how many.
        without_face: how many were read and show none.
    """

    values: dict[str, Values]
    looked_at: int = 0
    unreadable: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    without_face: int = 0


def look_at(
    photographs: Iterable[Photograph], model: PushedModel, predictor: Predictor, known: Mapping[str, Values]
) -> NewPictures:
    """Reads photographs and asks about them.

    Args:
        predictor: of the model; says which image files it is asked about.
        known: the model's own values, by data set: of a data set's tasks new pictures get the same.
    """
    found = NewPictures({})
    tasks_of = {
        dataset: tuple(task for task in model.tasks if _is_of(task, values)) for dataset, values in known.items()
    }
    parts: dict[str, list[Values]] = {dataset: [] for dataset in known}
    waiting: list[list[tuple[tuple[str, ...], list[bytes]]]] = []

    def ask():
        for dataset, tasks in tasks_of.items():
            images = [file for each in waiting for asked, files in each if set(tasks) <= set(asked) for file in files]
            if tasks and images:
                parts[dataset].append(described(model.ask, outputs_of(model.outputs, tasks), model.image_size, images))
        waiting.clear()

    for photograph in photographs:
        found.looked_at += 1
        try:
            images = predictor.images(read_photograph(photograph.path))
        except PhotographError as error:
            found.unreadable[str(error)] += 1
            continue
        found.without_face += not any(files for _, files in images)
        waiting.append(images)
        if len(waiting) == _TOGETHER:
            ask()
    ask()
    found.values = {dataset: joined(of) for dataset, of in parts.items() if of}
    return found


def _is_of(task: str, values: Sequence[str]) -> bool:
    return any(name == task or name.startswith(f"{task}.") for name in values)
