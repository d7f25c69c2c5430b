"""The sections that every system's report has: what went in, and what ran. And how numbers are written."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from components.report import figures
from components.report.data import DataSummary, Run, Verdict
from components.report.page import (
    Badge,
    Block,
    Cell,
    Code,
    Column,
    Details,
    Facts,
    Figure,
    Figures,
    Heading,
    Meter,
    Note,
    Section,
    Table,
)

_DASH = "–"
_NBSP = "\u00a0"
# CelebAMask-HQ's names of its classes, which can be misread: l_lip is the lower lip, l_eye the left eye.
_SPELT_OUT = {
    "eye_g": "glasses",
    "l_eye": "left eye",
    "r_eye": "right eye",
    "l_brow": "left brow",
    "r_brow": "right brow",
    "l_ear": "left ear",
    "r_ear": "right ear",
    "u_lip": "upper lip",
    "l_lip": "lower lip",
    "ear_r": "earring",
    "neck_l": "necklace",
}


def readable(name: str) -> str:
    """`Mouth_Slightly_Open` -> `Mouth Slightly Open`, `l_lip` -> `lower lip`."""
    return _SPELT_OUT.get(name, name.replace("_", " "))


def percent(share: float | None, digits: int = 2) -> str:
    """A share in [0, 1] as `91.70 %`; a dash when it is unknown or undefined."""
    return _DASH if share is None or math.isnan(share) else f"{100 * share:.{digits}f}{_NBSP}%"


def bare_percent(share: float | None, digits: int = 2) -> str:
    """A share in percent without the sign, for a column whose heading has it."""
    return percent(share, digits).removesuffix("%").strip()


def points(difference: float | None, digits: int = 2) -> str:
    """A difference of shares as signed percentage points, `+11.66`, with a true minus sign."""
    if difference is None or math.isnan(difference):
        return _DASH
    return f"{_rounded(100 * difference, digits):+.{digits}f}".replace("-", "−")


def _rounded(value: float, digits: int) -> float:
    """Adding 0 turns the -0.0 that rounding can leave, which would be written with its sign, into 0.0."""
    return round(value, digits) + 0.0


def decimal(value: float | None, digits: int = 3) -> str:
    """A plain number with a true minus sign; a dash when it is unknown or undefined."""
    return _DASH if value is None or math.isnan(value) else f"{_rounded(value, digits):.{digits}f}".replace("-", "−")


def known(value: float | None) -> float | None:
    """A figure for programs: None if it is unknown or undefined."""
    return None if value is None or math.isnan(value) else float(value)


def whole(count: int | None) -> str:
    """`19,962`."""
    return _DASH if count is None else f"{count:,}"


def count_cells(name: str, counts: Iterable[int]) -> tuple[Cell, ...]:
    """A table row of a name and whole numbers."""
    return (Cell(name), *(Cell(whole(count), sort=count) for count in counts))


def verdict_badges(verdict: Verdict | None) -> tuple[Badge, ...]:
    """Blessed or not, served alike or not, pushed or not: a badge for each that is known."""
    if verdict is None:
        return ()
    badges = []
    if verdict.blessed is not None:
        badges.append(Badge("✓", "Blessed", "good") if verdict.blessed else Badge("✗", "Not blessed", "bad"))
    else:
        badges.append(Badge("○", "Not judged"))
    if verdict.serving_ok is not None:
        badges.append(
            Badge("✓", "Serving check passed", "good")
            if verdict.serving_ok
            else Badge("✗", "Serving check failed", "bad")
        )
    badges.append(Badge("✓", "Pushed", "good") if verdict.pushed_path else Badge("○", "Not pushed"))
    return tuple(badges)


def verdict_notes(verdict: Verdict | None) -> tuple[Note, ...]:
    """Why the badges are as they are, in sentences."""
    if verdict is None:
        return ()
    tone = {True: "good", False: "bad", None: "quiet"}
    notes = [Note(reason, tone[verdict.blessed]) for reason in verdict.reasons]
    if verdict.serving_message:
        notes.append(Note(f"Serving: {verdict.serving_message}", tone[verdict.serving_ok]))
    return tuple(notes)


def data_section(data: DataSummary) -> Section:
    """Counts, quarantine, annotation, frequencies and anomalies of the data."""
    blocks: list[Block] = [*_split_blocks(data), *_quarantine_blocks(data)]
    if data.annotations:
        rows = tuple(
            count_cells(name, (split.had_landmarks, split.annotated, split.not_found))
            for name, split in data.annotations.items()
        )
        columns = (
            Column("Split", number=False),
            Column("Had landmarks", "they came with the data set."),
            Column("Annotated", "the annotator found the face and marked it; no human checked it."),
            Column("No face found", "the image trains its other tasks, without landmarks."),
        )
        blocks += [Heading("Where the landmarks come from"), Table(columns, rows)]
    if data.soft_labels:
        rows = tuple(
            count_cells(f"{name}: {label}", (count.annotated, count.labelled))
            for name, split in data.soft_labels.items()
            for label, count in split.items()
        )
        columns = (
            Column("Split: label", number=False),
            Column("Annotated", "it came with the data set."),
            Column("Soft labels", "a trained network's scores stand in for it."),
        )
        blocks += [Heading("Labels that a teacher gave"), Table(columns, rows)]
    if data.anomalies is not None:
        blocks.append(Heading("Does the data keep to its schema?"))
        blocks += [Note(text, "bad") for text in data.anomalies] or [
            Note(
                "ExampleValidator found no anomaly: every record has the features, types and ranges it should.", "good"
            )
        ]
    if data.positive_rate is not None:
        blocks.append(_frequency_figure(data))
    lead = "What went in. A record that was read is either kept or put into quarantine with a reason."
    return Section("Data", "data", tuple(blocks), lead)


def _split_blocks(data: DataSummary) -> list[Block]:
    counts = {name: (split.read, split.kept, split.quarantined) for name, split in data.splits.items()}
    total = [sum(column) for column in zip(*counts.values(), strict=True)]
    columns = (Column("Split", number=False), Column("Read"), Column("Kept"), Column("Quarantined"))
    rows = tuple(count_cells(name, count) for name, count in counts.items())
    blocks: list[Block] = [Table(columns, rows, footer=(count_cells("All", total),) if len(rows) > 1 else ())]
    lost = {name: read - kept - out for name, (read, kept, out) in counts.items() if read != kept + out}
    blocks += [
        Note(f"{name}: {whole(count)} records were read but neither kept nor quarantined. This is a fault.", "bad")
        for name, count in lost.items()
    ]
    return blocks


def _quarantine_blocks(data: DataSummary) -> list[Block]:
    blocks: list[Block] = []
    if data.quarantine_reasons:
        ordered = sorted(data.quarantine_reasons.items(), key=lambda item: -item[1])
        columns = (Column("Reason", number=False), Column("Records"))
        blocks += [
            Heading("Why records were put into quarantine"),
            Table(columns, tuple(count_cells(reason, (count,)) for reason, count in ordered)),
        ]
    if data.quarantine_samples:
        columns = (Column("Image", number=False), Column("Reason", number=False))
        rows = tuple((Cell(name), Cell(reason)) for name, reason in data.quarantine_samples)
        blocks.append(Details(f"Some of them ({len(rows)})", (Table(columns, rows),)))
    return blocks


def _frequency_figure(data: DataSummary) -> Figures:
    order = np.argsort(-np.nan_to_num(data.positive_rate), kind="stable")
    markup = figures.bar_chart(
        "Share of training images that have each attribute",
        [readable(data.attribute_names[index]) for index in order],
        100 * data.positive_rate[order],
        "share of training images (%)",
        upper=100,
    )
    caption = (
        "The further from 50 %, the easier it is to be right by always giving the same answer, and the less "
        "the accuracy of an attribute says."
    )
    return Figures((Figure(markup, "How common each attribute is", caption, wide=True),))


def run_section(run: Run, verdict: Verdict | None = None) -> Section:
    """What ran for how long, where things lie, and the commands to go on with."""
    facts = [
        ("Experiment", run.experiment),
        ("Created", f"{run.created:%Y-%m-%d %H:%M %Z}".strip()),
        ("Seed", None if run.seed is None else str(run.seed)),
        ("Parameters of the served model", None if run.parameters is None else _parameters(run.parameters)),
        ("Image size", None if run.image_size is None else "{} × {} pixels (height × width)".format(*run.image_size)),
        ("Model", run.model_location),
        ("Pushed to", verdict.pushed_path if verdict else None),
        ("TensorBoard logs", run.log_location),
    ]
    blocks: list[Block] = [Facts(tuple((name, value) for name, value in facts if value))]
    if run.components:
        blocks.append(_minutes_table(run))
    if run.tensorboard_command:
        blocks.append(Code("To watch the curves in TensorBoard:", run.tensorboard_command))
    if run.serving_commands:
        blocks.append(Code("To serve the model and ask it about a picture:", run.serving_commands))
    return Section("Run", "run", tuple(blocks), "What ran, for how long, and where its results lie.")


def _parameters(count: int) -> str:
    return f"{whole(count)} ({count * 4 / 1e6:,.1f} MB as float32)"


def _minutes_table(run: Run) -> Table:
    longest = max(max(step.minutes for step in run.components.values()), 1e-9)
    rows = tuple(
        (
            Cell(name),
            Cell(decimal(step.minutes, 1), step.minutes, Meter(step.minutes, high=longest)),
            Cell("from the cache" if step.cached else "ran", tone="quiet" if step.cached else ""),
        )
        for name, step in run.components.items()
    )
    total = sum(step.minutes for step in run.components.values())
    columns = (Column("Component", number=False), Column("Minutes"), Column("", number=False))
    return Table(columns, rows, footer=((Cell("All"), Cell(decimal(total, 1)), Cell("")),))
