"""The report's part of scores: whether they mean what they say, and what other thresholds would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from components.page.figures import MUTED, NARROW, SERIES, STYLE, svg
from components.page.formatting import percent, readable
from components.page.page import Column, Figure, Figures, Section
from components.tasks.annotation import BoundTask
from components.tasks.reporting import capitalized
from components.tasks.scores import precision_and_recall, reliability

AVERAGE_PRECISION = Column(
    "Average precision", "area under precision over recall, at a hundred thresholds; 1 is perfect, chance is Labelled."
)
_FEWEST = 10  # answers of a bin that is drawn: the share of fewer says little
_SIZE = (NARROW, 3.2)


def scores_section(task: BoundTask, values: Mapping[str, float | np.ndarray], unit: str) -> tuple[Section, ...]:
    """A section; none if no image is annotated.

    Args:
        values: of the task, what `components.tasks.scores.summarize_scores` gave among them.
        unit: what a name of the task is called, such as "label" or "class".
    """
    counts = values["histogram"]
    if not counts.any():
        return ()
    title = capitalized(task.name)
    error = percent(values["mean_calibration_error"])
    calibration = Figure(
        svg(_reliability_drawing(counts), f"{title}: calibration"),
        "Do scores mean what they say?",
        f"All answers by their score. On the line, of the answers with 80 % eight in ten are right; below it the model "
        f"claims too much. Taken {unit} by {unit}, scores are {error} off on average (expected calibration error, "
        "to half a point).",
    )
    shown = _chosen(values["average_precision"])
    curves = Figure(
        svg(_precision_recall_drawing(counts, task.names, shown), f"{title}: precision and recall"),
        "What would other thresholds give?",
        f"Precision over recall at a hundred thresholds: of all answers together, and of the {unit} of highest, middle "
        "and lowest average precision.",
    )
    figures = (calibration, curves) if shown else (calibration,)
    return (Section(f"{title}: scores", f"{task.name}-scores", (Figures(figures),)),)


def _chosen(precisions: np.ndarray) -> list[int]:
    """Indices of the highest, the middle and the lowest one; fewer if there are fewer."""
    order = [index for index in np.argsort(-precisions, kind="stable").tolist() if np.isfinite(precisions[index])]
    return list(dict.fromkeys(order[place] for place in (0, len(order) // 2, -1))) if order else []


def _reliability_drawing(counts: np.ndarray) -> Canvas:
    """The share of yes over the mean score, of all names together."""
    answers, expected, found = reliability(counts.sum(axis=1, keepdims=True))
    drawn = answers[0] >= _FEWEST
    with matplotlib.rc_context(STYLE):
        canvas, axes = _square("score", "share that has it")
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.plot(expected[0, drawn], found[0, drawn], color=SERIES[0], marker="o", markersize=4)
    return canvas


def _precision_recall_drawing(counts: np.ndarray, names: Sequence[str], shown: Sequence[int]) -> Canvas:
    """Precision over recall, pooled and of the names `shown`."""
    lines = {"all together": counts.sum(axis=1, keepdims=True)}
    lines |= {readable(names[index]): counts[:, index : index + 1] for index in shown}
    with matplotlib.rc_context(STYLE):
        canvas, axes = _square("recall", "precision")
        for colour, (name, of_name) in zip(SERIES, lines.items(), strict=False):
            precision, recall = precision_and_recall(of_name)
            axes.plot(recall[0], precision[0], color=colour, label=name)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, labelcolor="linecolor")
    return canvas


def _square(x_label: str, y_label: str) -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=_SIZE, layout="constrained", dpi=72)
    axes = canvas.add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=x_label, ylabel=y_label)
    return canvas, axes
