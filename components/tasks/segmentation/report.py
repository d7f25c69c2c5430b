"""The report's part of label maps: images with their maps, figures by class, confusions."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from components.page import figures
from components.page.figures import Line
from components.page.formatting import bare_percent, by_name, percent, percent_cell, readable
from components.page.page import (
    Block,
    Card,
    Cell,
    Chip,
    Column,
    Gallery,
    Heading,
    Headline,
    Meter,
    Note,
    Part,
    Section,
    Table,
)
from components.record import IGNORE_LABEL
from components.tasks import ratios
from components.tasks.annotation import BoundTask
from components.tasks.reporting import Answer, Sample, capitalized, metric_title, tested_images
from components.tasks.segmentation import drawings, evaluation
from components.tasks.segmentation.drawings import class_name

if TYPE_CHECKING:
    from components.report.collect import RunArtifacts

OWN_GALLERY = True
_IMAGES_SHOWN = 8
_CONFUSIONS_SHOWN = 10
_RARE_SHOWN = 4  # classes; with the commonest, as many as there are colours
_UNLABELLED = Chip("", "not labelled", colour=drawings.css(drawings.UNKNOWN))


@dataclasses.dataclass(frozen=True, eq=False)
class Parsed:
    """A sample's maps, and how right it is; what rests on the label is None if there is none.

    Attributes:
        predicted, truth: [H, W] uint8 classes; IGNORE_LABEL in the truth where a pixel has none.
        f1: [C] of this image alone, NaN for a class that is not in it. mean_f1: over its classes but background.
        pixel_accuracy: share of its labelled pixels that have the right class.
    """

    sample: Sample
    predicted: np.ndarray
    truth: np.ndarray | None = None
    f1: np.ndarray | None = None
    mean_f1: float | None = None
    pixel_accuracy: float | None = None


def parsed(task: BoundTask, sample: Sample) -> Parsed:
    """A sample as this task answers it."""
    height, width = sample.image.shape[:2]
    predicted = sample.outputs[task.name][:height, :width]  # the rest is another image's size
    label = sample.record.labels.get(task.name)
    if label is None:
        return Parsed(sample, predicted)
    truth = np.asarray(Image.open(io.BytesIO(label)))
    counts = evaluation.confusion(truth, predicted, len(task.names))
    f1 = ratios.f1(counts)
    return Parsed(sample, predicted, truth, f1, ratios.mean_of_defined(f1[1:]), ratios.accuracy(counts))


def part(task: BoundTask, artifacts: RunArtifacts) -> Part:
    """A gallery from the worst image to the best, figures by class, and the costliest confusions."""
    values = artifacts.evaluation.of(task.name)
    merged = task.annotation.merged_parts
    of_parts = dict(zip(merged, values.get("part_f1", ()), strict=True)) if "part_f1" in values else {}
    return Part(
        headlines=_headlines(task, values),
        sections=(*_images_section(task, artifacts), _classes_section(task, values, of_parts)),
        curves=_curves(task, artifacts),
        details={metric_title(task.name, "f1"): by_name(task.names, values["f1"])},
    )


def _headlines(task, values):
    """Published tables mix class sets, resolutions and averages: each figure says its own."""
    title = capitalized(task.name)
    class_set = f"the {len(task.names)} classes of {readable(task.dataset)}"
    counted = f"over all pixels of {tested_images(task, values['annotated'])} at their own size"
    found = [
        Headline(
            percent(values["mean_f1"]),
            f"{title}: mean F1 without background",
            f"is the mean of {_occurring(values['f1'][1:])} ({class_set}, background left out). The F1 of a class is "
            f"counted once, {counted}.",
            metric="mean_f1",
        ),
        Headline(
            percent(values["mean_iou"]),
            f"{title}: mean IoU with background",
            f"is the mean of {_occurring(values['iou'])} ({class_set}, background among them). The IoU of a class is "
            "what is its own both by label and by prediction, as a share of what is by either; counted once, "
            f"{counted}.",
            metric="mean_iou",
        ),
        Headline(
            percent(values["pixel_accuracy"]),
            f"{title}: pixel accuracy",
            f"is the share of pixels with the right one of {class_set}, background among them, {counted}. Large "
            "classes decide it.",
            metric="pixel_accuracy",
        ),
    ]
    if "overall_f1" in values:
        parts = ", ".join(
            f"{name} ({', '.join(map(class_name, classes))})" if len(classes) > 1 else name
            for name, classes in task.annotation.merged_parts.items()
        )
        means = (
            f"is one F1 of these parts together, as published for Helen: {parts}. A part's classes count as one; the "
            f"others of {class_set} don't count. Counted {counted}."
        )
        found.append(
            Headline(percent(values["overall_f1"]), f"{title}: overall F1 of merged parts", means, metric="overall_f1")
        )
    return tuple(found)


def _occurring(by_class):
    """How many classes a mean of figures by class is over."""
    count = int(np.isfinite(by_class).sum())
    if count == len(by_class):
        return f"{count} classes"
    return "the one class that occurs" if count == 1 else f"the {count} classes that occur"


def _images_section(task, artifacts):
    """Images with their label maps and errors, the worst first."""
    answered = [parsed(task, sample) for sample in artifacts.samples[task.dataset]]
    if not answered:
        return ()
    shown = telling(answered)
    legend = [class_chip(task, index) for index in range(len(task.names))]
    lead = "What the served model answers for images it never saw in training."
    if len(shown) < len(answered):
        worst = len(shown) // 2
        lead += (
            f" Of the first {len(answered)} test images: the {worst} that it parses worst, and {len(shown) - worst} of "
            "the others from bad to good."
        )
    if any(each.truth is not None for each in shown):
        legend += [Chip("", "wrong", colour=drawings.css(drawings.WRONG)), _UNLABELLED]
        lead += " The worst come first. A mean F1 here is that of one image's classes, background left out."
    gallery = Gallery(tuple(_card(task, each) for each in shown), tuple(legend), wide=True)
    return (Section(f"{capitalized(task.name)}: images", f"{task.name}-images", (gallery,), lead),)


def telling(answered: Sequence[Parsed], count: int = _IMAGES_SHOWN) -> list[Parsed]:
    """`count` of the images, by their mean F1 from the worst on: the worst half as they come, then evenly spread.

    Images that have none come last.
    """
    mean_f1 = [np.nan if each.mean_f1 is None else each.mean_f1 for each in answered]
    order = np.argsort(mean_f1, kind="stable")
    if len(order) <= count:
        return [answered[index] for index in order]
    worst = count // 2
    spread = np.linspace(worst, len(order) - 1, count - worst).round().astype(int)
    return [answered[index] for index in (*order[:worst], *order[spread])]


def class_chip(task: BoundTask, index: int, figure: str = "") -> Chip:
    """A class's name, with its colour and maybe a figure."""
    text = f"{class_name(task.names[index])} {figure}".strip()
    return Chip("", text, colour=drawings.css(drawings.PALETTE[index]))


