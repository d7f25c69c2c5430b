"""The part of facial attributes, with or without landmarks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.report import figures
from components.report.attention import attention_section
from components.report.common import bare_percent, decimal, known, percent, points, readable, whole
from components.report.data import Attention, AttributeResults, AttributeSlice, DataSummary, Pictures
from components.report.page import (
    Block,
    Cell,
    Column,
    Figure,
    Figures,
    Meter,
    Note,
    Number,
    Section,
    Table,
)
from components.report.predictions import predictions_section
from components.report.run_page import Part

_TOP = 10  # an image is assigned the attributes with so many highest scores
_FEW_IMAGES = 100  # below it one image moves a slice's accuracy by over a point


def attribute_part(
    results: AttributeResults | None = None,
    slices: Sequence[AttributeSlice] = (),
    pictures: Pictures | None = None,
    attention: Attention | None = None,
    data: DataSummary | None = None,
) -> Part:
    """What a run with facial attributes shows. What is None is left out; `data` says where landmarks come from."""
    sections = []
    if pictures is not None and pictures.pictures:
        sections.append(predictions_section(pictures))
    if attention is not None:
        sections.append(attention_section(attention))
    if results is not None:
        sections.append(per_attribute_section(results))
    if slices:
        sections.append(fairness_section(slices))
    if results is None:
        return Part(sections=tuple(sections))
    return Part(
        numbers=_headline_numbers(data, results),
        sections=tuple(sections),
        count=results.count,
        figures={
            "mean accuracy": results.mean_accuracy,
            "always the commoner class": _majority(results),
            "mean balanced accuracy": results.mean_balanced_accuracy,
            "mean F1": results.mean_f1,
            f"top-{_TOP} recall": _top_recall(results),
            "landmark NME": results.landmark_nme,
            **{f"accuracy gap {each.attribute}": each.gap for each in slices},
        },
        details={"accuracy": dict(zip(results.names, results.accuracy.tolist(), strict=True))},
    )


def _majority(results: AttributeResults) -> float | None:
    """Mean accuracy of always answering the commoner class."""
    return None if results.majority_accuracy is None else float(np.mean(results.majority_accuracy))


def _top_recall(results: AttributeResults) -> float | None:
    """None also where it is 1 whatever a model answers."""
    return known(results.top_10_recall) if len(results.names) > _TOP else None


def _headline_numbers(data: DataSummary | None, results: AttributeResults) -> tuple[Number, ...]:
    answers = f"{whole(results.count)} test images × {len(results.names)} attributes"
    majority = _majority(results)
    gain = None if majority is None else results.mean_accuracy - majority
    tone = "" if gain is None else "good" if gain > 0 else "bad"
    accuracy_means = f"of all yes-or-no answers agree with the label ({answers})."
    numbers = [Number(percent(results.mean_accuracy), "Mean accuracy", accuracy_means, tone)]
    if majority is not None:
        side = "above" if gain > 0 else "below"
        means = (
            "is what always giving the commoner answer would score, without looking at the picture. "
            f"The model is {percent(abs(gain)).replace('%', 'points')} {side} it."
        )
        numbers.append(Number(percent(majority), "Majority baseline", means))
    if results.mean_balanced_accuracy is not None:
        means = "is how often it is right when faces with and without an attribute count alike. 50 % is guessing."
        numbers.append(Number(percent(results.mean_balanced_accuracy), "Mean balanced accuracy", means))
    if results.mean_f1 is not None:
        means = "weighs finding an attribute against claiming it wrongly; 1 is perfect. Rare attributes pull it down."
        numbers.append(Number(decimal(results.mean_f1), "Mean F1", means))
    if _top_recall(results) is not None:
        means = (
            f"of the attributes that the labels name are among the {_TOP} with the highest scores of their image. "
            f"{_TOP} drawn at random would find {percent(_TOP / len(results.names), 1)}."
        )
        numbers.append(Number(percent(results.top_10_recall), f"Top-{_TOP} recall", means))
    if results.landmark_nme is not None:
        numbers.append(Number(percent(results.landmark_nme), "Landmark error (NME)", _landmark_meaning(data, results)))
    return tuple(numbers)


def _landmark_meaning(data: DataSummary | None, results: AttributeResults) -> str:
    sentences = ["is the mean distance of a landmark from its place, in distances between the eyes."]
    if results.failure_rate is not None:
        limit = f" by more than {percent(results.failure_threshold, 0)}" if results.failure_threshold else " too much"
        sentences.append(f"{percent(results.failure_rate, 1)} of the faces are off{limit}.")
    if data is not None and data.annotations and any(split.annotated for split in data.annotations.values()):
        sentences.append("An automatic annotator set the places.")
    return " ".join(sentences)


def per_attribute_section(results: AttributeResults) -> Section:
    """Every attribute's figures: a picture against the majority baseline, and the table."""
    blocks: list[Block] = []
    lead = f"On {whole(results.count)} test images."
    if results.majority_accuracy is not None:
        worse = [name for name, gain in zip(results.names, _gains(results), strict=True) if gain < 0]
        lead += (
            f" {len(results.names) - len(worse)} of {len(results.names)} attributes are at least as accurate as always "
            "giving the commoner answer."
        )
        blocks.append(Figures((_majority_figure(results),)))
    blocks.append(_attribute_table(results))
    return Section("Attributes", "attributes", tuple(blocks), lead)


