"""A figure: one number that says how well a task is done."""

from __future__ import annotations

import dataclasses


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
    """

    name: str
    value: float
    higher_is_better: bool = True
    headline: bool = False
    metric: str = ""
    gap: str = ""
    share: bool = True