def _card(task, each):
    name, image = each.sample.record.id, each.sample.image

    def pane(title, shown, flat=False):
        return title, figures.plain_image(shown, f"Image {name}, {title}", flat)

    panes = (pane("image", image), pane("predicted", drawings.label_colours(each.predicted), flat=True))
    if each.truth is None:
        return Card(panes, name, "not labelled")
    panes += (
        pane("truth", drawings.label_colours(each.truth), flat=True),
        pane("errors", drawings.error_map(image, each.predicted, each.truth)),
    )
    text = f"mean F1 {percent(each.mean_f1, 1)}, {percent(each.pixel_accuracy, 1)} of the pixels right"
    occurring = [index for index in np.argsort(each.f1, kind="stable") if index and np.isfinite(each.f1[index])]
    chips = tuple(class_chip(task, index, percent(each.f1[index], 0)) for index in occurring)
    return Card(panes, name, text, chips)


def _classes_section(task, values, of_parts):
    """Every class's figures, and what the classes are predicted as."""
    blocks: list[Block] = [_class_table(task, values)]
    if of_parts:
        heading = Heading("Parts", "As published for Helen: within a part, one class predicted as another is no error.")
        blocks += [heading, _part_table(task, values, of_parts)]
    blocks += _confusion_blocks(task, values["confusion"])
    lead = f"Counted over all pixels of {tested_images(task, values['annotated'])} at their own size."
    return Section(f"{capitalized(task.name)}: classes", f"{task.name}-classes", tuple(blocks), lead)


def _shares(pixels):
    return pixels / max(pixels.sum(), 1)


