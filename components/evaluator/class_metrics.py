"""Accuracy, top-k accuracy, recall and F1 of a choice among classes: formulas on counts, and the TFMA metric.

Counts are a confusion matrix [C, C] of integers: the row is the true class, the column the predicted one. A value that
would be 0/0 is NaN and is left out of a mean over classes. Top-k accuracy rests on ranks: that of a record is the place
of its class when the scores are in order, 0 for the predicted class.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow_model_analysis as tfma

from components.tasks.ratios import mean_of_defined, ratio
from components.tasks.summed_metric import summed_metric

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


def rank(label: int, scores: np.ndarray) -> int:
    """Place of a class among [C] scores, from 0 on; of classes with equal scores the first come first."""
    return int(np.argsort(-np.asarray(scores), kind="stable").tolist().index(label))


def top_accuracy(ranks: np.ndarray, top: int) -> float:
    """[C] records by the rank of their class -> share of those whose class is among the first `top`; NaN if none is."""
    return float(ratio(ranks[:top].sum(), ranks.sum()))


def summarize(counts: np.ndarray, top: Sequence[int] = ()) -> dict[str, float | np.ndarray]:
    """Values of what was counted.

    Args:
        counts: [C + 1, C], the confusion matrix and below it the records by the rank of their class.
        top: the k of the top-k accuracies.
    """
    confusion, ranks = counts[:-1], counts[-1]
    return {
        "accuracy": accuracy(confusion),
        **{_top_name(k): top_accuracy(ranks, k) for k in top},
        "mean_recall": mean_recall(confusion),
        "annotated": float(confusion.sum()),
        "recall": recall(confusion),
        "f1": f1(confusion),
        "confusion": confusion,
    }


class ClassMetrics(tfma.metrics.Metric):
    """TFMA metric on an output of scores [B, C] against class indices [B, 1]; see `summarize` for what it emits.

    The predicted class is the one with the highest score. Records without a class are left out.

    Args:
        classes: the C names in the order of the scores. They stay in the evaluation's configuration, where the results
            find them.
        top: for each k, "top_<k>_accuracy" is the share of records whose class is among the k likeliest.
        name: the mean that thresholds apply to (TFMA matches a threshold with the metric's name).
        code: part of TFX's cache key only (see config.py).

    Raises:
        ValueError: if `name` is none of the means, or a top-k accuracy is 1 whatever the answers; when it runs, if a
            record's label is none of the classes, or the prediction is not a number for each class.
    """

    def __init__(self, classes: Sequence[str], top: Sequence[int] = (), name: str = "accuracy", code: str = ""):
        means = (*MEANS, *map(_top_name, top))
        if name not in means:
            raise ValueError(f"A threshold can apply to {', '.join(means)}; received {name!r}.")
        if trivial := [k for k in top if k >= len(classes)]:
            raise ValueError(
                f"Of {len(classes)} classes the label is always among the {trivial[0]} likeliest: top-{trivial[0]} "
                f"accuracy needs more than {trivial[0]} classes."
            )
        super().__init__(_computations, classes=list(classes), top=list(top), name=name, code=code)


def _top_name(k):
    return f"top_{k}_accuracy"


def _computations(classes, top, name, code, model_names=("",), output_names=("",)):
    del name, code
    measure = functools.partial(_measure, num_classes=len(classes))
    zero = np.zeros((len(classes) + 1, len(classes)), np.int64)
    return summed_metric(measure, zero, functools.partial(summarize, top=top), model_names, output_names)


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
    counts = np.zeros((num_classes + 1, num_classes), np.int64)
    counts[label.item(), scores.argmax()] = 1
    counts[-1, rank(label.item(), scores)] = 1
    return counts
