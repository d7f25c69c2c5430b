"""New images measured as those of a model's reference were."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping

from components.drift.reference import Values, concatenated, measured, outputs_of
from components.page.formatting import plural
from components.prediction.model import PushedModel
from components.prediction.photographs import Photograph, PhotographError, read_photograph
from components.prediction.predictor import Predictor

NO_FACE = "no face was found"
_TOGETHER = 16  # photographs that are asked about at once
_MOST_UNANSWERED = 0.1  # share of the photographs, but for those without a face
# What alignment makes alike, so that photographs' faces differ there from validation images as those lie.
_PLACED = ("points", "label_map")
_RESAMPLED = "image sharpness"


@dataclasses.dataclass
class NewImages:
    """What was found out about photographs.

    Attributes:
        values: by data set of the model's reference, of those that at least one image was answered for.
        photographs: how many were looked at.
        left_out: why photographs, or faces of them, weren't answered, and how many.
        not_compared: by data set or task of the reference, why it isn't.
    """

    values: dict[str, Values] = dataclasses.field(default_factory=dict)
    photographs: int = 0
    left_out: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    not_compared: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def mostly_answered(self) -> bool:
        """Whether nearly all photographs could be read and answered, of those that show a face."""
        return self._unanswered <= _MOST_UNANSWERED * self.photographs

    @property
    def unanswered(self) -> str:
        """How many could not, in a sentence."""
        return f"{self._unanswered:,} of {plural(self.photographs, 'photograph')} could not be read or answered."

    @property
    def _unanswered(self):
        return self.left_out.total() - self.left_out[NO_FACE]


def measure_new(
    photographs: Iterable[Photograph],
    model: PushedModel,
    predictor: Predictor,
    known: Mapping[str, Values],
    aligned: bool,
) -> NewImages:
    """Reads photographs, asks the model and measures.

    Args:
        predictor: of the model; says which image files it is asked about.
        known: the model's reference.
        aligned: whether the predictor aligns faces: then the places of landmarks and label maps aren't compared.
    """
    found = NewImages()
    parts: dict[tuple[str, ...], list[Values]] = {}
    waiting: dict[tuple[str, ...], list[bytes]] = collections.defaultdict(list)

    def ask():
        for tasks, files in waiting.items():
            if not files:
                continue
            outputs = outputs_of(model.outputs, tasks)
            if aligned:
                outputs = {name: each for name, each in outputs.items() if each["kind"] not in _PLACED}
            values, left_out = measured(model.ask, outputs, model.image_size, files)
            parts.setdefault(tasks, []).append(values)
            found.left_out += left_out
        waiting.clear()

    for photograph in photographs:
        found.photographs += 1
        try:
            images = predictor.images(read_photograph(photograph.path))
        except PhotographError as error:
            found.left_out[str(error)] += 1
            continue
        if not any(files for _, files in images):
            found.left_out[NO_FACE] += 1
        for tasks, files in images:
            waiting[tasks] += files
        if not found.photographs % _TOGETHER:
            ask()
    ask()
    for dataset, values in known.items():
        tasks = [task for task in model.tasks if any(_is_of(name, task) for name in values)]
        asked = next((each for each in parts if tasks and set(tasks) <= set(each)), None)
        if not parts:
            continue  # nothing could be asked, which `left_out` explains
        if asked is None:
            found.not_compared[dataset] = (
                "no face was found in its images, to which photographs could be aligned" if tasks else "it has no task"
            )
            continue
        new = concatenated(parts[asked])
        new = {name: new[name] for name in values if name in new}
        if aligned:
            placed = [task for task in tasks if model.outputs[task]["kind"] in _PLACED]
            found.not_compared |= dict.fromkeys(placed, "aligned faces have it elsewhere")
            new.pop(_RESAMPLED, None)
            found.not_compared[_RESAMPLED] = "aligning a face draws it anew"
        if new and len(next(iter(new.values()))):
            found.values[dataset] = new
    return found


def _is_of(name: str, task: str) -> bool:
    return name == task or name.startswith(f"{task}.")
