"""What went in: counts, quarantine, where labels come from, anomalies."""

from __future__ import annotations

from collections.abc import Mapping

from components.drift.comparison import find_drift, read_thresholds
from components.drift.reference import IMAGE, Values
from components.page.formatting import count_cells, decimal, format_int
from components.page.page import Block, Cell, Column, Details, Heading, Note, Section, Table
from components.report.collect import DataSummary


def data_section(data: DataSummary) -> Section:
    """Counts, quarantine, annotation and anomalies of the data."""
    blocks: list[Block] = [*_split_blocks(data), *_quarantine_blocks(data)]
    if data.annotations:
        keys = ("had_landmarks", "annotated", "not_found")
        columns = (
            Column("Split", number=False),
            Column("Had landmarks", "they came with the data set."),
            Column("Annotated", "the annotator found the face and marked it; no human checked it."),
            Column("No face found", "the image trains its other tasks, without landmarks."),
        )
        blocks += [Heading("Where the landmarks come from"), _count_table(columns, data.annotations, keys)]
    if data.soft_labels:
        counts = {f"{split}: {label}": of for split, labels in data.soft_labels.items() for label, of in labels.items()}
        columns = (
            Column("Split: label", number=False),
            Column("Annotated", "it came with the data set."),
            Column("Soft labels", "a trained network's scores stand in for it."),
        )
        blocks += [Heading("Labels that a teacher gave"), _count_table(columns, counts, ("annotated", "labelled"))]
    blocks.append(Heading("Does the data keep to its schema?"))
    blocks += [Note(text, "bad") for text in data.anomalies] or [
        Note("ExampleValidator found no anomaly: every record has the features, types and ranges it should.", "good")
    ]
    blocks += _data_set_blocks(data.validated)
    lead = "What went in. A record that was read is either kept or put into quarantine with a reason."
    return Section("Data", "data", tuple(blocks), lead)


def _data_set_blocks(validated: Mapping[str, Values]) -> list[Block]:
    """How the images of several data sets look, each beside the first one's; nothing of a data set alone."""
    if len(validated) < 2:
        return []
    looks = {
        dataset: {name: of for name, of in values.items() if name.startswith(IMAGE)}
        for dataset, values in validated.items()
    }
    first, *others = looks
    beside = {other: looks[other] for other in others}
    found = find_drift(dict.fromkeys(others, looks[first]), beside, {}, read_thresholds())
    apart = {(other, drift.name): drift for other in others for drift in found[other]}
    columns = (
        Column("", number=False),
        *(Column(dataset, "mean ± standard deviation.") for dataset in looks),
        *(Column(f"{other}: distance", f"Jensen-Shannon divergence from {first}.") for other in others),
    )
    rows = []
    for name in looks[first]:
        spreads = (Cell(f"{values[name].mean():.3g} ± {values[name].std():.2g}") for values in looks.values())
        drifts = [apart[other, name] for other in others]
        distances = (Cell(decimal(each.distance), tone="bad" if each.drifted else "") for each in drifts)
        rows.append((Cell(name), *spreads, *distances))
    text = (
        f"Validation images at the network's size. The less alike, the less a task learnt from {first} says of the "
        "others' images, and the other way round."
    )
    note = Note("They differ by no more than chance, or by less than the thresholds of schemas/drift.pbtxt.", "good")
    if different := [f"{other}: {drift.sentence()}" for (other, _), drift in apart.items() if drift.drifted]:
        note = Note(f"Other than {first}, by more than chance and the thresholds: {'; '.join(different)}.", "bad")
    return [Heading("Do the data sets look alike?", text), Table(columns, tuple(rows)), note]


def _count_table(columns, counts: Mapping[str, Mapping[str, int]], keys):
    return Table(columns, tuple(count_cells(name, (of[key] for key in keys)) for name, of in counts.items()))


def _split_blocks(data):
    counts = {name: (of["read"], of["kept"], of["quarantined"]) for name, of in data.splits.items()}
    total = [sum(column) for column in zip(*counts.values(), strict=True)]
    columns = (Column("Split", number=False), Column("Read"), Column("Kept"), Column("Quarantined"))
    rows = tuple(count_cells(name, count) for name, count in counts.items())
    blocks: list[Block] = [Table(columns, rows, footer=(count_cells("All", total),) if len(rows) > 1 else ())]
    lost = {name: read - kept - out for name, (read, kept, out) in counts.items() if read != kept + out}
    blocks += [
        Note(f"{name}: {format_int(count)} records were read but neither kept nor quarantined. This is a fault.", "bad")
        for name, count in lost.items()
    ]
    return blocks


def _quarantine_blocks(data):
    blocks: list[Block] = []
    if data.quarantine_reasons:
        columns = (Column("Reason", number=False), Column("Records"))
        blocks += [
            Heading("Why records were put into quarantine"),
            Table(columns, tuple(count_cells(reason, (count,)) for reason, count in data.quarantine_reasons.items())),
        ]
    if data.quarantine_samples:
        columns = (Column("Image", number=False), Column("Reason", number=False))
        rows = tuple((Cell(name), Cell(reason)) for name, reason in data.quarantine_samples)
        blocks.append(Details(f"Some of them ({len(rows)})", (Table(columns, rows),)))
    return blocks
