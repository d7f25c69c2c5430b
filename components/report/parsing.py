"""The part of face parsing: pictures with their label maps, figures by class, confusions, and edges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.report import figures, parsing_figures
from components.report.common import bare_percent, known, percent, readable, whole
from components.report.data import EdgeMaps, ParsingPicture, ParsingPictures, ParsingResults
from components.report.page import (
    Block,
    Card,
    Cell,
    Chip,
    Column,
    Figure,
    Figures,
    Gallery,
    Heading,
    Meter,
    Note,
    Number,
    Section,
    Table,
)
from components.report.run_page import Part

_PICTURES_SHOWN = 8
_EDGE_PICTURES_SHOWN = 4
_CONFUSIONS_SHOWN = 10


def parsing_part(
    results: ParsingResults | None = None, pictures: ParsingPictures | None = None, edges: EdgeMaps | None = None
) -> Part:
    """What a run with face parsing shows. What is None is left out."""
    sections = []
    if pictures is not None and pictures.pictures:
        sections.append(pictures_section(pictures))
    if results is not None:
        sections.append(classes_section(results))
    if edges is not None:
        sections.append(edges_section(edges))
    if results is None:
        return Part(sections=tuple(sections))
    return Part(
        numbers=_headline_numbers(results),
        sections=tuple(sections),
        count=results.count,
        figures={
            # The attributes have a mean F1 too, which is another thing.
            "parsing mean F1": results.mean_f1,
            "mean IoU": results.mean_iou,
            "pixel accuracy": results.pixel_accuracy,
            "overall F1": results.overall_f1,
            **({"mouth-all F1": known(results.part_f1["mouth"])} if "mouth" in results.part_f1 else {}),
        },
        details={"f1": {name: known(f1) for name, f1 in zip(results.classes, results.f1, strict=True)}},
    )


def _headline_numbers(results: ParsingResults) -> tuple[Number, ...]:
    """Published tables mix class sets, resolutions and averages: each figure says its own."""
    class_set = f"the {len(results.classes)} classes of {results.dataset}"
    counted = f"over all pixels of {_test_pictures(results)} at their own size"
    numbers = [
        Number(
            percent(results.mean_f1),
            "Mean F1 without background",
            f"is the mean of {_occurring(results.f1[1:])} ({class_set}, background left out). The F1 of a class is "
            f"counted once, {counted}.",
        ),
        Number(
            percent(results.mean_iou),
            "Mean IoU with background",
            f"is the mean of {_occurring(results.iou)} ({class_set}, background among them). The IoU of a class is "
            "what is its own both by label and by prediction, as a share of what is by either; counted once, "
            f"{counted}.",
        ),
        Number(
            percent(results.pixel_accuracy),
            "Pixel accuracy",
            f"is the share of pixels with the right one of {class_set}, background among them, {counted}. Large "
            "classes decide it.",
        ),
    ]
    if results.overall_f1 is not None:
        parts = ", ".join(
            f"{name} ({', '.join(map(readable, classes))})" if len(classes) > 1 else name
            for name, classes in results.merged_parts.items()
        )
        means = (
            f"is one F1 of these parts together, as published for Helen: {parts}. A part's classes count as one; the "
            f"others of {class_set} don't count. Counted {counted}."
        )
        numbers.append(Number(percent(results.overall_f1), "Overall F1 of merged parts", means))
    return tuple(numbers)


def _test_pictures(results: ParsingResults) -> str:
    return "one test picture" if results.count == 1 else f"the {whole(results.count)} test pictures"


def _occurring(by_class: np.ndarray) -> str:
    """How many classes a mean of figures by class is over."""
    count = int(np.isfinite(by_class).sum())
    return f"{count} classes" if count == len(by_class) else f"the {count} classes that occur"


def pictures_section(pictures: ParsingPictures) -> Section:
    """Pictures with their label maps and errors, the worst first."""
    shown = telling(pictures.pictures)
    annotated = any(picture.truth is not None for picture in shown)
    legend = [class_chip(pictures.classes, index) for index in range(len(pictures.classes))]
    if annotated:
        legend += [
            Chip("", "wrong", colour=parsing_figures.css(parsing_figures.WRONG)),
            Chip("", "not labelled", colour=parsing_figures.hatch_css()),
        ]
    lead = "What the served model says of pictures it never saw in training."
    if len(shown) < len(pictures.pictures):
        worst = _worst_of(len(shown))
        lead += (
            f" Of the first {len(pictures.pictures)} test pictures: the {worst} that it parses worst, and "
            f"{len(shown) - worst} of the others from bad to good."
        )
    elif annotated:
        lead += " The worst come first."
    if annotated:
        lead += " A mean F1 here is that of one picture's classes, background left out."
    gallery = Gallery(tuple(_card(pictures.classes, each) for each in shown), tuple(legend), wide=True)
    return Section("Parsed pictures", "parsed-pictures", (gallery,), lead)


def telling(pictures: Sequence[ParsingPicture], count: int = _PICTURES_SHOWN) -> list[ParsingPicture]:
    """`count` of the pictures, by their mean F1 from the worst on: the worst half as they come, then evenly spread.

    Pictures that have none come last.
    """
    mean_f1 = [np.nan if picture.mean_f1 is None else picture.mean_f1 for picture in pictures]
    order = np.argsort(mean_f1, kind="stable")
    if len(order) <= count:
        return [pictures[index] for index in order]
    worst = _worst_of(count)
    spread = np.linspace(worst, len(order) - 1, count - worst).round().astype(int)
    return [pictures[index] for index in (*order[:worst], *order[spread])]


def _worst_of(count: int) -> int:
    return count // 2


def class_chip(classes: Sequence[str], index: int, figure: str = "") -> Chip:
    """A class's name, with its colour and maybe a figure."""
    text = f"{readable(classes[index])} {figure}".strip()
    return Chip("", text, colour=parsing_figures.css(parsing_figures.PALETTE[index]))


