"""What feeding predictions back gains: every task's figures by iteration, as iFAN's Table 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from components.page import figures
from components.page.figures import Line
from components.page.formatting import change_text, figure_text, finite_or_none, readable
from components.page.page import Block, Cell, Column, Figure, Figures, Part, Section, Table
from components.tasks.figures import Figure as Measured

if TYPE_CHECKING:
    from components.report.collect import RunArtifacts

_Rows = Mapping[int, Mapping[str, Measured]]  # the iteration's figures by title


def interaction_parts(artifacts: RunArtifacts) -> Sequence[Part]:
    """The figures of every iteration; the page shows them if there is more than one."""
    evaluation = artifacts.evaluation
    rows = {
        number: {
            figure.name: figure
            for task in artifacts.tasks
            for figure in evaluation.figures(task.name, iteration=number)
        }
        for number in evaluation.iterations
    }
    details = {
        f"iteration {number}": {name: finite_or_none(figure.value) for name, figure in row.items()}
        for number, row in rows.items()
    }
    sections = (iterations_section(rows),) if len(rows) > 1 else ()
    return [Part(sections=sections, details=details)]


def iterations_section(rows: _Rows) -> Section:
    """A table of the figures by iteration, and a chart of those that are shares."""
    first, last = min(rows), max(rows)
    figures_by_name = {name: figure for row in rows.values() for name, figure in row.items()}
    blocks: list[Block] = [_table(rows, figures_by_name)]
    gains = [
        Line(readable(name), 100 * np.array([_gain(figure, row, rows[first]) for row in rows.values()]))
        for name, figure in figures_by_name.items()
        if figure.share
    ]
    if gains:
        title = "What feedback gains"
        markup = figures.line_chart(
            title, np.array(list(rows)), gains, "iteration", "better by (points)", size=(figures.WIDE, 3.0)
        )
        caption = (
            f"How much better each figure is than at iteration {first}, in percentage points: above 0 feedback helps, "
            f"below it harms. Errors are turned round, so that up is better for all. Up to iteration {last}."
        )
        blocks.append(Figures((Figure(markup, title, caption, wide=True),)))
    lead = (
        "The tasks' predictions are fed back into the network: an iteration gets those of the one before. Iteration "
        f"{first} gets none yet, and the same weights answer each time. Figures of the test images."
    )
    return Section("Iterations", "iterations", tuple(blocks), lead)


def _value(name, row):
    """NaN if it is not known."""
    return row[name].value if name in row else np.nan


def _gain(figure, row, first):
    """How much better a figure of `row` is than the first row's; NaN if one is not known."""
    difference = _value(figure.name, row) - _value(figure.name, first)
    return difference if figure.higher_is_better else -difference


def _table(rows, figures_by_name):
    first, *others = rows
    columns = [Column("Figure", number=False), Column(f"Iteration {first}")]
    for index, number in enumerate(others):
        meaning = f"against iteration {first}, shares in points; orange where the figure is worse than there."
        columns += [Column(f"Iteration {number}"), Column("Change", "" if index else meaning)]
    table = []
    for name, figure in figures_by_name.items():
        lower = "" if figure.higher_is_better else ", lower is better"
        cells = [
            Cell(f"{readable(name)}{' (%)' if figure.share else ''}{lower}"),
            Cell(figure_text(_value(name, rows[first]), figure.share)),
        ]
        for number in others:
            value, before = _value(name, rows[number]), _value(name, rows[first])
            tone = "bad" if _gain(figure, rows[number], rows[first]) < 0 else "quiet"
            change = Cell(change_text(value - before, figure.share), tone=tone)
            cells += [Cell(figure_text(value, figure.share)), change]
        table.append(tuple(cells))
    return Table(tuple(columns), tuple(table))
