"""Test images with what every task answers for them, as iFAN's Fig. 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from components.page import figures
from components.page.formatting import readable
from components.page.page import Block, Card, Gallery, Heading, Section
from components.report.collect import RunArtifacts, report_of
from components.tasks.reporting import Answer, Sample

_NUM_IMAGES, _AT_LEAST = 12, 4  # in all; of each data set


def gallery_section(artifacts: RunArtifacts) -> Section | None:
    """The first images of each data set; None without any, or where the one task has a gallery of its own."""
    shown = {
        dataset: [(sample, _answers(artifacts, sample)) for sample in samples[: _images_of_each(artifacts)]]
        for dataset, samples in artifacts.samples.items()
        if samples
    }
    alone = len(artifacts.tasks) == 1 and report_of(artifacts.tasks[0]).OWN_GALLERY
    if not shown or alone:
        return None
    everything = [answers for pairs in shown.values() for _, answers in pairs]
    legend = tuple(dict.fromkeys(chip for answers in everything for each in answers.values() for chip in each.legend))
    overlay = _overlay(everything)
    blocks: list[Block] = [Gallery((), legend, overlay)] if legend or overlay else []
    for dataset, pairs in shown.items():
        if len(shown) > 1:
            labels = {name for sample, _ in pairs for name in sample.record.labels}
            names = ", ".join(readable(task.name) for task in artifacts.tasks if task.name in labels)
            blocks.append(Heading(readable(dataset), f"Its labels: {names or 'none of these'}."))
        blocks.append(Gallery(tuple(_card(sample, answers) for sample, answers in pairs)))
    lead = "What the served model answers for images it never saw in training. Point at an answer for its score."
    if len(shown) > 1:
        lead += (
            " Every task answers for every image, whatever its data set is annotated with; where there is a label, it "
            "is shown too."
        )
    return Section("Predictions", "predictions", tuple(blocks), lead)


def _images_of_each(artifacts):
    return max(_NUM_IMAGES // len(artifacts.samples), _AT_LEAST)


def _answers(artifacts, sample) -> dict[str, Answer]:
    return {task.name: report_of(task).answer(task, sample, artifacts) for task in artifacts.tasks}


def _overlay(shown: Sequence[Mapping[str, Answer]]) -> str:
    """Caption of the switch that hides landmarks; "" without any."""
    answers = [(name, answer) for answers in shown for name, answer in answers.items()]
    marked = dict.fromkeys(readable(name) for name, answer in answers if answer.points is not None)
    if not marked:
        return ""
    given = ", ○ by the label" if any(answer.true_points is not None for _, answer in answers) else ""
    return f"{', '.join(marked)}: ● predicted{given}"


def _card(sample: Sample, answers: Mapping[str, Answer]) -> Card:
    description = f"Image {sample.record.id}"
    points, true_points = (
        [getattr(each, name) for each in answers.values() if getattr(each, name) is not None]
        for name in ("points", "true_points")
    )
    face = figures.annotated_image(
        sample.image,
        description,
        np.concatenate(points) if points else None,
        np.concatenate(true_points) if true_points else None,
    )
    marked = [readable(name) for name, each in answers.items() if each.points is not None]
    panes = [(", ".join(marked), face)]
    for each in answers.values():
        panes += [(name, figures.plain_image(image, f"{description}, {name}")) for name, image in each.panes]
    words = [f"{readable(name)}: {each.text}" for name, each in answers.items() if each.text]
    chips = tuple(chip for each in answers.values() for chip in each.chips)
    return Card(tuple(panes), sample.record.id, "; ".join(words), chips)
