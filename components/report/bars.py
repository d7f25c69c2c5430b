"""Whether a model passed: each figure that has a bar against it, and against the last blessed model."""

from __future__ import annotations

import math
import os
import re

from components.config import Bar
from components.page.formatting import change_text, figure_text, readable
from components.report.collect import RunArtifacts
from components.tasks.figures import widest_gap_of
from components.tasks.reporting import metric_title

# What Evaluator says of a figure that is held against its bar and the last blessed model here.
_BAR = re.compile("is (below|above) the bar|is worse than the last blessed model")


def comparisons(artifacts: RunArtifacts) -> list[tuple[str, bool]]:
    """Each task with a bar against it and against the last blessed model, and the widest gaps against theirs.

    A sentence with both figures and their difference, and whether it passed.
    """
    found = []
    for task in artifacts.tasks:
        bar, evaluation = task.task.bar, artifacts.evaluation
        value = evaluation.value(task.name, bar.metric) if bar else None
        if value is not None and not math.isnan(value):
            found.append(_against_bar(artifacts, task, bar, value))
        for of, most in artifacts.experiment.evaluation.max_gaps.items():
            widest = evaluation.value(task.name, widest_gap_of(of))
            if widest is not None and not math.isnan(widest):
                found.append(_gap_against(evaluation, task, of, widest, most))
    return found


def reasons(artifacts: RunArtifacts) -> list[str]:
    """Why a model isn't pushed: bars that it missed, what else Evaluator says, what the serving check found."""
    verdict = artifacts.verdict
    missed = [text for text, passed in comparisons(artifacts) if not passed]
    # Of these Evaluator says the same, with less.
    told = tuple(f"{task.name} " for task in artifacts.tasks) if missed else ()
    others = [each for each in verdict.reasons if not (each.startswith(told) and _BAR.search(each))]
    return [*missed, *others, *([] if verdict.serving_ok else [verdict.serving_message])]


def _against_bar(artifacts, task, bar, value):
    evaluation = artifacts.evaluation
    figure = next((each for each in evaluation.figures(task.name) if each.metric == bar.metric), None)
    share = figure is None or figure.share
    text, passed = _held_against(metric_title(task.name, bar.metric), value, bar, share)
    change = evaluation.changes.get((task.name, bar.metric))
    if change is None:
        return f"{text}, and there is no blessed model to compare it with.", passed
    before = figure_text(value - change, share) + (" %" if share else "")
    better = (change if bar.at_most is None else -change) >= -1e-10
    place = os.path.dirname(evaluation.baseline)  # without the folder that TFX puts into each model's
    difference = f"{change_text(change, share)}{' points' if share else ''}"
    return f"{text}. The last blessed model ({place}) has {before}: {difference} against it.", passed and better


def _gap_against(evaluation, task, of, widest, most):
    """The widest gap against its bar, with the label that it is by."""
    text, passed = _held_against(metric_title(task.name, widest_gap_of(of)), widest, Bar("", at_most=most), True)
    gaps = {key: evaluation.gap(task.name, f"mean_{of}", key) for key in evaluation.slices if key in task.names}
    defined = {key: abs(gap) for key, gap in gaps.items() if gap is not None and not math.isnan(gap)}
    return f"{text}. It is by {readable(max(defined, key=defined.__getitem__))}.", passed


def _held_against(title, value, bar, share):
    """A sentence without its end: a figure, its bar and what lies between; and whether it passed."""
    unit = " %" if share else ""
    margin = value - bar.bound if bar.at_most is None else bar.bound - value
    between = (
        f"{'passed' if margin >= 0 else 'missed'} by {figure_text(abs(margin), share)}{' points' if share else ''}"
    )
    bound = f"at {'least' if bar.at_most is None else 'most'} {figure_text(bar.bound, share)}{unit}"
    return f"{title} is {figure_text(value, share)}{unit}; the bar, {bound}, is {between}", margin >= 0
