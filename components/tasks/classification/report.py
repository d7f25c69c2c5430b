"""The report's part of one class an image, such as its emotion or its clothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from components.page import figures
from components.page.formatting import (
    bare_percent,
    by_name,
    format_int,
    percent,
    percent_cell,
    percentage_points,
    readable,
)
from components.page.page import Block, Cell, Chip, Column, Figure, Figures, Headline, Meter, Note, Part, Section, Table
from components.tasks.annotation import BoundTask
from components.tasks.classification import drawings
from components.tasks.ratios import mean_of_defined
from components.tasks.reporting import (
    PREDICTED_AND_LABELLED,
    UNLABELLED,
    Answer,
    Sample,
    capitalized,
    curves_by_name,
    metric_title,
    tested_images,
)
from components.tasks.score_report import scores_section

if TYPE_CHECKING:
    from components.report.collect import RunArtifacts

OWN_GALLERY = False
_LABELLED_OTHERWISE = Chip("✗", "predicted, but labelled otherwise", "bad")


def part(task: BoundTask, artifacts: RunArtifacts) -> Part:
    """What images of each class are predicted as, and each class's figures."""
    values = artifacts.evaluation.of(task.name)
    iterations = artifacts.evaluation.by_iteration(task.name)
    return Part(
        headlines=_headlines(task, values),
        sections=(_section(task, values, iterations), *scores_section(task, values, "class")),
        curves=curves_by_name(task, artifacts.history),
        details={metric_title(task.name, "recall"): by_name(task.names, values["recall"])},
    )


def _labelled(values):
    """[C] number of the images of each class."""
    return values["confusion"].sum(axis=1)


def _predicted(values):
    """[C] number of the images that are predicted to be of each class."""
    return values["confusion"].sum(axis=0)


def _commonest_accuracy(values, count=1):
    """Share of the images that have one of the `count` commonest classes; NaN without images."""
    images = np.sort(_labelled(values))
    return float(images[-count:].sum() / images.sum()) if images.any() else float("nan")


def _headlines(task, values):
    title, name, baseline = capitalized(task.name), readable(task.name), _commonest_accuracy(values)
    if np.isnan(baseline):
        means = f"is unknown: no test image of {readable(task.dataset)} has a label."
        return (Headline(percent(values["accuracy"]), f"{title}: accuracy", means),)
    gain = values["accuracy"] - baseline
    side = "above" if gain > 0 else "below"
    commonest = readable(task.names[int(np.argmax(_labelled(values)))])
    occurring = int(np.isfinite(values["recall"]).sum())
    over = f"all {occurring}" if occurring == len(task.names) else f"the {occurring} that occur"
    found = [
        Headline(
            percent(values["accuracy"]),
            f"{title}: accuracy",
            f"of {tested_images(task, values['annotated'])} are given the {name} of their label, one of "
            f"{len(task.names)}. Always “{commonest}” would score {percent(baseline)}: the model is "
            f"{percent(abs(gain)).replace('%', 'points')} {side} it.",
            "good" if gain > 0 else "bad",
            metric="accuracy",
        )
    ]
    for count in task.option("top", ()):
        share, blind = values[f"top_{count}_accuracy"], _commonest_accuracy(values, count)
        means = (
            f"have the {name} of their label among the {count} likeliest. Always the {count} commonest would score "
            f"{percent(blind)}."
        )
        tone = "good" if share > blind else "bad"
        found.append(Headline(percent(share), f"{title}: top-{count} accuracy", means, tone, f"top_{count}_accuracy"))
    means = (
        f"is the mean share of a class's images that are recognised, over {over}: rare classes count like common ones. "
        f"Always giving the same answer would score {percent(1 / occurring, 1)}."
    )
    return (*found, Headline(percent(values["mean_recall"]), f"{title}: mean recall", means, metric="mean_recall"))


def _section(task, values, iterations):
    blocks: list[Block] = [Figures(_confusion_figures(task, values, iterations)), _class_table(task, values)]
    never = np.flatnonzero((_predicted(values) == 0) & (_labelled(values) > 0))
    if never.size:
        blocks.append(Note(f"Never predicted: {', '.join(readable(task.names[i]) for i in never)}.", "bad"))
    images = tested_images(task, values["annotated"])
    lead = f"Each image is given one of {len(task.names)} classes. Counted on {images}."
    return Section(capitalized(task.name), task.name, tuple(blocks), lead)


