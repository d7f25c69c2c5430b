"""What differs between new pictures and those that a model knows, as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure as Canvas

from components.page.figures import MUTED, NARROW, SERIES, svg
from components.page.formatting import decimal, format_int, percent, plural
from components.page.page import Cell, Chip, Column, Figure, Figures, Note, Page, Section, Table
from components.prediction.comparison import CHANCE, Difference, shares
from components.prediction.new_pictures import NewPictures

_SHOWN = 12  # differences that are drawn
_BINS = 24


def comparison_page(
    model: str, version: str, found: NewPictures, differences: Mapping[str, Sequence[Difference]]
) -> Page:
    """The whole page; `.render()` gives the HTML.

    Args:
        differences: by data set that the model learnt from.
    """
    counted = [each for of in differences.values() for each in of if each.counts]
    several = len(differences) > 1
    sections = [_result_section(found, differences)]
    for dataset, of in differences.items():
        title = f"Against {dataset}" if several else "Against the model's own pictures"
        sections.append(_section(title, f"against-{dataset}", of))
    return Page(
        title=model,
        kicker="facetfx: new pictures",
        lead="Whether new pictures look like those that the model was tried on in training, and are answered alike.",
        byline=(f"version {version}", plural(found.looked_at, "picture")),
        badges=(Chip("✗", "Other pictures", "bad") if counted else Chip("✓", "The same kind of pictures", "good"),),
        sections=tuple(sections),
    )


def _result_section(found, differences):
    everything = [each for of in differences.values() for each in of]
    counted = [each for each in everything if each.counts]
    small = [each for each in everything if each.beyond_chance and not each.counts]
    notes = [Note(each.sentence(), "bad") for each in counted]
    if not counted:
        notes.append(Note("Nothing differs by more than the bars of schemas/drift.pbtxt and chance.", "good"))
    if small:
        notes.append(Note(f"Beyond chance but within the bars: {'; '.join(each.sentence() for each in small)}."))
    rows = [
        ("Pictures looked at", found.looked_at),
        ("that could not be read", found.unreadable.total()),
        ("without a face", found.without_face),
        *((f"unreadable: {reason}", count) for reason, count in found.unreadable.most_common()),
    ]
    table = Table(
        (Column("", number=False), Column("pictures")),
        tuple((Cell(name), Cell(format_int(count), sort=count)) for name, count in rows),
    )
    return Section("Result", "result", (*notes, table))


def _section(title, anchor, differences):
    columns = (
        Column("", number=False),
        Column("model's own", "mean of a number, share of yes; of a class its commonest"),
        Column("new"),
        Column("distance", "Jensen-Shannon divergence of numbers, largest difference of shares of words"),
        Column("bar", "from which on it counts (schemas/drift.pbtxt)"),
        Column("chance", f"p-value, corrected for all comparisons; below {CHANCE} it is no chance"),
    )
    rows = tuple(
        (
            Cell(each.name),
            Cell(_middle(each, each.known)),
            Cell(_middle(each, each.new)),
            Cell(decimal(each.distance), sort=each.distance, tone="bad" if each.counts else ""),
            Cell(decimal(each.bar), sort=each.bar),
            Cell(f"{each.chance:.2g}", sort=each.chance),
        )
        for each in differences
    )
    figures = tuple(
        Figure(_drawing(each), each.name, each.sentence().partition(": ")[2]) for each in differences[:_SHOWN]
    )
    return Section(
        title, anchor, (Figures(figures), Table(columns, rows, sortable=True)), "The largest distances first."
    )


def _middle(difference, values):
    if not difference.words:
        return decimal(float(values.mean()))
    of = shares(values, len(difference.words))
    if difference.words == ("no", "yes"):
        return percent(of[1], 1)
    return f"{difference.words[int(of.argmax())]} {percent(of.max(), 1)}"


def _drawing(difference):
    """Shares of the images, the model's own as an outline and the new ones filled."""
    canvas = Canvas(figsize=(NARROW, 2.4), layout="constrained")
    axes = canvas.add_subplot()
    if difference.words:
        places = np.arange(len(difference.words))
        known, new = (shares(values, len(places)) for values in (difference.known, difference.new))
        axes.set_xticks(places, difference.words, rotation=0 if len(places) < 6 else 90)
    else:
        both = np.concatenate([difference.known, difference.new])
        edges = np.histogram_bin_edges(both, _BINS)
        known, new = (np.histogram(values, edges)[0] / len(values) for values in (difference.known, difference.new))
        places = (edges[:-1] + edges[1:]) / 2
    width = 0.8 * (places[1] - places[0] if len(places) > 1 else 1)
    axes.bar(places, 100 * new, width, color=SERIES[0], alpha=0.5, label="new")
    axes.bar(places, 100 * known, width, fill=False, edgecolor=MUTED, label="model's own")
    axes.set_ylabel("% of pictures")
    axes.legend(frameon=False, fontsize="small")
    return svg(canvas, f"{difference.name}: shares of the model's own pictures and of new ones")
