"""The part of a task that gives each picture one of several classes, such as its emotion or its clothing."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from components.report import class_figures, figures
from components.report.common import bare_percent, known, percent, points, readable, whole
from components.report.data import ClassResults
from components.report.page import Block, Cell, Column, Figure, Figures, Meter, Note, Number, Section, Table
from components.report.run_page import Part


def class_part(results: ClassResults, iterations: Mapping[int, ClassResults] | None = None) -> Part:
    """What a run with such a task shows; `iterations`: the results after each iteration of task interaction, if any."""
    name = results.title
    return Part(
        numbers=_headline_numbers(results),
        sections=(class_section(results, iterations or {}),),
        count=results.count,
        figures={
            f"{name} accuracy": known(results.accuracy),
            f"{name} top-3": known(results.top_3),
            f"{name} top-5": known(results.top_5),
            f"{name}: always the commonest": known(results.commonest_accuracy),
            f"{name} mean recall": known(results.mean_recall),
        },
        details={
            f"{name} recall": {
                each: known(recall) for each, recall in zip(results.classes, results.recall, strict=True)
            }
        },
    )


def _test_pictures(results: ClassResults) -> str:
    of = f"of {readable(results.dataset)}"
    return f"the one test picture {of}" if results.count == 1 else f"the {whole(results.count)} test pictures {of}"


def _headline_numbers(results: ClassResults) -> tuple[Number, ...]:
    title, baseline = results.title.capitalize(), results.commonest_accuracy
    if np.isnan(baseline):
        means = f"is unknown: no test picture of {readable(results.dataset)} has a label."
        return (Number(percent(results.accuracy), f"{title} accuracy", means),)
    gain = results.accuracy - baseline
    side = "above" if gain > 0 else "below"
    occurring = int(np.isfinite(results.recall).sum())
    over = f"all {occurring}" if occurring == len(results.classes) else f"the {occurring} that occur"
    return (
        Number(
            percent(results.accuracy),
            f"{title} accuracy",
            f"of {_test_pictures(results)} are given the {results.title} of their label, one of "
            f"{len(results.classes)}.",
            "good" if gain > 0 else "bad",
        ),
        *_top_numbers(results),
        Number(
            percent(baseline),
            f"Always the commonest {results.title}",
            f"is what “{readable(results.classes[results.commonest])}” for every picture would score, without looking. "
            f"The model is {percent(abs(gain)).replace('%', 'points')} {side} it.",
        ),
        Number(
            percent(results.mean_recall),
            f"{title} mean recall",
            f"is the mean share of a class's pictures that are recognised, over {over}: rare classes count like common "
            f"ones. Always giving the same answer would score {percent(1 / occurring, 1)}.",
        ),
    )


def _top_numbers(results: ClassResults) -> list[Number]:
    """The top-k accuracies that were measured, each beside the share of the k commonest classes."""
    numbers = []
    for count, share in ((3, results.top_3), (5, results.top_5)):
        if known(share) is None:
            continue
        commonest = np.sort(results.pictures)[-count:].sum() / results.pictures.sum()
        means = (
            f"have the {results.title} of their label among the {count} likeliest. Always the {count} commonest would "
            f"score {percent(commonest)}."
        )
        side = "good" if share > commonest else "bad"
        numbers.append(Number(percent(share), f"{results.title.capitalize()} top-{count} accuracy", means, side))
    return numbers


def class_section(results: ClassResults, iterations: Mapping[int, ClassResults]) -> Section:
    """What pictures of each class are taken for, and each class's figures."""
    title = results.title.capitalize()
    lead = f"Each picture is given one of {len(results.classes)} classes. Counted on {_test_pictures(results)}."
    anchor = re.sub(r"\W+", "-", results.title.lower()).strip("-") or "class"
    blocks: list[Block] = [Figures(_confusion_figures(results, iterations)), _class_table(results)]
    never = [readable(results.classes[i]) for i in np.flatnonzero((_said(results) == 0) & (results.pictures > 0))]
    if never:
        blocks.append(Note(f"Never said of a picture: {', '.join(never)}.", "bad"))
    return Section(title, anchor, tuple(blocks), lead)