def _gains(results: AttributeResults) -> np.ndarray:
    return np.asarray(results.accuracy) - np.asarray(results.majority_accuracy)


def _majority_figure(results: AttributeResults) -> Figure:
    order = np.argsort(-_gains(results), kind="stable")
    smallest = float(np.nanmin(np.minimum(results.accuracy, results.majority_accuracy)))
    markup = figures.dumbbell_chart(
        "Accuracy of each attribute and of always giving the commoner answer",
        [readable(results.names[index]) for index in order],
        100 * np.asarray(results.accuracy)[order],
        100 * np.asarray(results.majority_accuracy)[order],
        "this model",
        "always the commoner answer",
        "accuracy (% of test images)",
        limits=(min(50.0, 100 * smallest) - 2, 101),
    )
    caption = (
        "The length of a line is what the model has learnt about an attribute beyond how common it is. "
        "Ordered by it, best first. The axis does not begin at 0."
    )
    return Figure(markup, "What the model knows beyond the majority", caption, wide=True)


def _attribute_table(results: AttributeResults) -> Table:
    """Columns whose figures are unknown are left out."""
    gains = None if results.majority_accuracy is None else _gains(results)
    columns = [Column("Attribute", number=False)]
    cells: list[list[Cell]] = [[Cell(readable(name)) for name in results.names]]
    footer = [Cell("Mean")]

    def add(column: Column, column_cells: list[Cell], mean: str = "") -> None:
        columns.append(column)
        cells.append(column_cells)
        footer.append(Cell(mean))

    add(
        Column("Accuracy, %", "share of the test images answered like the label."),
        [_share_cell(value) for value in results.accuracy],
        bare_percent(results.mean_accuracy),
    )
    if gains is not None:
        high = max(float(np.nanmax(gains)), 0.01)
        low = min(float(np.nanmin(gains)), -0.1 * high)
        add(
            Column("Over majority, points", "accuracy minus that of always giving the commoner answer; the tick is 0."),
            [_gain_cell(gain, low, high) for gain in gains],
            points(float(np.mean(gains))),
        )
    if results.balanced_accuracy is not None:
        add(
            Column(
                "Balanced accuracy, %", "mean of the accuracies on faces with and without it; bar from 50, guessing."
            ),
            [_share_cell(value, Meter(max(value, 0.5), start=0.5, low=0.5)) for value in results.balanced_accuracy],
            bare_percent(results.mean_balanced_accuracy),
        )
    if results.f1 is not None:
        add(
            Column("F1", "harmonic mean of precision and recall; 1 is perfect, – means nobody has the attribute."),
            [Cell(decimal(value), value, _meter(Meter(value))) for value in results.f1],
            decimal(results.mean_f1),
        )
    if results.positive_rate_predicted is not None:
        true = results.positive_rate_true
        if true is not None:
            add(
                Column("Have it, %", "share of the test images with the attribute."),
                [_share_cell(v, digits=1) for v in true],
            )
        ticks = [None] * len(results.names) if true is None else [float(value) for value in true]
        tick = "" if true is None else " The tick is how many do: a bar beyond it says yes too often."
        add(
            Column("Said to, %", f"share of the test images which the model says have it.{tick}"),
            [
                _share_cell(value, Meter(value, tick=at), digits=1)
                for value, at in zip(results.positive_rate_predicted, ticks, strict=True)
            ],
        )
    if results.thresholds is not None:
        add(
            Column("Threshold", "a score above it is a yes; saved with the model."),
            [Cell(decimal(value), value) for value in results.thresholds],
        )
    return Table(tuple(columns), tuple(zip(*cells, strict=True)), footer=(tuple(footer),), sortable=True)


