"""The part of several tasks in one network: what each says of a picture, and how they fare together (iFAN)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.report import figures, parsing_figures, task_figures
from components.report.common import bare_percent, known, percent, points, readable
from components.report.data import IterationRow, StageHistory, TaskPicture, TaskPictures
from components.report.figures import Line
from components.report.page import Block, Card, Cell, Chip, Column, Figure, Figures, Gallery, Heading, Section, Table
from components.report.parsing import class_chip
from components.report.run_page import Part

ERRORS = ("landmark NME", "landmark failure rate")  # figures that are the better the lower
_PIXELS = 360  # of a face's longer side
_FEW_POINTS = 20  # up to so many landmarks have large marks


def tasks_part(
    pictures: TaskPictures | None = None,
    iterations: Sequence[IterationRow] = (),
    stages: StageHistory | None = None,
    count: int = 0,
) -> Part:
    """What a run of several tasks shows of them together. What is None or empty is left out.

    `count`: test pictures of all tasks' data sets.
    """
    sections = []
    if pictures is not None and pictures.pictures:
        sections.append(pictures_section(pictures))
    if len(iterations) > 1:
        sections.append(iterations_section(iterations))
    if stages is not None and stages.figures:
        sections.append(stages_section(stages))
    return Part(
        sections=tuple(sections),
        count=count,
        details={
            f"iteration {row.iteration}": {name: known(value) for name, value in row.figures.items()}
            for row in iterations
        },
    )


def pictures_section(pictures: TaskPictures) -> Section:
    """A few pictures of each data set with everything that is said of them, as iFAN's Fig. 3."""
    shown = pictures.pictures
    legend, overlay = _legend(pictures)
    blocks: list[Block] = [Gallery((), legend, overlay)] if legend or overlay else []
    datasets = list(dict.fromkeys(picture.dataset for picture in shown))
    for dataset in datasets:
        of_dataset = [picture for picture in shown if picture.dataset == dataset]
        heading = Heading(readable(dataset), f"Its labels: {_annotated(of_dataset, pictures.title)}.")
        blocks += [heading, Gallery(tuple(_card(each) for each in of_dataset))]
    lead = "What the served model says of pictures it never saw in training."
    if len(datasets) > 1:
        lead += (
            " Every task answers for every picture, whatever its data set is annotated with; where there is a label, "
            "it is shown too. As Fig. 3 of the iFAN paper."
        )
    return Section("Pictures", "pictures", tuple(blocks), lead)


def _legend(pictures: TaskPictures) -> tuple[tuple[Chip, ...], str]:
    """The chips, and what the switch of the landmarks says."""
    shown = pictures.pictures
    chips = []
    maps = [labels for each in shown for labels in (each.parsing, each.true_parsing) if labels is not None]
    if maps:
        chips += [class_chip(pictures.classes, index) for index in range(len(pictures.classes))]
    if any((labels == parsing_figures.IGNORED).any() for labels in maps):
        chips.append(Chip("", "no class", colour=parsing_figures.hatch_css()))
    judged = [_is_right(each) for each in shown if each.class_name is not None]
    for right, chip in (
        (True, Chip("✓", "said, and so labelled", "good")),
        (False, Chip("✗", "said, but labelled otherwise", "bad")),
        (None, Chip("?", "said; no label to hold against it")),
    ):
        if right in judged:
            chips.append(chip)
    marks = ["● predicted" if any(each.landmarks is not None for each in shown) else ""]
    marks.append("✕ by the label" if any(each.true_landmarks is not None for each in shown) else "")
    return tuple(chips), f"landmarks: {', '.join(filter(None, marks))}" if any(marks) else ""


def _annotated(pictures: Sequence[TaskPicture], title: str) -> str:
    labels = {
        "landmarks": any(each.true_landmarks is not None for each in pictures),
        "parsing": any(each.true_parsing is not None for each in pictures),
        title: any(each.true_class_name is not None for each in pictures),
    }
    return ", ".join(name for name, there in labels.items() if there) or "none of these"


def _is_right(picture: TaskPicture) -> bool | None:
    """None without a label."""
    return None if picture.true_class_name is None else picture.class_name == picture.true_class_name