def _confusion_figures(task, values, iterations):
    """The matrix; where predictions are fed back, that of the first iteration and that of the last."""
    title = f"What each {readable(task.name)} is predicted as"
    caption = (
        "A row has the images of one label, in brackets how many they are; its numbers are shares of them in percent "
        "and add up to 100. Bold: what is right."
    )
    wide = len(task.names) > drawings.NARROW_UP_TO

    def matrix(title, of, caption):
        markup = figures.svg(drawings.confusion_drawing(of["confusion"], task.names), title)
        return Figure(markup, title, caption, wide=wide)

    if not iterations:
        return (matrix(title, values, caption),)
    first, last = min(iterations), max(iterations)
    before, after = (iterations[number]["accuracy"] for number in (first, last))
    return (
        matrix(
            f"{title}, iteration {first}",
            iterations[first],
            f"{caption} Here no prediction has been fed back: the accuracy is {percent(before)}.",
        ),
        matrix(
            f"{title}, iteration {last}",
            iterations[last],
            f"Read like the other. With predictions fed back the accuracy is {percent(after)}, "
            f"{percentage_points(after - before)} points. The two together are as Fig. 6 of the iFAN paper.",
        ),
    )


def _class_table(task, values):
    labelled, predicted = _labelled(values), _predicted(values)
    total = max(int(labelled.sum()), 1)
    longest = max(*labelled, *predicted, 1) / total
    columns = (
        Column(capitalized(task.name), number=False),
        Column("Images", "test images with this label."),
        Column("Recall, %", "share of them that are recognised; – means there are none."),
        Column("F1, %", "harmonic mean of recall and of how often the answer is right where it is given."),
        Column("Labelled, %", "share of the test images that have this label."),
        Column("Predicted, %", "share of them that are given this class; the tick is how many have it."),
        Column("Most often mistaken for", "the other class that most of its images are given, and their share."),
    )
    rows = tuple(
        (
            Cell(readable(name)),
            Cell(format_int(labelled[index]), float(labelled[index])),
            percent_cell(recall, Meter(float(recall))),
            percent_cell(f1, Meter(float(f1))),
            percent_cell(true, digits=1),
            percent_cell(given, Meter(given, tick=true, high=longest), digits=1),
            _mistake_cell(task, values["confusion"], index),
        )
        for index, (name, recall, f1, true, given) in enumerate(
            zip(task.names, values["recall"], values["f1"], labelled / total, predicted / total, strict=True)
        )
    )
    means = (bare_percent(values["mean_recall"]), bare_percent(mean_of_defined(values["f1"])), "", "", "")
    footer = ("Mean", format_int(labelled.sum()), *means)
    return Table(columns, rows, (tuple(map(Cell, footer)),), sortable=True)


def _mistake_cell(task, confusion, index):
    others = np.array(confusion[index], float)
    others[index] = 0
    if not others.any():
        return Cell("–", float("nan"))
    other, share = int(np.argmax(others)), float(others.max() / confusion[index].sum())
    return Cell(f"{readable(task.names[other])} {percent(share, 1)}", share)


def answer(task: BoundTask, sample: Sample, artifacts: RunArtifacts) -> Answer:
    """A chip with the likeliest class and its probability."""
    scores = sample.outputs[task.name]
    likeliest = int(np.argmax(scores))
    words = f"{readable(task.names[likeliest])} {percent(float(scores[likeliest]), 0)}"
    label = sample.record.labels.get(task.name)
    if label is None:
        return Answer(chips=(Chip(UNLABELLED.symbol, words),), legend=(UNLABELLED,))
    truth = int(np.asarray(label).item())
    kind = PREDICTED_AND_LABELLED if truth == likeliest else _LABELLED_OTHERWISE
    if truth != likeliest:
        words += f", labelled {readable(task.names[truth])}"
    return Answer(chips=(Chip(kind.symbol, words, kind.tone),), legend=(kind,))
