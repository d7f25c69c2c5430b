"""The report's part of landmarks: how far each lies from its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from components.page.formatting import bare_percent, by_name, percent, percent_cell, readable
from components.page.page import Cell, Column, Headline, Meter, Part, Section, Table
from components.tasks.annotation import BoundTask
from components.tasks.landmarks.evaluation import FAILURE_THRESHOLD
from components.tasks.reporting import Answer, Sample, capitalized, metric_title, tested_images

if TYPE_CHECKING:
    from components.report.collect import RunArtifacts

OWN_GALLERY = False
FAILURE = percent(FAILURE_THRESHOLD, 0)  # of the distance between the eyes
_POINT_NAMES = {5: ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")}  # as in the image
_VECTORS = {"point_nme": "nme", "point_failure_rate": "failure_rate"}


def part(task: BoundTask, artifacts: RunArtifacts) -> Part:
    """Each landmark's error and failure rate, and how they change by iteration where predictions are fed back."""
    values = artifacts.evaluation.of(task.name)
    iterations = artifacts.evaluation.by_iteration(task.name)
    return Part(
        headlines=_headlines(task, values, artifacts),
        sections=(_section(task, values, iterations),),
        details={metric_title(task.name, "point_nme"): by_name(task.names, values["point_nme"])},
    )


def _names(task):
    return [readable(name) for name in _POINT_NAMES.get(len(task.names), task.names)]


def _headlines(task, values, artifacts):
    images, title = tested_images(task, values["annotated"]), capitalized(task.name)
    annotated = (split.get("annotated", 0) for split in artifacts.data.annotations.values())
    by_machine = artifacts.experiment.data.annotate_landmarks == task.name and any(annotated)
    return (
        Headline(
            percent(values["nme"]),
            f"{title}: error (NME)",
            f"of the distance between the eyes is how far a landmark lies from its place: the mean over {images}, "
            f"{len(task.names)} points each. Lower is better."
            f"{' An automatic annotator set the places.' if by_machine else ''}",
            metric="nme",
        ),
        Headline(
            percent(values["failure_rate"]),
            f"{title}: failure rate",
            f"of {images} have an error over {FAILURE} of the distance between the eyes. Lower is better.",
            metric="failure_rate",
        ),
    )


def _section(task, values, iterations):
    lead = (
        f"Counted on {tested_images(task, values['annotated'])}. An error is a distance in pixels of the image, "
        "as a share of the distance between its two eyes by the label, so that large faces count like small ones."
    )
    if iterations:
        lead += " As Table 1 of the iFAN paper; a tick is where a landmark stood before any prediction was fed back."
    if len(task.names) in _POINT_NAMES:
        lead += " Left and right are the image's sides, not the person's."
    return Section(capitalized(task.name), task.name, (_point_table(task, values, iterations),), lead)


def _point_table(task, values, iterations):
    """A row a landmark; columns for every iteration, or for the results alone if there are none."""
    runs = {f", iteration {number}": each for number, each in iterations.items()} or {"": values}
    columns, rows = [Column("Landmark", number=False)], [[Cell(name)] for name in _names(task)]
    footer = [Cell("All landmarks")]
    for metric, heading, meaning in (
        ("point_nme", "NME", "mean distance from its place, as a share of that between the eyes; at the foot of all."),
        (
            "point_failure_rate",
            "Failures",
            f"share of the images in which it is off by more than {FAILURE}. At the foot the share of those whose "
            "landmarks are off by that much in the mean, which is no mean of the column.",
        ),
    ):
        longest = max(np.nanmax([0.0, *each[metric]]) for each in runs.values()) or 1.0
        for index, (words, each) in enumerate(runs.items()):
            columns.append(Column(f"{heading}{words}, %", "" if index else meaning))
            last = index == len(runs) - 1
            for row, value, first in zip(rows, each[metric], next(iter(runs.values()))[metric], strict=True):
                meter = Meter(float(value), tick=float(first) if iterations else None, high=longest)
                row.append(percent_cell(value, meter if last else None))
            footer.append(Cell(bare_percent(each[_VECTORS[metric]])))
    return Table(tuple(columns), tuple(map(tuple, rows)), (tuple(footer),), sortable=True)


def answer(task: BoundTask, sample: Sample, artifacts: RunArtifacts) -> Answer:
    """Points on the image."""
    truth = sample.record.labels.get(task.name)
    true_points = None if truth is None else np.asarray(truth).reshape(-1, 2)
    return Answer(points=sample.outputs[task.name], true_points=true_points)