def _meter(meter: Meter) -> Meter | None:
    return None if np.isnan(meter.end) else meter


def _share_cell(share: float, meter: Meter | None = None, digits: int = 2) -> Cell:
    return Cell(bare_percent(share, digits), float(share), meter and _meter(meter))


def _gain_cell(gain: float, low: float, high: float) -> Cell:
    tone = "bad" if gain < 0 else ""
    meter = Meter(gain, tick=0.0, low=low, high=high, tone=tone)
    return Cell(points(gain), float(gain), _meter(meter), tone)


def fairness_section(slices: Sequence[AttributeSlice]) -> Section:
    """How alike the model serves those who have an attribute and those who have not."""
    reach = max(max(abs(each.gap) for each in slices), 1e-9)
    rows = tuple(_slice_row(each, reach) for each in sorted(slices, key=lambda each: -abs(each.gap)))
    columns = (
        Column("By", "the label that divides the test images.", number=False),
        Column("Images with / without"),
        Column("Accuracy with, %"),
        Column("Accuracy without, %"),
        Column("Gap, points", "mean accuracy on faces that have it minus on those that have not; the tick is 0."),
        Column(
            "Balanced gap, points",
            "the same of balanced accuracy, which does not profit from attributes being rarer in one of the groups.",
        ),
        Column("Widest single gap, points", "the attribute whose accuracy differs most between the two.", number=False),
    )
    blocks: list[Block] = [Table(columns, rows, sortable=len(rows) > 2)]
    few = [readable(s.attribute) for s in slices if min(s.having.count, s.lacking.count) < _FEW_IMAGES]
    if few:
        text = f"Fewer than {_FEW_IMAGES} images on one side ({', '.join(few)}): one image moves its accuracy much."
        blocks.append(Note(text, "bad"))
    lead = (
        "A model with a good mean can still serve some people worse. Each row divides the test images by one label; "
        "a gap near 0 means that both sides are served alike."
    )
    return Section("Fairness", "fairness", tuple(blocks), lead)


def _slice_row(each: AttributeSlice, reach: float) -> tuple[Cell, ...]:
    having, lacking = each.having, each.lacking
    balanced = (having.mean_balanced_accuracy, lacking.mean_balanced_accuracy)
    balanced_gap = None if None in balanced else balanced[0] - balanced[1]
    differences = np.nan_to_num(np.asarray(having.accuracy) - np.asarray(lacking.accuracy))
    widest = int(np.argmax(np.abs(differences)))
    return (
        Cell(readable(each.attribute)),
        Cell(f"{whole(having.count)} / {whole(lacking.count)}", min(having.count, lacking.count)),
        Cell(bare_percent(having.mean_accuracy), having.mean_accuracy),
        Cell(bare_percent(lacking.mean_accuracy), lacking.mean_accuracy),
        Cell(points(each.gap), abs(each.gap), _meter(Meter(each.gap, tick=0.0, low=-reach, high=reach))),
        Cell(points(balanced_gap), float("nan") if balanced_gap is None else abs(balanced_gap)),
        Cell(f"{readable(having.names[widest])} {points(differences[widest], 1)}"),
    )
