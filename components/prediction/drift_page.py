"""What differs between new images and those that a model was validated on, as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure as Canvas

from components.drift.comparison import SIGNIFICANCE, Drift, shares
from components.page.figures import MUTED, NARROW, SERIES, svg
from components.page.formatting import decimal, format_int, percent, plural
from components.page.page import Cell, Chip, Column, Figure, Figures, Note, Page, Section, Table
from components.prediction.new_images import NewImages

FEW = 30  # new images, below which only large differences are more than chance
_DRAWN = 12  # statistics of a data set
_BINS = 24


def drift_page(model: str, version: str, found: NewImages, drift: Mapping[str, Sequence[Drift]]) -> Page:
    """The whole page; `.render()` gives the HTML.

    Args:
        drift: by data set that the model learnt from.
    """
    compared = [each for of in drift.values() for each in of]
    return Page(
        title=model,
        kicker="facetfx: new images",
        lead="Whether new images look like those that the model was validated on, and are answered alike.",
        byline=(f"version {version}", plural(found.photographs, "photograph")),
        badges=(_badge(found, compared),),
        sections=(
            _result_section(found, compared),
            *(_section(dataset, of) for dataset, of in drift.items()),
        ),
    )


def answered(compared: Sequence[Drift]) -> int:
    """Of how many new images there are answers, whatever is known of their labels."""
    return min((len(each.new) for each in compared if not each.is_of_labels), default=0)


def _badge(found, compared):
    if not found.mostly_answered or any(each.drifted for each in compared):
        return Chip("✗", "Other images", "bad")
    if answered(compared) < FEW:
        return Chip("○", "Too few images to tell", "quiet")
    return Chip("✓", "The same kind of images", "good")


def _result_section(found, compared):
    drifted = [each for each in compared if each.drifted]
    small = [each for each in compared if each.significant and not each.drifted]
    notes = [Note(each.sentence(), "bad") for each in drifted]
    if not found.mostly_answered:
        notes.append(Note(found.unanswered, "bad"))
    if not drifted:
        notes.append(Note("Nothing differs by more than chance and the thresholds of schemas/drift.pbtxt.", "good"))
    if small:
        notes.append(Note(f"By more than chance, within the thresholds: {'; '.join(e.sentence() for e in small)}."))
    notes += [Note(f"{name} is not compared: {reason}.") for name, reason in found.not_compared.items()]
    rows = (("looked at", found.photographs), *found.left_out.most_common())
    table = Table(
        (Column("", number=False), Column("photographs")),
        tuple((Cell(name), Cell(format_int(count), sort=count)) for name, count in rows),
    )
    return Section("Result", "result", (*notes, table))


def _section(dataset, drift):
    columns = (
        Column("", number=False),
        Column("validation", "mean of a number, share of yes; of classes the commonest"),
        Column("new"),
        Column("distance", "Jensen-Shannon divergence of a number, largest difference of shares of categories"),
        Column("threshold", "above which it counts (schemas/drift.pbtxt)"),
        Column("p-value", f"corrected for all comparisons; below {SIGNIFICANCE} it is more than chance"),
    )
    rows = tuple(
        (
            Cell(each.name),
            Cell(_typical(each, each.known)),
            Cell(_typical(each, each.new)),
            Cell(decimal(each.distance), sort=each.distance, tone="bad" if each.drifted else ""),
            Cell(decimal(each.threshold), sort=each.threshold),
            Cell(f"{each.p_value:.2g}", sort=each.p_value),
        )
        for each in drift
    )
    figures = tuple(Figure(_drawing(each), each.name, each.sentence().partition(": ")[2]) for each in drift[:_DRAWN])
    asked = next((each for each in drift if not each.is_of_labels), drift[0])
    known, new = (plural(len(values), "image") for values in (asked.known, asked.new))
    return Section(
        f"Against {dataset}",
        f"against-{dataset}",
        (Figures(figures), Table(columns, rows, sortable=True)),
        f"{new} against {known} of its validation split; the largest distances first.",
    )


def _typical(drift, values):
    if not drift.categories:
        return decimal(float(values.mean()))
    of = shares(values, len(drift.categories))
    if drift.categories == ("no", "yes"):
        return percent(of[1], 1)
    return f"{drift.categories[int(of.argmax())]} {percent(of.max(), 1)}"


def _drawing(drift):
    """Shares of the validation images as outlines, of the new ones filled."""
    canvas = Canvas(figsize=(NARROW, 2.4), layout="constrained")
    axes = canvas.add_subplot()
    if drift.categories:
        places = np.arange(len(drift.categories))
        known, new = (shares(values, len(places)) for values in (drift.known, drift.new))
        axes.set_xticks(places, drift.categories, rotation=0 if len(places) < 6 else 90)
    else:
        edges = np.histogram_bin_edges(np.concatenate([drift.known, drift.new]), _BINS)
        known, new = (np.histogram(values, edges)[0] / len(values) for values in (drift.known, drift.new))
        places = (edges[:-1] + edges[1:]) / 2
    width = 0.8 * (places[1] - places[0])
    axes.bar(places, 100 * new, width, color=SERIES[0], alpha=0.5, label="new")
    axes.bar(places, 100 * known, width, fill=False, edgecolor=MUTED, label="validation")
    axes.set_ylabel("% of images")
    axes.legend(frameon=False, fontsize="small")
    return svg(canvas, f"{drift.name}: shares of the validation images and of new ones")
