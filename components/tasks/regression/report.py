"""The report's part of a number an image: how far predictions lie from the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Canvas

from components.page import figures
from components.page.figures import MUTED, NARROW, SERIES, STYLE
from components.page.formatting import decimal
from components.page.page import Chip, Figure, Figures, Headline, Note, Part, Section
from components.tasks.annotation import BoundTask
from components.tasks.reporting import UNLABELLED, Answer, Sample, capitalized, metric_title, tested_images

if TYPE_CHECKING:
    from components.report.collect import RunArtifacts

OWN_GALLERY = False


def part(task: BoundTask, artifacts: RunArtifacts) -> Part:
    """The errors, and predictions against labels of the images that were answered for the report."""
    values = artifacts.evaluation.of(task.name)
    images, title = tested_images(task, values["annotated"]), capitalized(task.name)
    headlines = (
        Headline(
            decimal(values["mean_absolute_error"], 2),
            f"{title}: mean absolute error",
            f"is how far a prediction lies from the label, in the label's own unit: the mean over {images}.",
            metric="mean_absolute_error",
        ),
        Headline(
            decimal(values["r_squared"], 2),
            f"{title}: R²",
            "is the share of the labels' variance that is explained. 0 is what always answering the mean scores.",
            "good" if values["r_squared"] > 0 else "bad",
            metric="r_squared",
        ),
    )
    truth, predicted = _answered(task, artifacts)
    blocks = [_bias(values["mean_error"])]
    if len(truth):
        caption = (
            f"A dot an image, {len(truth)} of the test images. On the line a prediction is the label; below it, it is "
            "too low."
        )
        heading = f"{title}: predictions against labels"
        drawing = figures.svg(scatter_drawing(truth, predicted), heading)
        blocks.insert(0, Figures((Figure(drawing, heading, caption),)))
    return Part(
        headlines=headlines,
        sections=(Section(title, task.name, tuple(blocks), f"Counted on {images}."),),
        details={metric_title(task.name, "mean_error"): {"all": float(values["mean_error"])}},
    )


def _bias(mean_error):
    side = "above" if mean_error > 0 else "below"
    return Note(f"On average predictions lie {decimal(abs(mean_error), 2)} {side} the labels.")


def _answered(task, artifacts):
    """[S] labels and [S] predictions of the samples that have a label."""
    samples = [sample for sample in artifacts.samples.get(task.dataset, ()) if task.name in sample.record.labels]
    truth = np.array([np.asarray(sample.record.labels[task.name]).item() for sample in samples])
    return truth, np.array([np.asarray(sample.outputs[task.name]).item() for sample in samples])


def scatter_drawing(truth: np.ndarray, predicted: np.ndarray) -> Canvas:
    """[S] labels and [S] predictions as dots, with the line on which they are equal."""
    with matplotlib.rc_context(STYLE):
        canvas = Canvas(figsize=(NARROW, NARROW), layout="constrained", dpi=72)
        axes = canvas.add_subplot()
        ends = [min(truth.min(), predicted.min()), max(truth.max(), predicted.max())]
        axes.plot(ends, ends, color=MUTED, linewidth=0.8)
        axes.scatter(truth, predicted, s=18, color=SERIES[0], alpha=0.7, linewidths=0)
        axes.set_xlabel("label")
        axes.set_ylabel("prediction")
    return canvas


def answer(task: BoundTask, sample: Sample, artifacts: RunArtifacts) -> Answer:
    """A chip with the number, and the label's beside it."""
    predicted = f"{task.name} {decimal(float(sample.outputs[task.name]), 1)}"
    label = sample.record.labels.get(task.name)
    if label is None:
        return Answer(chips=(Chip("?", predicted),), legend=(UNLABELLED,))
    labelled = decimal(np.asarray(label).item(), 1)
    return Answer(chips=(Chip("≈", f"{predicted}, labelled {labelled}"),))