def _card(picture: TaskPicture) -> Card:
    description = f"Image {picture.id}"
    points = [each for each in (picture.landmarks, picture.true_landmarks) if each is not None]
    size = 1.9 if points and len(points[0]) <= _FEW_POINTS else 1.0
    face = figures.picture(picture.image, description, picture.landmarks, picture.true_landmarks, _PIXELS, size)
    panes = [("landmarks" if points else "picture", face)]
    for name, labels in (("parsing", picture.parsing), ("parsing by the label", picture.true_parsing)):
        if labels is not None:
            overlay = parsing_figures.overlay(picture.image, labels)
            panes.append((name, figures.picture(overlay, f"{description}, {name}", longest=_PIXELS)))
    return Card(figures.stack(panes), picture.id, chips=_class_chips(picture))


def _class_chips(picture: TaskPicture) -> tuple[Chip, ...]:
    if picture.class_name is None:
        return ()
    sure = "" if picture.class_probability is None else f" {percent(picture.class_probability, 0)}"
    said = f"{readable(picture.class_name)}{sure}"
    right = _is_right(picture)
    if right is None:
        return (Chip("?", said),)
    if right:
        return (Chip("✓", said, "good"),)
    return (Chip("✗", f"{said}, labelled {readable(picture.true_class_name)}", "bad"),)


def iterations_section(iterations: Sequence[IterationRow]) -> Section:
    """Every task's figures by iteration, as iFAN's Table 4."""
    names = list(dict.fromkeys(name for row in iterations for name in row.figures))
    first, last = iterations[0].iteration, iterations[-1].iteration
    lead = (
        f"The tasks' predictions are fed back into the network: an iteration hears those of the one before. Iteration "
        f"{first} has heard of none yet, and the same weights answer each time. Figures of the test pictures."
    )
    title = "What feedback gains"
    gains = [
        Line(readable(name), 100 * np.array([_gain(name, row, iterations[0]) for row in iterations])) for name in names
    ]
    markup = figures.line_chart(
        title, np.array([row.iteration for row in iterations]), gains, "iteration", "better by (points)",
        size=(figures.WIDE, 3.0),
    )  # fmt: skip
    caption = (
        f"How much better each figure is than at iteration {first}, in percentage points: above 0 feedback helps, "
        f"below it harms. Errors are turned round, so that up is better for all. Up to iteration {last}."
    )
    figure = Figures((Figure(markup, title, caption, wide=True),))
    return Section("Iterations", "iterations", (_iteration_table(iterations, names), figure), lead)


def _gain(name: str, row: IterationRow, first: IterationRow) -> float:
    """How much better a figure of `row` is than the first row's, as a share; NaN if one is not known."""
    difference = row.figures.get(name, np.nan) - first.figures.get(name, np.nan)
    return -difference if name in ERRORS else difference


def _iteration_table(iterations: Sequence[IterationRow], names: Sequence[str]) -> Table:
    first, *others = iterations
    columns = [Column("Figure", number=False), Column(f"Iteration {first.iteration}, %")]
    for index, row in enumerate(others):
        meaning = f"against iteration {first.iteration}; orange where the figure is worse than there."
        columns += [
            Column(f"Iteration {row.iteration}, %"),
            Column("Change, points", "" if index else meaning),
        ]
    rows = []
    for name in names:
        lower = ", lower is better" if name in ERRORS else ""
        cells = [Cell(f"{readable(name)}{lower}"), Cell(bare_percent(first.figures.get(name)))]
        for row in others:
            value = row.figures.get(name)
            change = np.nan if value is None else value - first.figures.get(name, np.nan)
            tone = "bad" if _gain(name, row, first) < 0 else "quiet"
            cells += [Cell(bare_percent(value)), Cell(points(change), tone=tone)]
        rows.append(tuple(cells))
    return Table(tuple(columns), tuple(rows))


def stages_section(stages: StageHistory) -> Section:
    """Every task's figure through the stages of training, as iFAN's Fig. 7."""
    names = [
        f"{index}\u00a0{readable(name)} ({count} epoch{'s' * (count != 1)})"
        for index, (name, count) in enumerate(stages.stages, start=1)
    ]
    title = "Every task through the training"
    drawing = task_figures.stage_drawing(stages.figures, stages.stages, ERRORS)
    lead = "Each task's figure on its own data set's validation split, after every epoch."
    caption = "All panels share the epochs."
    if len(names) > 1:
        lead += f" The stages: {', '.join(names)}."
        caption += (
            " The dashed lines are where a stage ends. While one task is trained alone, the others may get worse, "
            "since the network forgets what it doesn't practise; where the tasks take turns, all should get better."
        )
    caption += " As Fig. 7 of the iFAN paper."
    figure = Figure(figures.svg(drawing, title), title, caption, wide=True)
    return Section("Stages", "stages", (Figures((figure,)),), lead)