def _confusion_figures(results: ClassResults, iterations: Mapping[int, ClassResults]) -> tuple[Figure, ...]:
    """The matrix; before it, where tasks interact, that of the iteration in which they have not yet."""
    title = f"What each {results.title} is taken for"
    caption = (
        "A row has the pictures of one label, in brackets how many they are; its numbers are shares of them in percent "
        "and add up to 100. Framed: what is right."
    )
    wide = len(results.classes) > class_figures.NARROW_UP_TO
    if len(iterations) < 2:
        return (Figure(_confusion_markup(results, title), title, caption, wide=wide), _recall_figure(results))
    first, last = min(iterations), max(iterations)
    before, after = (f"{title}, iteration {iteration}" for iteration in (first, last))
    return (
        Figure(
            _confusion_markup(iterations[first], before),
            before,
            f"{caption} Here no prediction has been fed back: the accuracy is {percent(iterations[first].accuracy)}.",
            wide=wide,
        ),
        Figure(
            _confusion_markup(iterations[last], after),
            after,
            f"Read like the other. Predictions have been fed back {_times(last)}: the accuracy is "
            f"{percent(iterations[last].accuracy)}, {points(iterations[last].accuracy - iterations[first].accuracy)} "
            "points. The two together are as Fig. 6 of the iFAN paper.",
            wide=wide,
        ),
    )


def _recall_figure(results: ClassResults) -> Figure:
    title = f"How much of each {results.title} is recognised"
    order = np.argsort(-results.pictures, kind="stable")
    names = [readable(results.classes[index]) for index in order]
    markup = figures.bar_chart(title, names, 100 * np.asarray(results.recall)[order], "recall (%)", upper=108)
    caption = "The share of a class's pictures that are given it. The class with the most pictures comes first."
    return Figure(markup, title, caption, wide=len(names) > class_figures.NUMBERS_SHOWN)


def _times(count: int) -> str:
    return "once" if count == 1 else "twice" if count == 2 else f"{count} times"


def _confusion_markup(results: ClassResults, title: str):
    return figures.svg(class_figures.confusion_drawing(results.confusion, results.classes), title)


def _said(results: ClassResults) -> np.ndarray:
    """[C] number of the pictures that are said to be of each class."""
    return results.confusion.sum(axis=0)


def _class_table(results: ClassResults) -> Table:
    total = max(int(results.confusion.sum()), 1)
    longest = max(*results.pictures, *_said(results), 1) / total
    columns = (
        Column(results.title.capitalize(), number=False),
        Column("Pictures", "test pictures with this label."),
        Column("Recall, %", "share of them that are recognised; – means there are none."),
        Column("F1, %", "harmonic mean of recall and of how often the answer is right where it is given."),
        Column("Labelled, %", "share of the test pictures that have this label."),
        Column("Said, %", "share of them that are said to be of this class; the tick is how many are."),
        Column("Most often taken for", "the other class that most of its pictures go to, and their share."),
    )
    rows = tuple(
        (
            Cell(readable(name)),
            Cell(whole(int(pictures)), float(pictures)),
            _share_cell(recall),
            _share_cell(f1),
            Cell(bare_percent(pictures / total, 1), pictures / total),
            Cell(bare_percent(said / total, 1), said / total, Meter(said / total, tick=pictures / total, high=longest)),
            _mistake_cell(results, index),
        )
        for index, (name, pictures, recall, f1, said) in enumerate(
            zip(results.classes, results.pictures, results.recall, results.f1, _said(results), strict=True)
        )
    )
    f1 = results.f1[np.isfinite(results.f1)]
    footer = (
        Cell("Mean"),
        Cell(whole(int(results.confusion.sum()))),
        Cell(bare_percent(results.mean_recall)),
        Cell(bare_percent(float(f1.mean()) if f1.size else None)),
        Cell(""),
        Cell(""),
        Cell(""),
    )
    return Table(columns, rows, footer=(footer,), sortable=True)


def _share_cell(share: float) -> Cell:
    return Cell(bare_percent(share), float(share), None if np.isnan(share) else Meter(float(share)))


def _mistake_cell(results: ClassResults, index: int) -> Cell:
    others = np.array(results.confusion[index], float)
    others[index] = 0
    if not others.any():
        return Cell("–", float("nan"))
    other, share = int(np.argmax(others)), float(others.max() / results.confusion[index].sum())
    return Cell(f"{readable(results.classes[other])} {percent(share, 1)}", share)