def _class_table(task, values):
    labelled, predicted = (_shares(values["confusion"].sum(axis=axis)) for axis in (1, 0))
    columns = (
        Column("Class", number=False),
        Column("F1, %", "harmonic mean of precision and recall of its pixels; – means it does not occur. The mean at "
               "the foot leaves background out."),
        Column("IoU, %", "pixels that are its own by label and by prediction, as a share of those that are by either. "
               "The mean has background in it."),
        Column("Labelled, %", "share of the labelled pixels that belong to it."),
        Column("Predicted, %", "share of them that are predicted to."),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(class_name(name)),
            percent_cell(f1, Meter(float(f1))),
            percent_cell(iou, Meter(float(iou))),
            percent_cell(true),
            percent_cell(given),
        )
        for name, f1, iou, true, given in zip(task.names, values["f1"], values["iou"], labelled, predicted, strict=True)
    )
    means = ("Mean", bare_percent(values["mean_f1"]), bare_percent(values["mean_iou"]), "", "")
    return Table(columns, rows, (tuple(map(Cell, means)),), sortable=True)


def _part_table(task, values, of_parts):
    columns = (
        Column("Part", number=False),
        Column("Its classes", number=False),
        Column("F1, %", "of its classes' pixels taken together. The overall F1 at the foot is over all parts' pixels."),
    )
    rows = tuple(
        (
            Cell(readable(name)),
            Cell(", ".join(map(class_name, task.annotation.merged_parts[name]))),
            percent_cell(f1, Meter(float(f1))),
        )
        for name, f1 in of_parts.items()
    )
    return Table(columns, rows, ((Cell("Overall"), Cell(""), Cell(bare_percent(values["overall_f1"]))),))


def _confusion_blocks(task, confusion):
    pairs = costliest(confusion)
    if not pairs:
        return [Note("No pixel is predicted as another class's.", "good")]
    wrong = confusion.sum() - np.trace(confusion)
    columns = (
        Column("Class", number=False),
        Column("Predicted as", number=False),
        Column("Of its pixels, %", "share of the class's pixels that are predicted as the other."),
        Column("Of all wrong pixels, %", "how much of all that is wrong this is."),
    )
    rows = []
    for truth, other in pairs:
        share = confusion[truth, other] / confusion[truth].sum()
        names = (Cell(class_name(task.names[index])) for index in (truth, other))
        meter = Meter(float(share), tone="bad")
        rows.append((*names, percent_cell(share, meter), percent_cell(confusion[truth, other] / wrong)))
    heading = Heading("The confusions that cost most", "By the share of a class's pixels that goes to the other class.")
    return [heading, Table(columns, tuple(rows), sortable=True)]


def costliest(confusion: np.ndarray, limit: int = _CONFUSIONS_SHOWN) -> list[tuple[int, int]]:
    """(class, other class) of a [C, C] confusion: the pairs that cost the class the largest share of its pixels first.

    Pairs that never happen are left out.
    """
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(shares, 0)
    order = np.argsort(-shares, axis=None, kind="stable")[:limit]
    pairs = np.stack(np.unravel_index(order, shares.shape), axis=1).tolist()
    return [(truth, other) for truth, other in pairs if shares[truth, other] > 0]


def answer(task: BoundTask, sample: Sample, artifacts: RunArtifacts) -> Answer:
    """Panes: the image under the colours of its classes, and the same by the label."""
    each = parsed(task, sample)
    name = readable(task.name)
    maps = {name: each.predicted} | ({} if each.truth is None else {f"{name} by the label": each.truth})
    legend = [class_chip(task, index) for index in range(len(task.names))]
    if any((labels == IGNORE_LABEL).any() for labels in maps.values()):
        legend.append(_UNLABELLED)
    return Answer(
        panes=tuple((title, drawings.overlay(sample.image, labels)) for title, labels in maps.items()),
        legend=tuple(legend),
    )


def _curves(task, artifacts):
    """F1 of the rare classes and the commonest."""
    f1 = artifacts.history.column(f"{task.name}_f1")
    chosen = common_and_rare(artifacts.evaluation.value(task.name, "confusion").sum(axis=1))
    if f1 is None or len(chosen) < 2:
        return ()
    lines = [Line(class_name(task.names[index]), 100 * f1[:, index]) for index in chosen]
    caption = (
        f"Of the classes but background the {len(chosen) - 1} with the fewest pixels in the test split, and the one "
        f"with the most, {lines[0].name}. Over all pixels of the validation split at the working size."
    )
    title = f"{capitalized(task.name)}: F1 of rare classes on validation"
    return (artifacts.history.chart(title, lines, "F1 (%)", caption),)


def common_and_rare(pixels: np.ndarray) -> list[int]:
    """Of [C] pixels, indices of the class with the most and of the few with the fewest but any; background left out."""
    found = [index for index in np.argsort(-pixels, kind="stable").tolist() if index and pixels[index]]
    return found[:1] + found[1:][-_RARE_SHOWN:]
