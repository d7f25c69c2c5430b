"""What feeding predictions back gains: every task's figures by iteration, as iFAN's Table 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from components.page import figures
from components.page.figures import Line
from components.page.formatting import bare_percent, finite_or_none, percentage_points, readable
from components.page.page import Cell, Column, Figure, Figures, Part, Section, Table

if TYPE_CHECKING:
    from components.report.collect import RunArtifacts

_Rows = Mapping[int, Mapping[str, float]]  # the iteration's figures by title


def interaction_parts(artifacts: RunArtifacts) -> Sequence[Part]:
    """The figures of every iteration; the page shows them if there is more than one."""
    evaluation = artifacts.evaluation
    found = {
        number: {
            figure.name: figure
            for task in artifacts.tasks
            for figure in evaluation.figures(task.name, iteration=number)
        }
        for number in evaluation.iterations
    }
    errors = {name for each in found.values() for name, figure in each.items() if not figure.higher_is_better}
    rows = {number: {name: figure.value for name, figure in each.items()} for number, each in found.items()}
    details = {
        f"iteration {number}": {name: finite_or_none(value) for name, value in row.items()}
        for number, row in rows.items()
    }
    sections = (iterations_section(rows, errors),) if len(rows) > 1 else ()
    return [Part(sections=sections, details=details)]


def iterations_section(rows: _Rows, errors: set[str]) -> Section:
    """A table and a chart of the figures by iteration.

    Args:
        errors: titles of the figures that are the better the lower.
    """
    first, last = min(rows), max(rows)
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    gains = [
        Line(readable(name), 100 * np.array([_gain(name, row, rows[first], errors) for row in rows.values()]))
        for name in names
    ]
    title = "What feedback gains"
    markup = figures.line_chart(
        title, np.array(list(rows)), gains, "iteration", "better by (points)", size=(figures.WIDE, 3.0)
    )
    caption = (
        f"How much better each figure is than at iteration {first}, in percentage points: above 0 feedback helps, "
        f"below it harms. Errors are turned round, so that up is better for all. Up to iteration {last}."
    )
    lead = (
        "The tasks' predictions are fed back into the network: an iteration gets those of the one before. Iteration "
        f"{first} gets none yet, and the same weights answer each time. Figures of the test images."
    )
    blocks = (_table(rows, names, errors), Figures((Figure(markup, title, caption, wide=True),)))
    return Section("Iterations", "iterations", blocks, lead)


def _gain(name, row, first, errors):
    """How much better a figure of `row` is than the first row's, as a share; NaN if one is not known."""
    difference = row.get(name, np.nan) - first.get(name, np.nan)
    return -difference if name in errors else difference


def _table(rows, names, errors):
    first, *others = rows
    columns = [Column("Figure", number=False), Column(f"Iteration {first}, %")]
    for index, number in enumerate(others):
        meaning = f"against iteration {first}; orange where the figure is worse than there."
        columns += [Column(f"Iteration {number}, %"), Column("Change, points", "" if index else meaning)]
    table = []
    for name in names:
        lower = ", lower is better" if name in errors else ""
        cells = [Cell(f"{readable(name)}{lower}"), Cell(bare_percent(rows[first].get(name)))]
        for number in others:
            value = rows[number].get(name, np.nan)
            tone = "bad" if _gain(name, rows[number], rows[first], errors) < 0 else "quiet"
            change = value - rows[first].get(name, np.nan)
            cells += [Cell(bare_percent(value)), Cell(percentage_points(change), tone=tone)]
        table.append(tuple(cells))
    return Table(tuple(columns), tuple(table))
