"""A self-contained HTML page out of sections, and the blocks a section is made of.

A block says what is shown, the template (page.html.jinja, page.css, page.js) how. All text is escaped; only what is
`markupsafe.Markup` already, such as an SVG figure, goes in as it is.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Literal

import jinja2
from markupsafe import Markup

Tone = Literal["", "good", "bad", "quiet"]


@dataclasses.dataclass(frozen=True)
class Heading:
    """A title within a section, with an optional sentence below it."""

    title: str
    text: str = ""


@dataclasses.dataclass(frozen=True)
class Note:
    """A sentence that stands out; its tone comes with a symbol, never by colour alone."""

    text: str
    tone: Tone = "quiet"


@dataclasses.dataclass(frozen=True)
class Headline:
    """One big number, what it is called, and a sentence that says what it means.

    Attributes:
        metric: what the evaluation calls it; "" for what follows from several.
        interval: its confidence interval, in words.
    """

    value: str
    label: str
    meaning: str
    tone: Tone = ""
    metric: str = ""
    interval: str = ""


@dataclasses.dataclass(frozen=True)
class Headlines:
    """Big numbers side by side."""

    headlines: tuple[Headline, ...]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A drawing: inline SVG or <img> with a data URI, its title and how to read it."""

    markup: Markup
    title: str
    caption: str
    wide: bool = False


@dataclasses.dataclass(frozen=True)
class Figures:
    """Figures two a row where there is room; a wide one has its own row."""

    figures: tuple[Figure, ...]


@dataclasses.dataclass(frozen=True)
class Meter:
    """A small bar in a table cell: from `start` to `end` on a scale from `low` to `high`, with a tick at `tick`."""

    end: float
    start: float = 0.0
    tick: float | None = None
    low: float = 0.0
    high: float = 1.0
    tone: Tone = ""

    def _percent(self, value: float) -> float:
        return round(100 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0), 2)

    @property
    def left(self) -> float:
        """Where the bar begins, in percent of the cell."""
        return self._percent(min(self.start, self.end))

    @property
    def width(self) -> float:
        """Length of the bar, in percent of the cell."""
        return round(self._percent(max(self.start, self.end)) - self.left, 2)

    @property
    def tick_left(self) -> float | None:
        """Where the tick stands, in percent of the cell."""
        return None if self.tick is None else self._percent(self.tick)


@dataclasses.dataclass(frozen=True)
class Column:
    """A table column: its heading, what it means (shown below the table), and whether it holds numbers."""

    heading: str
    meaning: str = ""
    number: bool = True


@dataclasses.dataclass(frozen=True)
class Cell:
    """A table cell: text, the value it sorts by if that is not the text, and an optional meter."""

    text: str
    sort: float | None = None
    meter: Meter | None = None
    tone: Tone = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of cells. The first cell of a row names it. `footer` rows stay at the bottom when the table is sorted."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    footer: tuple[tuple[Cell, ...], ...] = ()
    sortable: bool = False


@dataclasses.dataclass(frozen=True)
class Chip:
    """A small label with a symbol or a patch of colour (as CSS has it); `meaning` appears when pointed at."""

    symbol: str
    text: str
    tone: Tone = ""
    meaning: str = ""
    colour: str = ""


@dataclasses.dataclass(frozen=True)
class Card:
    """Images, each under its own name, with what all are called, a line of text and chips."""

    panes: tuple[tuple[str, Markup], ...]
    title: str
    text: str = ""
    chips: tuple[Chip, ...] = ()


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Cards in a grid under a legend. `small` lays each card out as a row: thumbnail left, words right. `wide` gives
    each card a row of its own.

    `overlay` names what the images carry in an SVG group of class "overlay", and gives a box to switch it off.
    """

    cards: tuple[Card, ...]
    legend: tuple[Chip, ...] = ()
    overlay: str = ""
    small: bool = False
    wide: bool = False


@dataclasses.dataclass(frozen=True)
class Code:
    """Lines to copy, under a sentence that says what they do."""

    text: str
    code: str


@dataclasses.dataclass(frozen=True)
class Details:
    """Blocks that open on a click, and that are open on paper."""

    summary: str
    blocks: tuple[Block, ...]


Block = Heading | Note | Headlines | Figures | Table | Gallery | Code | Details


@dataclasses.dataclass(frozen=True)
class Section:
    """A titled part of the page. `anchor` is its address within the page; `lead` its first sentence."""

    title: str
    anchor: str
    blocks: tuple[Block, ...]
    lead: str = ""


@dataclasses.dataclass(frozen=True)
class Part:
    """What one matter adds to a report.

    Attributes:
        headlines: for the head of the page.
        sections: in order.
        curves: of the training, beside those that all tasks have.
        metrics: for programs, by names that no other part has; None is left out.
        intervals: 95 % confidence intervals of those of `metrics` that have one.
        shares: those of `metrics` that are shares, which are shown in percent.
        compared: those of `metrics` that are worth a column where runs stand side by side.
        details: further figures for programs: title -> name of an attribute or a class -> figure.
    """

    headlines: tuple[Headline, ...] = ()
    sections: tuple[Section, ...] = ()
    curves: tuple[Figure, ...] = ()
    metrics: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    shares: tuple[str, ...] = ()
    compared: tuple[str, ...] = ()
    details: Mapping[str, Mapping[str, float | None]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Page:
    """The whole report. `byline` is the small print under the title, `badges` say how it ended."""

    title: str
    sections: tuple[Section, ...]
    kicker: str = ""
    lead: str = ""
    byline: tuple[str, ...] = ()
    badges: tuple[Chip, ...] = ()

    def render(self) -> str:
        """The page as one HTML document that needs no other file and no network."""
        anchors = [section.anchor for section in self.sections]
        if len(set(anchors)) != len(anchors):
            raise ValueError(f"Two sections share an anchor: {anchors}. Anchors are addresses within the page.")
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        environment.filters["kind"] = lambda block: type(block).__name__
        return environment.get_template("page.html.jinja").render(page=self)
