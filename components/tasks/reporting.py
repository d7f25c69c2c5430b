"""What the kinds' report.py have in common. Each of them has

- `part(task, artifacts) -> Part`: what a run with such a task shows.
- `answer(task, sample, artifacts) -> Answer`: how the model's answer is shown on an image, beside other tasks'.
- `OWN_GALLERY`: whether the part has a gallery that makes one of the task's answers alone superfluous.

`artifacts` is a components.report.collect.RunArtifacts.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from components.images.decoding import decode
from components.page import figures
from components.page.figures import Line
from components.page.formatting import format_int, readable
from components.page.page import Chip, Figure
from components.record import FaceRecord
from components.tasks.annotation import BoundTask

_REPRESENTATIVE = ("Mouth_Slightly_Open", "Young")  # DMM-CNN's choice: one objective, one subjective attribute
_THRESHOLDS_SHOWN = 10  # as many as in its Fig. 7
_ABBREVIATIONS = {"f1": "F1", "nme": "NME", "iou": "IoU"}


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """A test record and what the served model answers for it.

    Attributes:
        image: [H, W, 3] uint8 RGB, the record's, decoded.
        outputs: of the signature from_examples, by name, without the batch axis.
    """

    record: FaceRecord
    image: np.ndarray
    outputs: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """How one task's answer is shown on an image, and its label if there is one.

    Attributes:
        points, true_points: [L, 2] x, y in [0, 1] of the image, to be marked on it.
        panes: (name, [h, w, 3] uint8) to stand below the image.
        text: a line.
        chips: what else is answered. legend: what colours and symbols mean.
    """

    points: np.ndarray | None = None
    true_points: np.ndarray | None = None
    panes: tuple[tuple[str, np.ndarray], ...] = ()
    text: str = ""
    chips: tuple[Chip, ...] = ()
    legend: tuple[Chip, ...] = ()


PREDICTED_AND_LABELLED = Chip("✓", "predicted, and so labelled", "good")
UNLABELLED = Chip("?", "predicted; there is no label")


@dataclasses.dataclass(frozen=True)
class History:
    """The epochs of a training: training.json's "epochs"."""

    epochs: Sequence[Mapping[str, float | list[float] | str]]

    def column(self, name: str) -> np.ndarray | None:
        """[E] or [E, N] of a number or a list in every epoch, NaN where an epoch lacks it; None if all do."""
        found = [epoch.get(name) for epoch in self.epochs]
        shape = next((np.shape(value) for value in found if value is not None), None)
        if shape is None:
            return None
        return np.array([np.full(shape, np.nan) if value is None else value for value in found], np.float64)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all columns."""
        return tuple(dict.fromkeys(name for epoch in self.epochs for name in epoch))

    @property
    def stages(self) -> tuple[tuple[str, int], ...]:
        """(name, number of epochs) of each stage; none if the training had none."""
        if not any("stage" in epoch for epoch in self.epochs):
            return ()
        names = (epoch["stage"] for epoch in self.epochs)
        return tuple((name, len(list(group))) for name, group in itertools.groupby(names))

    @property
    def bounds(self) -> list[float]:
        """Where one stage ends and the next begins, on an axis on which the first epoch is 1."""
        return [end + 0.5 for end in itertools.accumulate(count for _, count in self.stages)][:-1]

    def chart(
        self, title: str, lines: Sequence[Line], y_label: str, caption: str, wide: bool = False, **options
    ) -> Figure:
        """Curves over the epochs."""
        size = (figures.WIDE, 3.4) if wide else (figures.NARROW, 2.8)
        x = np.arange(1, len(self.epochs) + 1)
        markup = figures.line_chart(title, x, lines, "epochs", y_label, size, bounds=self.bounds, **options)
        return Figure(markup, title, caption, wide)


def moved(values: np.ndarray | None) -> bool:
    """Whether [E, N] numbers have left the one that all begin with."""
    return values is not None and bool(np.nanmax(values) > np.nanmin(values))


def curves_by_name(task: BoundTask, history: History) -> tuple[Figure, ...]:
    """Losses of a task's labels, and weights and thresholds that moved: the curves of the DMM-CNN paper (Figs. 5-7)."""
    names, title = task.names, readable(task.name)
    losses, weights, thresholds = (
        history.column(f"{task.name}_{what}") for what in ("losses", "weights", "thresholds")
    )
    chosen = representative(names)
    shown = []

    def lines(values, indices):
        return [Line(readable(names[index]), values[:, index]) for index in indices]

    if losses is not None:
        words = " and ".join(readable(names[index]) for index in chosen)
        caption = (
            f"Mean over {len(names)} labels, and {words}. Without the labels' weights, so that epochs can be compared. "
            "As Fig. 5 of the DMM-CNN paper."
        )
        drawn = [Line("mean", np.mean(losses, axis=1)), *lines(losses, chosen)]
        shown.append(history.chart(f"Validation loss of {title}", drawn, "validation loss", caption))
    if moved(weights):
        caption = (
            "How much a label counts in the training loss: the relative change of its validation loss, so that what "
            "still changes counts more. As Fig. 6 of the DMM-CNN paper, where they are unsteady too."
        )
        shown.append(history.chart(f"Dynamic weights of {title}", lines(weights, chosen), "weight λ", caption))
    if moved(thresholds):
        most = np.argsort(-np.nan_to_num(np.ptp(thresholds, axis=0)), kind="stable")[:_THRESHOLDS_SHOWN]
        caption = (
            f"The {len(most)} that moved most of {len(names)}. A threshold rises while a label is predicted too often "
            "and falls while it is missed too often. As Fig. 7 of the DMM-CNN paper, which shows ten at random."
        )
        drawn, y_label = lines(thresholds, most), "threshold τ (score)"
        shown.append(history.chart(f"Adaptive thresholds of {title}", drawn, y_label, caption, wide=True))
    return tuple(shown)


def representative(names: Sequence[str]) -> list[int]:
    """Indices of DMM-CNN's two attributes where they are there, else of the first name and the last."""
    found = [names.index(name) for name in _REPRESENTATIVE if name in names]
    return found or sorted({0, len(names) - 1})


def in_words(metric: str) -> str:
    """`mean_f1` -> `mean F1`, `top_3_accuracy` -> `top-3 accuracy`."""
    words = re.sub(r"\btop_(\d+)", r"top-\1", metric).replace("_", " ").split(" ")
    return " ".join(_ABBREVIATIONS.get(word, word) for word in words)


def metric_title(task: str, metric: str) -> str:
    """What a task's metric is called: `parsing mean F1`."""
    return f"{task} {in_words(metric)}"


def capitalized(name: str) -> str:
    """A task's name at the head of something: `clothing_category` -> `Clothing category`."""
    words = readable(name)
    return words[:1].upper() + words[1:]


def tested_images(task: BoundTask, count: float) -> str:
    """`the 512 test images of mtfl`."""
    of = f"of {readable(task.dataset)}"
    return f"the one test image {of}" if count == 1 else f"the {format_int(count)} test images {of}"


def decoded(image: bytes) -> np.ndarray:
    """An encoded image -> [H, W, 3] uint8, as the model is shown it."""
    return decode(image).numpy()


def thumbnail(sample: Sample, longest: int = 192) -> Markup:
    """A small image."""
    return figures.plain_image(sample.image, f"Image {sample.record.id}", longest=longest)
