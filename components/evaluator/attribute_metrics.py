"""Accuracy, balanced accuracy and F1 of binary attributes: formulas on counts, and the TFMA metric around them.

Counts are [4, N] integers: true positives, false positives, false negatives and true negatives of N attributes. A value
that would be 0/0 is NaN and is left out of a mean over attributes; the mean is NaN only if every attribute's value is.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow_model_analysis as tfma

from components.tasks.ratios import mean_of_defined, ratio
from components.tasks.summed_metric import summed_metric

COUNTS = ("true_positives", "false_positives", "false_negatives", "true_negatives")
MEANS = ("mean_accuracy", "mean_balanced_accuracy", "mean_f1")


def outcomes(labels: np.ndarray, decisions: np.ndarray) -> np.ndarray:
    """[N] labels and [N] decisions, 0 or 1 -> [4, N] int64 counts of this one record."""
    truth, decided = np.asarray(labels) > 0, np.asarray(decisions) > 0
    return np.stack([truth & decided, ~truth & decided, truth & ~decided, ~truth & ~decided]).astype(np.int64)


def accuracy(counts: np.ndarray) -> np.ndarray:
    """[N] (TP + TN) / all; NaN where nothing was counted."""
    tp, _, _, tn = counts
    return ratio(tp + tn, counts.sum(axis=0))


def balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    """[N] mean of the true positive and true negative rates; NaN where one of the classes does not occur."""
    tp, fp, fn, tn = counts
    return (ratio(tp, tp + fn) + ratio(tn, tn + fp)) / 2


def f1(counts: np.ndarray) -> np.ndarray:
    """[N] 2 TP / (2 TP + FP + FN), the positive class's F1; NaN where nothing is positive, in truth or by decision."""
    tp, fp, fn, _ = counts
    return ratio(2 * tp, 2 * tp + fp + fn)


def positive_rates(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N] shares of positive labels and [N] of positive decisions; NaN where nothing was counted."""
    tp, fp, fn, _ = counts
    total = counts.sum(axis=0)
    return ratio(tp + fn, total), ratio(tp + fp, total)


def summarize(counts: np.ndarray) -> dict[str, float | np.ndarray]:
    """[4, N] counts -> the three means, the number of annotated records, and per attribute [N] values and counts."""
    vectors = {"accuracy": accuracy(counts), "balanced_accuracy": balanced_accuracy(counts), "f1": f1(counts)}
    of_labels, of_decisions = positive_rates(counts)
    return {
        **{f"mean_{name}": mean_of_defined(values) for name, values in vectors.items()},
        "annotated": float(counts[:, 0].sum()),  # a record is annotated with all attributes or with none
        **vectors,
        "positive_rate_true": of_labels,
        "positive_rate_predicted": of_decisions,
        **dict(zip(COUNTS, counts, strict=True)),
    }


class AttributeMetrics(tfma.metrics.Metric):
    """TFMA metric on an output of 0/1 decisions [B, N] against the labels [B, N]; see `summarize` for what it emits.

    Args:
        attributes: the N names in the order of labels and decisions. They stay in the evaluation's configuration,
            where the slices and the results find them.
        name: the mean that thresholds apply to (TFMA matches a threshold with the metric's name).
        code: part of TFX's cache key only (see config.py).

    Raises:
        ValueError: if `name` is none of the means; when it runs, if a record has another number of attributes.
    """

    def __init__(self, attributes: Sequence[str], name: str = "mean_balanced_accuracy", code: str = ""):
        if name not in MEANS:
            raise ValueError(f"A threshold can apply to {', '.join(MEANS)}; received {name!r}.")
        super().__init__(_computations, attributes=list(attributes), name=name, code=code)


def _computations(attributes, name, code, model_names=("",), output_names=("",)):
    del name, code
    measure = functools.partial(_measure, num_attributes=len(attributes))
    return summed_metric(measure, np.zeros((4, len(attributes)), np.int64), summarize, model_names, output_names)


def _measure(labels, decisions, features, num_attributes):
    if labels.size != num_attributes or decisions.size != num_attributes:
        raise ValueError(
            f"Record {features['image/id'][0]!r} has {labels.size} attribute labels, the model gives {decisions.size} "
            f"decisions; the evaluation is configured for {num_attributes} attributes."
        )
    return outcomes(labels.ravel(), decisions.ravel())