def _card(classes: Sequence[str], picture: ParsingPicture) -> Card:
    description = f"Image {picture.id}"
    panes = [
        ("picture", figures.image_uri(parsing_figures.shown_image(picture.image))),
        ("predicted", _labels_uri(picture.predicted)),
    ]
    if picture.truth is None:
        return Card(figures.strip(panes, description), picture.id, "not labelled")
    errors = parsing_figures.error_map(picture.image, picture.predicted, picture.truth)
    panes += [
        ("truth", _labels_uri(picture.truth)),
        ("errors", figures.image_uri(parsing_figures.shown_image(errors))),
    ]
    text = f"mean F1 {percent(picture.mean_f1, 1)}, {percent(picture.pixel_accuracy, 1)} of the pixels right"
    occurring = [index for index in np.argsort(picture.f1, kind="stable") if index and np.isfinite(picture.f1[index])]
    chips = tuple(class_chip(classes, index, percent(picture.f1[index], 0)) for index in occurring)
    return Card(figures.strip(panes, description), picture.id, text, chips)


def _labels_uri(labels: np.ndarray) -> str:
    return figures.drawn_uri(parsing_figures.label_colours(parsing_figures.shown_labels(labels)))


def classes_section(results: ParsingResults) -> Section:
    """Every class's figures, and what the classes are taken for."""
    blocks: list[Block] = [Figures((_class_figure(results),)), _class_table(results)]
    if results.part_f1:
        heading = Heading("Parts", "As published for Helen: within a part, one class taken for another is no error.")
        blocks += [heading, _part_table(results)]
    blocks += _confusion_blocks(results)
    lead = f"Counted over all pixels of {_test_pictures(results)} at their own size."
    return Section("Classes", "classes", tuple(blocks), lead)


def _class_figure(results: ParsingResults) -> Figure:
    order = np.argsort(-results.shares, kind="stable")
    title = "F1 of each class"
    markup = figures.bar_chart(
        title,
        [f"{readable(results.classes[index])}, {percent(results.shares[index], _digits(results, index))}"
         for index in order],
        100 * np.asarray(results.f1)[order],
        "F1, IoU (%)",
        upper=106,
        marks=100 * np.asarray(results.iou)[order],
        legend=("F1", "IoU"),
    )  # fmt: skip
    caption = (
        "After a class's name its share of the pixels, by which they are ordered: a rare class has few pixels to learn "
        "from, and one wrong pixel costs it more. IoU is never above F1."
    )
    return Figure(markup, title, caption, wide=True)


def _digits(results: ParsingResults, index: int) -> int:
    """Of a class's share of the pixels: those of a rare one are not rounded to 0."""
    return 1 if results.shares[index] >= 0.01 else 2


