"""How the training went: its losses, every task on validation, and what the kinds have of their own."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from components import tasks as task_kinds
from components.page import figures
from components.page.figures import INK, MUTED, SERIES, STYLE, WIDE, Line, draw_bounds
from components.page.formatting import plural, readable
from components.page.page import Figure, Figures, Section
from components.report.collect import RunArtifacts, report_of
from components.tasks.reporting import History, metric_title

_TERM, _VALIDATION = "_loss", "val_"
_LOG_FROM = 10.0  # largest over smallest: from here on an error's scale is logarithmic, or its end could not be read
_LETTER = 0.072  # inches: width of one of a stage's name


def learning_section(artifacts: RunArtifacts) -> Section | None:
    """A figure for each thing the history has; None without an epoch."""
    history = artifacts.history
    if not history.epochs:
        return None
    shown = [_loss_figure(history)]
    terms = _terms(history)
    if len(terms) > 1:
        caption = "The parts of the validation loss, before they are weighted and added."
        lines = [Line(readable(name), history.column(f"{_VALIDATION}{name}")) for name in terms]
        shown.append(history.chart("What the loss is made of", lines, "loss", caption))
    if (rate := history.column("learning_rate")) is not None:
        shown.append(_learning_rate_figure(history, rate))
    measured, errors = validation_figures(artifacts)
    if measured:
        shown.append(_validation_figure(history, measured, errors))
    for task in artifacts.tasks:
        shown += report_of(task).curves(task, artifacts)
    stages = ", ".join(
        f"{index}\u00a0{readable(name)} ({plural(count, 'epoch')})"
        for index, (name, count) in enumerate(history.stages, start=1)
    )
    lead = f"How the training went, over {plural(len(history.epochs), 'epoch')}."
    if len(history.stages) > 1:
        lead += f" Its stages, with dashed lines between them: {stages}."
    return Section("Learning", "learning", (Figures(tuple(shown)),), lead)


def _terms(history):
    """Names of the parts of the validation loss, without "val_"."""
    names = [name.removeprefix(_VALIDATION) for name in history.names if name.startswith(_VALIDATION)]
    return [name for name in names if name.endswith(_TERM)]


def validation_figures(artifacts: RunArtifacts) -> tuple[dict[str, np.ndarray], set[str]]:
    """Every task's figure after each epoch, [E] by title; and the titles of those that are the better the lower."""
    found, errors = {}, set()
    for column in artifacts.history.names:
        owners = [task for task in artifacts.tasks if column.startswith(f"{_VALIDATION}{task.name}_")]
        if not owners or column.endswith(_TERM):
            continue
        task = max(owners, key=lambda task: len(task.name))  # a task's name may begin with another's
        metric = column.removeprefix(f"{_VALIDATION}{task.name}_")
        title = metric_title(task.name, metric)
        found[title] = artifacts.history.column(column)
        if not task_kinds.kind(task.kind).metrics.get(metric, True):
            errors.add(title)
    return found, errors


def _loss_figure(history):
    lines = [Line("training", history.column("loss"))]
    validation = history.column("val_loss")
    # Several tasks with data sets of their own have no loss in common, and so none on validation either.
    apart = len(history.stages) > 1 and validation is None
    caption = "What training lowers: all tasks' losses, weighted and added."
    if apart:
        caption = (
            "What training lowers. Each stage lowers the losses of its own tasks, so that from one to another they "
            "can't be compared."
        )
    if validation is not None:
        lines.append(Line("validation", validation))
        caption += " A validation loss that rises while the training loss falls is overfitting."
    if any(name.endswith("_weights") for name in history.names):
        caption += " Where weights change as training goes on, the sum is not measured in one unit throughout."
    return history.chart("Total loss", lines, "loss" if apart else "weighted sum of the losses", caption)


def _learning_rate_figure(history, rate):
    # A few steps are read best off their own values; a schedule that changes all the time has too many for ticks.
    levels = bool(len(np.unique(rate)) <= 6 and np.min(rate) > 0)
    y_label = "learning rate (log scale)" if levels else "learning rate"
    return history.chart(
        "Learning rate", [Line("learning rate", rate)], y_label, "The optimizer's, after every epoch.", levels=levels
    )


def _validation_figure(history, measured, errors):
    title = "Validation"
    caption = (
        "After every epoch, each task on its own data set's validation split at the working size; the figures at the "
        "head of this page are of the test split."
    )
    if len(measured) == 1:
        ((name, values),) = measured.items()
        return history.chart(title, [Line(name, 100 * values)], f"{name} (%)", caption)
    if len(history.stages) > 1:
        caption += (
            " While one task is trained alone, the others may get worse, since the network forgets what it doesn't "
            "practise; where the tasks take turns, all should get better. As Fig. 7 of the iFAN paper."
        )
    return Figure(figures.svg(validation_drawing(history, measured, errors), title), title, caption, wide=True)


def validation_drawing(history: History, measured: Mapping[str, np.ndarray], errors: Collection[str] = ()) -> Canvas:
    """A panel a figure over all epochs, the panels below each other, with the stages' bounds drawn and named above.

    A stage that is too short for its name has its number.

    Args:
        measured: by name [E], shares; NaN leaves a gap.
        errors: names of the figures that are the better the lower.
    """
    epochs = len(history.epochs)
    x = np.arange(1, epochs + 1)
    with matplotlib.rc_context(STYLE):
        canvas = Canvas(figsize=(WIDE, 1.0 + 1.45 * len(measured)), layout="constrained", dpi=72)
        panels = canvas.subplots(len(measured), 1, sharex=True, squeeze=False)[:, 0]
        for index, (axes, (name, values)) in enumerate(zip(panels, measured.items(), strict=True)):
            shown = 100 * np.asarray(values, float)
            axes.plot(x, shown, color=SERIES[index % len(SERIES)], marker="o" if epochs <= 40 else None, markersize=3.2)
            known = shown[np.isfinite(shown)]
            words = f"{readable(name)} (%)"
            if name in errors:
                words += ", lower is better"
                if known.size and known.min() > 0 and known.max() / known.min() >= _LOG_FROM:
                    words += ", log scale"
                    _use_log(axes)
            axes.set_title(words, loc="left", fontsize=9, color=INK)
            axes.margins(x=0.01, y=0.09)
            draw_bounds(axes, history.bounds)
        panels[-1].set_xlabel("epochs")
        panels[-1].set_xlim(0.5, epochs + 0.5)
        panels[-1].xaxis.set_major_locator(MaxNLocator(nbins=14, integer=True, min_n_ticks=1))
        if len(history.stages) > 1:
            _name_stages(panels[0], history.stages, WIDE * 0.93 / epochs)
    return canvas


def _use_log(axes):
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _name_stages(axes, stages, inches_an_epoch):
    first = 0.5
    for index, (name, count) in enumerate(stages, start=1):
        lines = textwrap.wrap(f"{index} {readable(name)}", max(int(count * inches_an_epoch / _LETTER), 1))
        fits = len(lines) <= 2 and " ".join(lines) == f"{index} {readable(name)}"
        axes.annotate(
            "\n".join(lines) if fits else str(index), (first + count / 2, 1), (0, 22),
            xycoords=("data", "axes fraction"), textcoords="offset points", ha="center", va="bottom", color=MUTED,
            fontsize=8.5, annotation_clip=False,
        )  # fmt: skip
        first += count
