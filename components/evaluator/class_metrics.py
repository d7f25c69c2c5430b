"""Accuracy, recall and F1 of a choice among classes: formulas on a confusion matrix, and the TFMA metric.

Counts are a confusion matrix [C, C] of integers: the row is the true class, the column the predicted one. A value that
would be 0/0 is NaN and is left out of a mean over classes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow_model_analysis as tfma

from components.evaluator.ratios import mean_of_defined, ratio
from components.evaluator.summed_metric import summed_metric

MEANS = ("accuracy", "mean_recall")


def accuracy(counts: np.ndarray) -> float:
    """Share of what was counted that got its class; NaN if nothing was."""
    return float(ratio(counts.trace(), counts.sum()))


def recall(counts: np.ndarray) -> np.ndarray:
    """[C] TP / (TP + FN); NaN for a class that is not in the truth."""
    return ratio(counts.diagonal(), counts.sum(axis=1))


def f1(counts: np.ndarray) -> np.ndarray:
    """[C] 2 TP / (2 TP + FP + FN); NaN for a class that is neither in the truth nor predicted."""
    return ratio(2 * counts.diagonal(), counts.sum(axis=0) + counts.sum(axis=1))


def mean_recall(counts: np.ndarray) -> float:
    """Balanced accuracy: the mean recall of the classes that are in the truth."""
    return mean_of_defined(recall(counts))


def summarize(counts: np.ndarray) -> dict[str, float | np.ndarray]:
    """[C, C] records -> values."""
    return {
        "accuracy": accuracy(counts),
        "mean_recall": mean_recall(counts),
        "annotated": float(counts.sum()),
        "recall": recall(counts),
        "f1": f1(counts),
        "confusion": counts,
    }


class ClassMetrics(tfma.metrics.Metric):
    """TFMA metric on an output of scores [B, C] against class indices [B, 1]; see `summarize` for what it emits.

    The predicted class is the one with the highest score. Records without a class are left out.

    Args:
        classes: the C names in the order of the scores. They stay in the evaluation's configuration, where the results
            find them.
        name: the mean that thresholds apply to (TFMA matches a threshold with the metric's name).
        code: part of TFX's cache key only (see config.py).

    Raises:
        ValueError: if `name` is none of the means; when it runs, if a record's label is none of the classes, or the
            prediction is not a number for each class.
    """

    def __init__(self, classes: Sequence[str], name: str = "accuracy", code: str = ""):
        if name not in MEANS:
            raise ValueError(f"A threshold can apply to {', '.join(MEANS)}; received {name!r}.")
        super().__init__(_computations, classes=list(classes), name=name, code=code)


def _computations(classes, name, code, model_names=("",), output_names=("",)):
    del name, code
    measure = functools.partial(_measure, num_classes=len(classes))
    return summed_metric(measure, np.zeros([len(classes)] * 2, np.int64), summarize, model_names, output_names)


def _measure(label, scores, features, num_classes):
    record = features["image/id"][0].decode()
    if label.size != 1 or not 0 <= label.item() < num_classes:
        received = ", ".join(map(str, label.ravel()))
        raise ValueError(
            f"Record {record!r} has the label {received}; expected the index of one of {num_classes} classes."
        )
    if scores.shape != (num_classes,):
        raise ValueError(
            f"Record {record!r}: the model gives an array of shape {scores.shape}; expected a score for each of "
            f"{num_classes} classes."
        )
    if np.isnan(scores).any():
        raise ValueError(f"Record {record!r}: the model gives the scores {scores}; expected numbers.")
    counts = np.zeros((num_classes, num_classes), np.int64)
    counts[label.item(), scores.argmax()] = 1
    return counts
