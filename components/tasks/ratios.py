"""Quotients that may be 0/0, which is NaN, means that leave those out, and what a confusion matrix says by them.

A confusion matrix is [C, C] integers: the row is the true class, the column the predicted one.
"""

from __future__ import annotations

import numpy as np


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient in float64, of the arguments' shape; NaN where the denominator is 0."""
    undefined = np.full(np.shape(numerator), np.nan)
    return np.divide(numerator, denominator, out=undefined, where=np.asarray(denominator) > 0)


def mean_of_defined(values: np.ndarray) -> float:
    """Mean of the values that are not NaN; NaN if there is none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def accuracy(confusion: np.ndarray) -> float:
    """Share of what was counted that got its class; NaN if nothing was."""
    return float(ratio(confusion.trace(), confusion.sum()))


def f1(confusion: np.ndarray) -> np.ndarray:
    """[C] 2 TP / (2 TP + FP + FN); NaN for a class that is neither in the truth nor predicted."""
    return ratio(2 * confusion.diagonal(), confusion.sum(axis=0) + confusion.sum(axis=1))
