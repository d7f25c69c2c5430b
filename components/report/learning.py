"""How the training went: losses, the learning rate, the curves of the DMM-CNN paper (Figs. 5-7), F1 of face parsing."""

from __future__ import annotations

import numpy as np

from components.report import figures
from components.report.common import readable
from components.report.data import History
from components.report.figures import Line
from components.report.page import Figure, Figures, Section
from components.report.task_figures import stage_bounds

_REPRESENTATIVE = ("Mouth_Slightly_Open", "Young")  # the paper's choice: one objective, one subjective attribute
_THRESHOLDS_SHOWN = 10  # as many as in Fig. 7
_RARE_SHOWN = 4  # parsed classes; with the commonest, as many as there are colours


def learning_section(history: History) -> Section:
    """A figure for each thing the history has; weights and thresholds that never moved leave none."""
    shown = [_loss_figure(history)]
    if history.attribute_losses is not None:
        shown.append(_attribute_loss_figure(history))
    if _moved(history.weights):
        shown.append(_weight_figure(history))
    if history.terms:
        shown.append(_terms_figure(history))
    if history.mean_f1 is not None:
        shown.append(_mean_f1_figure(history))
    if history.class_f1 is not None and history.class_pixels is not None and len(common_and_rare(history)) > 1:
        shown.append(_class_f1_figure(history))
    if history.learning_rate is not None:
        shown.append(_learning_rate_figure(history))
    if _moved(history.thresholds):
        shown.append(_threshold_figure(history))
    return Section("Learning", "learning", (Figures(tuple(shown)),), f"How the training went, over {_epochs(history)}.")


def _moved(values: np.ndarray | None) -> bool:
    """Whether [E, N] numbers have left the one that all attributes begin with."""
    return values is not None and np.ptp(values) > 0


def _epochs(history: History) -> str:
    return f"{len(history.loss)} epoch{'s' * (len(history.loss) != 1)}"


def _axis(history: History) -> tuple[np.ndarray, str]:
    if history.iterations is not None:
        return history.iterations, "iterations (batches)"
    return np.arange(1, len(history.loss) + 1), "epochs"


def _chart(history: History, title: str, lines: list[Line], y_label: str, caption: str, **options) -> Figure:
    x, x_label = _axis(history)
    bounds = stage_bounds(history.stages)
    if history.iterations is not None:
        bounds = [history.iterations[int(bound) - 1] for bound in bounds]
    return Figure(figures.line_chart(title, x, lines, x_label, y_label, bounds=bounds, **options), title, caption)


def representative(history: History) -> list[int]:
    """Indices of the paper's two attributes where the data set has them, else of the first and the last."""
    found = [history.names.index(name) for name in _REPRESENTATIVE if name in history.names]
    return found or sorted({0, len(history.names) - 1})


def _loss_figure(history: History) -> Figure:
    lines = [Line("training", history.loss)]
    # Several tasks with data sets of their own have no loss in common, and so none on validation either.
    apart = len(history.stages) > 1 and history.val_loss is None
    caption = "What training lowers: all tasks' losses, weighted and added."
    if apart:
        caption = (
            "What training lowers. Each stage lowers the losses of its own tasks, so that from one to another they "
            "can't be compared."
        )
    if len(history.stages) > 1:
        caption += " The dashed lines are where a stage ends."
    if history.val_loss is not None:
        lines.append(Line("validation", history.val_loss))
        caption += " A validation loss that rises while the training loss falls is overfitting."
    if _moved(history.weights):
        caption += " The weights change as training goes on, so that the sum is not measured in one unit throughout."
    if history.ensemble_mean_f1 is not None:
        caption += (
            " In the cycles of self-regulation the training loss is another one, since a teacher's answers take the "
            "place of labels."
        )
    y_label = "loss" if apart else "weighted sum of the losses"
    return _chart(history, "Total loss", lines, y_label, caption)


