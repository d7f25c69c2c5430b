"""What whoever works with a run's data should know, as Markdown: each data set's terms, splits, labels and losses."""

from __future__ import annotations

import numpy as np

from components import tasks as task_kinds
from components.drift.reference import LABEL
from components.page.formatting import format_int, percent, readable
from components.report.card import command
from components.report.collect import RunArtifacts
from components.tasks.annotation import BoundTask

_OF_PEOPLE = (
    "Labels are other people's opinions of pictures, not facts about the people in them.",
    "A split by image may have one person on both sides, unless the data set's own list says otherwise.",
)
_LIMITS = ("What is rare among the images is rare in what the figures say: the shares below are of the test images.",)


def data_card(artifacts: RunArtifacts) -> str:
    """A section for each data set of the run, in order."""
    lines = [
        f"# Data of {artifacts.name}",
        "",
        f"As facetfx read them at commit {artifacts.commit or 'unknown'}, {artifacts.created:%d %B %Y}, with "
        f"`{command(artifacts)}`.",
        "",
        *(f"- {text}" for text in (_OF_PEOPLE if artifacts.of_people else ()) + _LIMITS),
        "",
    ]
    for config in artifacts.experiment.data.datasets:
        lines += [f"## {readable(config.name)}", "", artifacts.terms[config.name], ""]
        options = ", ".join(f"{name} {value}" for name, value in config.options.items())
        lines += [f"Read by the builder `{config.builder or config.name}`{f' with {options}' if options else ''}.", ""]
        lines += _splits(artifacts, config.name)
        for task in artifacts.tasks:
            if task.dataset == config.name:
                lines += ["", *_label(artifacts, task)]
        lines.append("")
    lines += _losses(artifacts)
    return "\n".join(lines)


def _splits(artifacts, dataset):
    data = artifacts.experiment.data
    names = {data.splits(split)[dataset] for split in ("train", "validation", "test", "no split")}
    rows = [
        f"| {name} | {format_int(of['read'])} | {format_int(of['kept'])} | {format_int(of['quarantined'])} |"
        for name, of in artifacts.data.splits.items()
        if name in names
    ]
    return ["| split | read | kept | quarantined |", "| --- | --- | --- | --- |", *rows]


def _label(artifacts: RunArtifacts, task: BoundTask) -> list[str]:
    """The label's kind, where it comes from, and how common each name is among the test images."""
    values = artifacts.evaluation.of(task.name)
    by_machine = artifacts.experiment.data.annotate_landmarks == task.name
    teachers = [each.experiment for each in artifacts.experiment.data.teachers if each.task == task.name]
    source = "came with the data"
    if by_machine:
        source = "marked by dlib where images had none; nobody checked them"
    elif teachers:
        source = f"came with the data; training images without it have the scores of {', '.join(teachers)}"
    lines = [f"**{readable(task.name)}** ({readable(task.kind)}): {source}."]
    evaluation = task_kinds.role(task.kind, "evaluation")
    if values and hasattr(evaluation, "frequencies"):
        shares = zip(task.names, evaluation.frequencies(values), strict=True)
        lines += ["", "| among the test images | |", "| --- | --- |"]
        lines += [f"| {readable(name)} | {percent(share, 1)} |" for name, share in shares]
    numbers = artifacts.data.validated.get(task.dataset, {}).get(f"{LABEL}{task.name}")
    if task.kind == "regression" and numbers is not None:
        least, quarter, median, three_quarters, most = np.quantile(numbers, [0, 0.25, 0.5, 0.75, 1])
        lines += [
            "",
            f"Among {format_int(len(numbers))} validation images it is {least:.4g} to {most:.4g}, of half of them "
            f"{quarter:.4g} to {three_quarters:.4g}; the median is {median:.4g}.",
        ]
    return lines


def _losses(artifacts):
    reasons = artifacts.data.quarantine_reasons
    lines = ["## What was put aside", ""]
    if not reasons:
        return [*lines, "Nothing: every record could be read.", ""]
    rows = (f"| {reason.replace('|', '&#124;')} | {format_int(count)} |" for reason, count in reasons.items())
    return [*lines, "| reason | records |", "| --- | --- |", *rows, ""]
