"""The part of landmarks as a task of their own: how far each lies from its place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from components.report import figures
from components.report.common import bare_percent, known, percent, readable, whole
from components.report.data import LandmarkResults
from components.report.page import Block, Cell, Column, Details, Figure, Figures, Meter, Number, Section, Table
from components.report.run_page import Part

_ROWS_SHOWN = 24  # of the table, before it is folded


def landmark_part(results: LandmarkResults, iterations: Mapping[int, LandmarkResults] | None = None) -> Part:
    """What a run with landmarks shows; `iterations`: the results after each iteration of task interaction, if any."""
    return Part(
        numbers=_headline_numbers(results),
        sections=(landmark_section(results, iterations or {}),),
        count=results.count,
        figures={"landmark NME": known(results.nme), "landmark failure rate": known(results.failure_rate)},
        details={
            "point NME": {name: known(nme) for name, nme in zip(results.point_names, results.point_nme, strict=True)}
        },
    )


def _test_pictures(results: LandmarkResults) -> str:
    of = f"of {readable(results.dataset)}"
    return f"the one test picture {of}" if results.count == 1 else f"the {whole(results.count)} test pictures {of}"


def _limit(results: LandmarkResults) -> str:
    return percent(results.failure_threshold, 0)


def _headline_numbers(results: LandmarkResults) -> tuple[Number, ...]:
    on = f"{_test_pictures(results)}, {len(results.point_names)} points each"
    return (
        Number(
            percent(results.nme),
            "Landmark error (NME)",
            f"of the distance between the eyes is how far a landmark lies from its place: the mean over {on}. Lower is "
            "better.",
        ),
        Number(
            percent(results.failure_rate),
            "Landmark failure rate",
            f"of {_test_pictures(results)} have a landmark error over {_limit(results)} of the distance between the "
            "eyes. Lower is better.",
        ),
    )


def landmark_section(results: LandmarkResults, iterations: Mapping[int, LandmarkResults]) -> Section:
    """Each landmark's error and failure rate, and how they change by iteration."""
    table = _point_table(results, iterations if len(iterations) > 1 else {})
    blocks: list[Block] = [Figures(_point_figures(results, iterations))]
    if len(results.point_names) > _ROWS_SHOWN:
        blocks.append(Details(f"The figures of all {len(results.point_names)} landmarks", (table,)))
    else:
        blocks.append(table)
    lead = (
        f"Counted on {_test_pictures(results)}. An error is a distance in pixels of the picture, as a share of the "
        "distance between the picture's two eyes by its label, so that large faces count like small ones."
    )
    if len(iterations) > 1:
        lead += " The table is as Table 1 of the iFAN paper."
    if any(name.startswith("left") for name in results.point_names):
        lead += " Left and right are the picture's sides, not the person's."
    return Section("Landmarks", "landmarks", tuple(blocks), lead)


def _point_figures(results: LandmarkResults, iterations: Mapping[int, LandmarkResults]) -> tuple[Figure, ...]:
    """Bars; where tasks interact, with a line across each where the iteration without interaction stood."""
    first = iterations[min(iterations)] if len(iterations) > 1 else None
    legend = (f"iteration {max(iterations)}", f"iteration {min(iterations)}") if first is not None else ("", "")
    line = " The line is where it stood before any prediction was fed back." if first is not None else ""
    names = [readable(name) for name in results.point_names]
    shown = []
    for title, field, x_label, caption in (
        (
            "Error of each landmark",
            "point_nme",
            "NME (% of the distance between the eyes)",
            f"Mean distance from its place.{line} As Fig. 4 of the iFAN paper.",
        ),
        (
            "Failure rate of each landmark",
            "point_failure_rate",
            "failure rate (% of the pictures)",
            f"Share of the pictures in which this landmark alone is off by more than {_limit(results)} of the distance "
            f"between the eyes.{line} As Fig. 5 of the iFAN paper.",
        ),
    ):
        values = 100 * np.asarray(getattr(results, field), float)
        marks = None if first is None else 100 * np.asarray(getattr(first, field), float)
        longest = np.nanmax([0.0, *values, *(() if marks is None else marks)]) or 1.0
        markup = figures.bar_chart(title, names, values, x_label, 1.12 * longest, marks, legend)
        shown.append(Figure(markup, title, caption, wide=marks is not None or len(names) > _ROWS_SHOWN))
    return tuple(shown)


def _point_table(results: LandmarkResults, iterations: Mapping[int, LandmarkResults]) -> Table:
    """A row a landmark; columns for every iteration, or for the results alone if there are none."""
    runs = {f", iteration {iteration}": each for iteration, each in sorted(iterations.items())} or {"": results}
    columns, rows = [Column("Landmark", number=False)], [[Cell(readable(name))] for name in results.point_names]
    footer = [Cell("All landmarks")]
    meanings = {
        "point_nme": "mean distance from its place, as a share of that between the eyes. At the foot that of all.",
        "point_failure_rate": (
            f"share of the pictures in which it is off by more than {_limit(results)}. At the foot the share of those "
            "whose landmarks are off by that much in the mean, which is no mean of the column."
        ),
    }
    for field, heading in (("point_nme", "NME"), ("point_failure_rate", "Failures")):
        longest = max(np.nanmax([0.0, *getattr(each, field)]) for each in runs.values()) or 1.0
        for index, (words, each) in enumerate(runs.items()):
            columns.append(Column(f"{heading}{words}, %", "" if index else meanings[field]))
            for row, value in zip(rows, getattr(each, field), strict=True):
                last = index == len(runs) - 1 and not np.isnan(value)
                row.append(Cell(bare_percent(value), float(value), Meter(float(value), high=longest) if last else None))
            footer.append(Cell(bare_percent(each.nme if field == "point_nme" else each.failure_rate)))
    return Table(tuple(columns), tuple(map(tuple, rows)), footer=(tuple(footer),), sortable=True)