def _attribute_loss_figure(history: History) -> Figure:
    lines = [Line("mean", np.mean(history.attribute_losses, axis=1))]
    lines += [Line(readable(history.names[i]), history.attribute_losses[:, i]) for i in representative(history)]
    caption = (
        f"Mean over {len(history.names)} {history.kind}, and {' and '.join(line.name for line in lines[1:])}. "
        f"Without the {history.kind}' weights, so that epochs can be compared. As Fig. 5 of the DMM-CNN paper."
    )
    return _chart(history, f"Validation loss of the {history.kind}", lines, history.loss_name, caption)


def _weight_figure(history: History) -> Figure:
    lines = [Line(readable(history.names[i]), history.weights[:, i]) for i in representative(history)]
    caption = (
        "How much an attribute counts in the training loss: the relative change of its validation loss, so that what "
        "still changes counts more. As Fig. 6 of the DMM-CNN paper, where they are unsteady too."
    )
    return _chart(history, "Dynamic weights", lines, "weight λ (no unit)", caption)


def _terms_figure(history: History) -> Figure:
    lines = [Line(readable(name), values) for name, values in history.terms.items()]
    caption = "The parts of the validation loss, before they are weighted and added."
    return _chart(history, "What the loss is made of", lines, "loss", caption)


def _mean_f1_figure(history: History) -> Figure:
    lines = [Line("in training", 100 * history.mean_f1)]
    caption = (
        "Over the classes but background, from all pixels of the validation split at the working size; the figures at "
        "the head of this page are of the test split at the pictures' own size."
    )
    if history.ensemble_mean_f1 is not None:
        lines.append(Line("ensemble", 100 * history.ensemble_mean_f1, marks=True))
        caption += " A diamond is the average of a cycle's models and the best one before."
    return _chart(history, "Mean F1 on validation", lines, "mean F1 (%)", caption)


def _class_f1_figure(history: History) -> Figure:
    common, *rare = common_and_rare(history)
    lines = [Line(readable(history.classes[i]), 100 * history.class_f1[:, i]) for i in (common, *rare)]
    caption = (
        f"Of the classes but background the {len(rare)} with the fewest pixels in the test split, and the one with the "
        f"most, {readable(history.classes[common])}. Counted as the mean F1."
    )
    return _chart(history, "F1 of rare classes on validation", lines, "F1 (%)", caption)


def common_and_rare(history: History) -> list[int]:
    """Indices of the class with the most pixels and of the few with the fewest but any; background left out."""
    pixels = history.class_pixels
    found = [index for index in np.argsort(-pixels, kind="stable").tolist() if index and pixels[index]]
    return found[:1] + found[1:][-_RARE_SHOWN:]


def _learning_rate_figure(history: History) -> Figure:
    caption = "Lowered when the validation loss stops falling, or as the experiment's schedule says."
    lines = [Line("learning rate", history.learning_rate)]
    # A few steps are read best off their own values; a schedule that changes all the time has too many for ticks.
    levels = len(np.unique(history.learning_rate)) <= 6 and np.min(history.learning_rate) > 0
    y_label = "learning rate (log scale)" if levels else "learning rate"
    return _chart(history, "Learning rate", lines, y_label, caption, levels=bool(levels))


def _threshold_figure(history: History) -> Figure:
    travelled = np.nan_to_num(np.ptp(history.thresholds, axis=0))
    most = np.argsort(-travelled, kind="stable")[:_THRESHOLDS_SHOWN]
    lines = [Line(readable(history.names[index]), history.thresholds[:, index]) for index in most]
    x, x_label = _axis(history)
    title = "Adaptive thresholds"
    markup = figures.line_chart(title, x, lines, x_label, "threshold τ (score)", size=(figures.WIDE, 3.4))
    caption = (
        f"The {len(most)} that moved most of {len(history.names)}. A threshold rises while an attribute is said too "
        "often and falls while it is missed too often. As Fig. 7 of the DMM-CNN paper, which shows ten at random."
    )
    return Figure(markup, title, caption, wide=True)
