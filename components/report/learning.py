"""How the training went: its losses, every task on validation, and what the kinds have of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from components import tasks as task_kinds
from components.page.figures import Line
from components.page.formatting import plural, readable
from components.page.page import Figures, Part, Section
from components.report.collect import RunArtifacts
from components.tasks.reporting import metric_title

_TERM, _VALIDATION = "_loss", "val_"


def learning_section(artifacts: RunArtifacts, parts: Sequence[Part]) -> Section | None:
    """A figure for each thing the history has, and the parts' curves; None without an epoch."""
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
    shown += _validation_charts(history, validation_figures(artifacts))
    shown += [figure for part in parts for figure in part.curves]
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


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """A task's figure after each epoch.

    Attributes:
        values: [E], NaN where an epoch lacks it.
        higher_is_better: False for an error. share: whether it is shown in percent.
    """

    values: np.ndarray
    higher_is_better: bool
    share: bool


def validation_figures(artifacts: RunArtifacts) -> dict[str, Measured]:
    """Every task's figure, by title."""
    found = {}
    for column in artifacts.history.names:
        owners = [task for task in artifacts.tasks if column.startswith(f"{_VALIDATION}{task.name}_")]
        if not owners or column.endswith(_TERM):
            continue
        task = max(owners, key=lambda task: len(task.name))  # a task's name may begin with another's
        metric, kind = column.removeprefix(f"{_VALIDATION}{task.name}_"), task_kinds.kind(task.kind)
        found[metric_title(task.name, metric)] = Measured(
            artifacts.history.column(column), kind.metrics.get(metric, True), kind.shares
        )
    return found


def _loss_figure(history):
    lines = [Line("training", history.column("loss"))]
    validation = history.column("val_loss")
    # Several tasks with data sets of their own have no loss in common, and so none on validation either.
    apart = len(history.stages) > 1 and validation is None
    caption = "What training lowers: all tasks' losses, weighted and added."
    if apart:
        caption = (
            "What training lowers: the losses of the tasks that a stage trains, so that stages of other tasks can't be "
            "compared."
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


def _validation_charts(history, measured):
    """A chart for every task's figure after each epoch; what they have in common stands below the first."""
    caption = (
        "After every epoch, on the validation split of the task's own data set at the working size; the figures at the "
        "head of this page are of the test split."
    )
    if any(name.endswith(" alone") for name, _ in history.stages):
        caption += (
            " While another task is trained alone, it may get worse, since the network forgets what it doesn't "
            "practise; where the tasks take turns, all should get better. As Fig. 7 of the iFAN paper."
        )
    shown = []
    for name, each in measured.items():
        label = f"{readable(name)}{' (%)' if each.share else ''}{'' if each.higher_is_better else ', lower is better'}"
        values = 100 * each.values if each.share else each.values
        shown.append(history.chart(f"Validation: {readable(name)}", [Line(name, values)], label, caption))
        caption = ""
    return shown
