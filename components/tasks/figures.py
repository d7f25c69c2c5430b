"""A figure: one number that says how well a task is done."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

# Of 95 % on both sides together, at 19 degrees of freedom: the jackknife leaves out one of 20 parts of the images.
STUDENT_T = 2.093


@dataclasses.dataclass(frozen=True)
class Figure:
    """A scalar of an evaluation.

    Attributes:
        name: the task's, and what it is in words, such as "attributes mean accuracy".
        value: NaN where it is undefined.
        higher_is_better: False for an error.
        headline: whether runs are compared by it. False for what explains another figure.
        metric: what the evaluation calls it; "" for what follows from several.
        gap: heading of its differences between the two sides of a slice, shown beside those of the task's
            first headline.
        share: whether it is a share, which is shown in percent. False for a plain number, in a unit of its own.
        error: the standard error over test images; None if it isn't known.
    """

    name: str
    value: float
    higher_is_better: bool = True
    headline: bool = False
    metric: str = ""
    gap: str = ""
    share: bool = True
    error: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % confidence interval of the figure over all images of the kind; None if the error isn't known."""
        if self.error is None or not math.isfinite(self.error) or not math.isfinite(self.value):
            return None
        low, high = self.value - STUDENT_T * self.error, self.value + STUDENT_T * self.error
        return (max(low, 0.0), min(high, 1.0)) if self.share else (low, high)


def widest_gap_of(metric: str) -> str:
    """What the widest gap of a metric between two sides is called, where it is measured."""
    return f"widest_{metric}_gap"


def difference_interval(difference: float, *errors: float | None) -> tuple[float, float] | None:
    """95 % confidence interval of a difference of figures of different images, by their standard errors.

    None if one of them isn't known, or the difference is undefined.
    """
    known = [error for error in errors if error is not None and math.isfinite(error)]
    if len(known) < len(errors) or not math.isfinite(difference):
        return None
    reach = STUDENT_T * math.hypot(*known)
    return difference - reach, difference + reach


def beyond_chance(interval: tuple[float, float] | None) -> bool:
    """Whether a difference is larger than chance makes it in 95 of 100 cases, by its interval if that is known."""
    return interval is not None and not interval[0] <= 0 <= interval[1]


def score_figures(task: str, values: Mapping[str, float]) -> list[Figure]:
    """What `components.tasks.scores.summarize_scores` found of a task's scores."""
    precision, error = "mean_average_precision", "mean_calibration_error"
    return [
        Figure(f"{task} mean average precision", values[precision], metric=precision),
        Figure(f"{task} calibration error", values[error], higher_is_better=False, metric=error),
    ]
