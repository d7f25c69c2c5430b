"""How one number an image is measured: absolute and squared errors, and the share of the variance that is explained."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import tensorflow_model_analysis as tfma

from components.tasks.annotation import BoundTask
from components.tasks.figures import Figure
from components.tasks.ratios import ratio
from components.tasks.summed_metric import SummedMetric, metrics_spec

MEANS = {}  # each is one number
UNDEFINED = "no record has a number, or a prediction is none"
_ROUNDING = 1e-12  # of a sum of squares


def specs(task: BoundTask, iteration: int | None = None) -> list[tfma.MetricsSpec]:
    """What is measured of the task, where it is served or after an iteration of task interaction."""
    return [metrics_spec(task, task.name, NumberMetrics, iteration)]


def figures(task: BoundTask, values: Mapping[str, float | np.ndarray]) -> list[Figure]:
    """The task's scalars, from what was measured of one slice."""
    number = functools.partial(Figure, share=False)
    return [
        number(
            f"{task.name} mean absolute error",
            values["mean_absolute_error"],
            higher_is_better=False,
            headline=True,
            metric="mean_absolute_error",
        ),
        number(
            f"{task.name} root mean squared error",
            values["root_mean_squared_error"],
            higher_is_better=False,
            metric="root_mean_squared_error",
        ),
        number(f"{task.name} R²", values["r_squared"], metric="r_squared"),
    ]


def summarize(sums: np.ndarray) -> dict[str, float]:
    """[6] records, Σ|e|, Σe², Σt, Σt², Σe of errors e = prediction - truth t -> values; NaN over no record.

    R² is 1 - Σe² / Σ(t - mean t)²: 0 is what always answering the mean scores; NaN where all labels are equal.
    """
    records, absolute, squared, truth, truth_squared, signed = sums
    variation = truth_squared - ratio(truth * truth, records)
    variation = np.where(variation > _ROUNDING * truth_squared, variation, 0)
    return {
        "mean_absolute_error": float(ratio(absolute, records)),
        "root_mean_squared_error": float(np.sqrt(ratio(squared, records))),
        "r_squared": float(1 - ratio(squared, variation)),
        "mean_error": float(ratio(signed, records)),
        "annotated": float(records),
    }


class NumberMetrics(SummedMetric):
    """TFMA metric on an output of numbers [B] against the labels [B, 1]; `summarize` says what it emits.

    Args:
        **config: of SummedMetric.
    """

    def __init__(self, **config):
        super().__init__(_measure, np.zeros(6), summarize, **config)


def _measure(label, predicted, features):
    if label.size != 1 or predicted.size != 1:
        raise ValueError(
            f"Record {features['image/id'][0].decode()!r} has {label.size} numbers, the model predicts "
            f"{predicted.size}; expected one of each."
        )
    truth, error = float(label.item()), float(predicted.item()) - float(label.item())
    return np.array([1, abs(error), error**2, truth, truth**2, error])
