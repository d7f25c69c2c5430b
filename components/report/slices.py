"""Every task's figures by slice: how alike the model serves the images that a label divides."""

from __future__ import annotations

import numpy as np

from components import tasks as task_kinds
from components.evaluator.results import Evaluation
from components.page.formatting import change_text, figure_text, format_int, interval_text, percent, readable
from components.page.page import Block, Cell, Column, Heading, Meter, Note, Section, Table
from components.report.collect import RunArtifacts
from components.tasks.annotation import BoundTask
from components.tasks.figures import Figure, beyond_chance, difference_interval
from components.tasks.reporting import capitalized

_FEW_IMAGES = 100  # below it one image moves a slice's accuracy by over a point
_LARGE_GAP = 0.1  # of shares; a number in a unit of its own has no such bound


def slices_section(artifacts: RunArtifacts) -> Section | None:
    """A task's gaps between the two sides of a label, and its figures by class; None without slices."""
    evaluation = artifacts.evaluation
    found = {task.name: _task_blocks(evaluation, task) for task in artifacts.tasks}
    found = {name: blocks for name, blocks in found.items() if blocks}
    if not found:
        return None
    shown: list[Block] = []
    for name, blocks in found.items():
        shown += [Heading(capitalized(name)), *blocks] if len(found) > 1 else blocks
    few = [
        readable(key)
        for key, sides in evaluation.slices.items()
        if sides and min(evaluation.counts[side] for side in sides) < _FEW_IMAGES
    ]
    if few:
        text = f"Fewer than {_FEW_IMAGES} images on one side ({', '.join(few)}): one image moves its figures much."
        shown.append(Note(text, "bad"))
    lead = (
        "A model with a good mean can still serve some people worse. The test images are divided by a label, or by "
        "several at once; a gap near 0 means that both sides are served alike."
    )
    return Section("Fairness", "fairness", tuple(shown), lead)


def _task_blocks(evaluation, task) -> list[Block]:
    """Without the slices of which no image has the task's label: they may be of another data set."""
    by_side = {key: [_headlines(evaluation, task, side) for side in sides] for key, sides in evaluation.slices.items()}
    known = {
        key: of_sides
        for key, of_sides in by_side.items()
        if all(of_sides) and any(np.isfinite(figures[0].value) for figures in of_sides)
    }
    two_sided = {
        key: [figures[0] for figures in of_sides] for key, of_sides in known.items() if evaluation.has_two_sides(key)
    }
    blocks = _gap_blocks(evaluation, task, two_sided) if two_sided else []
    blocks += [_side_table(evaluation, key, of) for key, of in known.items() if key not in two_sided]
    return blocks + _mistakes_blocks(evaluation, task, known)


def _headlines(evaluation: Evaluation, task: BoundTask, side: str) -> list[Figure]:
    """The task's headline figures of a slice; the first is the one that says most."""
    return [figure for figure in evaluation.figures(task.name, side) if figure.headline]


def _gap_blocks(evaluation, task, two_sided) -> list[Block]:
    """A row for each label with two sides, the widest gap first.

    Args:
        two_sided: by slice key, the task's first headline figure of the images that have the label and of the others.
    """
    figure = next(iter(two_sided.values()))[0]
    gaps = {key: evaluation.gap(task.name, figure.metric, key) for key in two_sided}
    reach = max((abs(gap) for gap in gaps.values() if np.isfinite(gap)), default=0.0) or 1e-9
    order = sorted(gaps, key=lambda key: -abs(np.nan_to_num(gaps[key])))
    rows = tuple(_gap_row(evaluation, task, key, two_sided[key], gaps[key], reach) for key in order)
    blocks: list[Block] = [Table(_gap_columns(evaluation, task, figure), rows, sortable=len(rows) > 2)]
    large = [readable(key) for key, gap in gaps.items() if _is_large(gap, figure)]
    if large:
        text = f"{capitalized(figure.name)} differs by {percent(_LARGE_GAP, 0)} or more: {', '.join(large)}."
        blocks.append(Note(text, "bad"))
    surely = [readable(key) for key in gaps if beyond_chance(evaluation.gap_interval(task.name, figure.metric, key))]
    if surely:
        text = (
            f"{capitalized(figure.name)} differs by more than chance makes it in 95 of 100 cases: {', '.join(surely)}."
        )
        blocks.append(Note(text, "bad"))
    return blocks


def _gap_columns(evaluation, task, figure):
    title = capitalized(figure.name)
    unit, difference = (", %", ", points") if figure.share else ("", "")
    meaning = "of images that have it minus that of those that have not; the tick is 0."
    columns = [
        Column("By", "the label that divides the test images.", number=False),
        Column("Images with / without"),
        Column(f"{title} with{unit}", "" if figure.higher_is_better else "lower is better."),
        Column(f"{title} without{unit}"),
        Column(f"Gap{difference}", f"{readable(figure.name)} {meaning}"),
        Column(f"95 % interval{difference}", "of the gap, by both sides' errors."),
    ]
    for each in _with_gaps(evaluation, task):
        meaning = f"the same of {readable(each.name)}, over what is defined on both sides."
        columns.append(Column(f"{each.gap}{', points' if each.share else ''}", meaning))
        columns.append(Column(f"95 % interval{', points' if each.share else ''}", f"of the {each.gap.lower()}."))
    return tuple(columns)


