"""What went in: counts, quarantine, where labels come from, anomalies."""

from __future__ import annotations

from collections.abc import Mapping

from components.page.formatting import count_cells, format_int
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
    lead = "What went in. A record that was read is either kept or put into quarantine with a reason."
    return Section("Data", "data", tuple(blocks), lead)


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
