"""The report of one run: what each of its tasks has to show, and what all runs have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from components.report.common import data_section, run_section, verdict_badges, verdict_notes
from components.report.data import DataSummary, History, Run, Verdict
from components.report.learning import learning_section
from components.report.page import Block, Note, Number, Numbers, Page, Section


@dataclasses.dataclass(frozen=True)
class Part:
    """What one task of a run adds to its report. A new task is a function that makes one.

    Attributes:
        numbers: for the head of the page.
        sections: in order.
        count: test images that have the task's labels.
        figures: what the console prints and `make compare` compares, by names that no other task has; None is left out.
        details: further figures for programs: title -> name of an attribute or a class -> figure.
    """

    numbers: tuple[Number, ...] = ()
    sections: tuple[Section, ...] = ()
    count: int = 0
    figures: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    details: Mapping[str, Mapping[str, float | None]] = dataclasses.field(default_factory=dict)


def run_page(
    run: Run,
    parts: Sequence[Part] = (),
    data: DataSummary | None = None,
    history: History | None = None,
    verdict: Verdict | None = None,
) -> Page:
    """The whole report of one run; `.render()` gives the HTML. What is None is left out."""
    sections = [_headline_section(run, parts, verdict), *(section for part in parts for section in part.sections)]
    if history is not None and len(history.loss):
        sections.append(learning_section(history))
    if data is not None:
        sections.append(data_section(data))
    sections.append(run_section(run, verdict))
    return Page(
        title=run.experiment,
        kicker="facetfx report",
        lead=run.description,
        byline=(f"{run.created:%d %B %Y, %H:%M}", *([] if run.seed is None else [f"seed {run.seed}"])),
        badges=verdict_badges(verdict),
        sections=tuple(sections),
    )


def _headline_section(run: Run, parts: Sequence[Part], verdict: Verdict | None) -> Section:
    """The few numbers that say how good the model is, and the verdict's reasons."""
    numbers = tuple(number for part in parts for number in part.numbers)
    blocks: list[Block] = []
    if numbers:
        blocks.append(Numbers(numbers))
    else:
        blocks.append(Note("The model was not evaluated in this run, so there are no figures to show."))
    if run.target:
        blocks.append(Note(f"To hold against it: {run.target}"))
    blocks += verdict_notes(verdict)
    return Section("Result", "result", tuple(blocks))