def _gap_row(evaluation, task, key, figures, gap, reach):
    counts = [evaluation.counts[side] for side in evaluation.slices[key]]
    meter = None if np.isnan(gap) else Meter(gap, tick=0.0, low=-reach, high=reach)
    interval = evaluation.gap_interval(task.name, figures[0].metric, key)
    tone = "bad" if _is_large(gap, figures[0]) or beyond_chance(interval) else ""
    row = [
        Cell(readable(key)),
        Cell(" / ".join(map(format_int, counts)), min(counts)),
        *map(_figure_cell, figures),
        Cell(change_text(gap, figures[0].share), abs(gap), meter, tone),
        Cell(_gap_interval(interval, figures[0].share)),
    ]
    for each in _with_gaps(evaluation, task):
        further = evaluation.gap(task.name, each.metric, key)
        interval = evaluation.gap_interval(task.name, each.metric, key)
        tone = "bad" if beyond_chance(interval) else ""
        row.append(Cell(change_text(further, each.share), abs(further), tone=tone))
        row.append(Cell(_gap_interval(interval, each.share)))
    return tuple(row)


def _gap_interval(interval, share) -> str:
    """`+1.20 to +3.40`; empty if it isn't known."""
    return "" if interval is None else " to ".join(change_text(end, share) for end in interval)


def _with_gaps(evaluation, task) -> list[Figure]:
    """The figures whose gaps are shown beside those of the first headline."""
    return [figure for figure in evaluation.figures(task.name) if figure.gap]


def _is_large(gap, figure):
    return figure.share and abs(gap) >= _LARGE_GAP


def _side_table(evaluation, key, of_sides) -> Table:
    """A row for each class of a slice that is no yes or no, a column for each headline figure."""
    columns = [Column(capitalized(key), number=False), Column("Images")]
    for figure in of_sides[0]:
        heading = f"{capitalized(figure.name)}{', %' if figure.share else ''}"
        columns.append(Column(heading, "" if figure.higher_is_better else "lower is better."))
        columns.append(Column(f"95 % interval{', %' if figure.share else ''}", f"of the {readable(figure.name)}."))
    sides = zip(evaluation.slices[key], of_sides, strict=True)
    rows = tuple(_side_row(evaluation, side, figures) for side, figures in sides)
    return Table(tuple(columns), rows, sortable=True)


def _side_row(evaluation, side, figures) -> tuple[Cell, ...]:
    """A slice, its images, and each figure with its interval."""
    count = evaluation.counts[side]
    row = [Cell(readable(side)), Cell(format_int(count), count)]
    for figure in figures:
        row += [_figure_cell(figure), Cell(interval_text(figure.interval, figure.share))]
    return tuple(row)


def _mistakes_blocks(evaluation, task, keys) -> list[Block]:
    """How often each kind of mistake is made on every slice, with intervals, if the task's kind knows several."""
    module = task_kinds.role(task.kind, "evaluation")
    if not (keys and hasattr(module, "mistakes")):
        return []
    by_side = {}
    for key in keys:
        sides = evaluation.slices[key]
        found = module.mistakes(task, [evaluation.of(task.name, side) for side in sides])
        by_side.update(zip(sides, found, strict=True))
    rows, surely = [], []
    for key in keys:
        sides = [by_side[side] for side in evaluation.slices[key]]
        rows += [_side_row(evaluation, *of) for of in zip(evaluation.slices[key], sides, strict=True)]
        if evaluation.has_two_sides(key):
            cells = [Cell(f"gap by {readable(key)}"), Cell("")]
            for both in zip(*sides, strict=True):
                gap = both[0].value - both[1].value
                interval = difference_interval(gap, *(figure.error for figure in both))
                cells += [
                    Cell(change_text(gap, both[0].share), tone="bad" if beyond_chance(interval) else ""),
                    Cell(_gap_interval(interval, both[0].share)),
                ]
                surely += [f"{readable(both[0].name)} by {readable(key)}"] if beyond_chance(interval) else []
            rows.append(tuple(cells))
    columns = [Column("Images of", number=False), Column("Images")]
    for figure in next(iter(by_side.values())):
        unit = ", %" if figure.share else ""
        columns += [Column(f"{capitalized(figure.name)}{unit}", "lower is better."), Column(f"95 % interval{unit}")]
    text = (
        "Of the images without a label, how many are said to have it; of those with it, how many are missed. Slices by "
        "one label are compared over the labels that are defined on all of them; a gap is with less without it."
    )
    notes = [Note(f"Differs by more than chance makes it in 95 of 100 cases: {', '.join(surely)}.", "bad")]
    return [Heading("Both mistakes by slice", text), Table(tuple(columns), tuple(rows)), *(notes if surely else [])]


def _figure_cell(figure):
    return Cell(figure_text(figure.value, figure.share), float(figure.value))