def _class_table(results: ParsingResults) -> Table:
    said = results.confusion.sum(axis=0) / max(results.confusion.sum(), 1)
    columns = (
        Column("Class", number=False),
        Column("F1, %", "harmonic mean of precision and recall of its pixels; – means it does not occur. The mean at "
               "the foot leaves background out."),
        Column("IoU, %", "pixels that are its own by label and by prediction, as a share of those that are by either. "
               "The mean has background in it."),
        Column("Pixels, %", "share of the labelled pixels that belong to it."),
        Column("Predicted, %", "share of them that are predicted to."),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(readable(name)),
            _share_cell(f1),
            _share_cell(iou),
            Cell(bare_percent(share), float(share)),
            Cell(bare_percent(share_said), float(share_said)),
        )
        for name, f1, iou, share, share_said in zip(
            results.classes, results.f1, results.iou, results.shares, said, strict=True
        )
    )
    means = (
        Cell("Mean"),
        Cell(bare_percent(results.mean_f1)),
        Cell(bare_percent(results.mean_iou)),
        Cell(""),
        Cell(""),
    )
    return Table(columns, rows, footer=(means,), sortable=True)


def _part_table(results: ParsingResults) -> Table:
    columns = (
        Column("Part", number=False),
        Column("Its classes", number=False),
        Column("F1, %", "of its classes' pixels taken together. The overall F1 at the foot is over all parts' pixels."),
    )
    rows = tuple(
        (Cell(readable(part)), Cell(", ".join(map(readable, results.merged_parts[part]))), _share_cell(f1))
        for part, f1 in results.part_f1.items()
    )
    overall = (Cell("Overall"), Cell(""), Cell(bare_percent(results.overall_f1)))
    return Table(columns, rows, footer=() if results.overall_f1 is None else (overall,))


def _share_cell(share: float) -> Cell:
    return Cell(bare_percent(share), float(share), None if np.isnan(share) else Meter(float(share)))


def _confusion_blocks(results: ParsingResults) -> list[Block]:
    pairs = costliest(results.confusion)
    if not pairs:
        return [Note("No pixel is taken for another class's.", "good")]
    wrong = results.confusion.sum() - np.trace(results.confusion)
    columns = (
        Column("Class", number=False),
        Column("Taken for", number=False),
        Column("Of its pixels, %", "share of the class's pixels that are taken for the other."),
        Column("Of all wrong pixels, %", "how much of all that is wrong this is."),
    )
    rows = []
    for truth, taken_for in pairs:
        count = results.confusion[truth, taken_for]
        share = count / results.confusion[truth].sum()
        rows.append(
            (
                Cell(readable(results.classes[truth])),
                Cell(readable(results.classes[taken_for])),
                Cell(bare_percent(share), float(share), Meter(float(share), tone="bad")),
                Cell(bare_percent(count / wrong), float(count / wrong)),
            )
        )
    heading = Heading("The confusions that cost most", "By the share of a class's pixels that goes to the other class.")
    return [heading, Table(columns, tuple(rows), sortable=True)]


def costliest(confusion: np.ndarray, limit: int = _CONFUSIONS_SHOWN) -> list[tuple[int, int]]:
    """(class, other class) of a [C, C] confusion: the pairs that cost the class the largest share of its pixels first.

    Pairs that never happen are left out.
    """
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(shares, 0)
    order = np.argsort(-shares, axis=None, kind="stable")[:limit]
    pairs = np.stack(np.unravel_index(order, shares.shape), axis=1).tolist()
    return [(truth, other) for truth, other in pairs if shares[truth, other] > 0]


def edges_section(edges: EdgeMaps) -> Section:
    """Edges as labelled and as predicted, over a few validation pictures."""
    legend = tuple(class_chip(edges.classes, index) for index in range(1, len(edges.classes)))
    cards = tuple(_edge_card(edges, index) for index in range(min(len(edges.images), _EDGE_PICTURES_SHOWN)))
    height, width = edges.images.shape[1:3]
    lead = (
        "The network also learns where classes meet: any edge, the brighter the surer it is, and whose edge it is. "
        "That is help in training only: the served model has neither. Pictures of the validation split, at the working "
        f"size of {height} × {width} pixels."
    )
    return Section("Edges", "edges", (Gallery(cards, legend, wide=True),), lead)


def _edge_card(edges: EdgeMaps, index: int) -> Card:
    title = f"Validation picture {index + 1}"
    panes = (
        ("picture", figures.image_uri(parsing_figures.shown_image(edges.images[index]))),
        ("true edges", figures.image_uri(parsing_figures.edge_shades(edges.true_binary[index]))),
        ("predicted edges", figures.image_uri(parsing_figures.edge_shades(edges.binary[index]))),
        ("whose they are, truth", figures.drawn_uri(parsing_figures.edge_colours(edges.true_category[index]))),
        ("whose they are, predicted", figures.drawn_uri(parsing_figures.edge_colours(edges.category[index]))),
    )
    return Card(figures.strip(panes, title), title)
