"""How a choice among classes is measured: accuracy, top-k accuracy, recall and F1.

Counts are a confusion matrix [C, C] of integers: the row is the true class, the column the predicted one. A value that
would be 0/0 is NaN and is left out of a mean over classes. Top-k accuracy rests on ranks: that of a record is the place
of its class when the scores are in order, 0 for the predicted class.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow_model_analysis as tfma

from components.tasks.annotation import BoundTask
from components.tasks.figures import Figure, score_figures
from components.tasks.ratios import accuracy, f1, mean_of_defined, ratio
from components.tasks.scores import BINS, histogram, summarize_scores
from components.tasks.summed_metric import SummedMetric, metrics_spec

MEANS = {"mean_recall": operator.itemgetter("recall")}
UNDEFINED = "no record is annotated with a class"


def specs(task: BoundTask, iteration: int | None = None) -> list[tfma.MetricsSpec]:
    """What is measured of the task, where it is served or after an iteration of task interaction."""
    found = [metrics_spec(task, task.name, ClassificationMetrics, iteration, top=_top(task))]
    if iteration is None:
        found.append(metrics_spec(task.learnt, task.name, ClassScores))  # no bar applies to it
    return found


def figures(task: BoundTask, values: Mapping[str, float | np.ndarray]) -> list[Figure]:
    """The task's scalars, from what was measured of one slice."""
    images = values["confusion"].sum(axis=1)
    return [
        Figure(f"{task.name} accuracy", values["accuracy"], headline=True, metric="accuracy"),
        *(
            Figure(f"{task.name} top-{k} accuracy", values[_top_name(k)], headline=True, metric=_top_name(k))
            for k in _top(task)
        ),
        Figure(f"{task.name} always the commonest", float(ratio(images.max(), images.sum()))),
        Figure(f"{task.name} mean recall", values["mean_recall"], metric="mean_recall"),
        *(score_figures(task.name, values) if "histogram" in values else ()),
    ]


def frequencies(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """[C] shares of the records that are of each class; NaN without records."""
    images = values["confusion"].sum(axis=1)
    return ratio(images, np.full(images.shape, images.sum()))


def slices(task: str, names: Sequence[str]) -> dict[str, tuple[int, dict[int, str]]]:
    """Slice keys, each with its place in the label and its values by what stands there: the task, by class."""
    return {task: (0, dict(enumerate(names)))}


def recall(counts: np.ndarray) -> np.ndarray:
    """[C] TP / (TP + FN); NaN for a class that is not in the truth."""
    return ratio(counts.diagonal(), counts.sum(axis=1))


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
    vectors = {"recall": recall(confusion), "f1": f1(confusion)}
    return {
        "accuracy": accuracy(confusion),
        **{_top_name(k): top_accuracy(ranks, k) for k in top},
        **{mean: mean_of_defined(part(vectors)) for mean, part in MEANS.items()},
        "annotated": float(confusion.sum()),
        **vectors,
        "confusion": confusion,
    }


class ClassificationMetrics(SummedMetric):
    """TFMA metric on an output of scores [B, C] against class indices [B, 1]; `summarize` says what it emits.

    The predicted class is the one with the highest score. Records without a class are left out.

    Args:
        names: of the C classes, in the order of the scores.
        top: for each k, "top_<k>_accuracy" is the share of records whose class is among the k likeliest.
        **config: of SummedMetric.

    Raises:
        ValueError: when it runs, if a record's label is none of the classes, or the prediction is not a number for each
            class.
    """

    def __init__(self, names: Sequence[str], top: Sequence[int] = (), **config):
        super().__init__(
            functools.partial(_measure, num_classes=len(names)),
            np.zeros((len(names) + 1, len(names)), np.int64),
            functools.partial(summarize, top=top),
            names=names,
            top=top,
            **config,
        )


def _top(task):
    # Of k classes or fewer, the label is always among the k likeliest.
    return [k for k in task.option("top", ()) if k < len(task.names)]


def _top_name(k):
    return f"top_{k}_accuracy"


class ClassScores(SummedMetric):
    """TFMA metric on an output of probabilities [B, C] against class indices [B, 1]: each class against all others.

    `summarize_scores` says what it emits.

    Args:
        names: of the C classes, in the order of the scores.
        **config: of SummedMetric.

    Raises:
        ValueError: as ClassificationMetrics.
    """

    def __init__(self, names: Sequence[str], **config):
        measure = functools.partial(_measure_histogram, num_classes=len(names))
        super().__init__(measure, np.zeros((2, len(names), BINS), np.int64), summarize_scores, names=names, **config)


def _measure(label, scores, features, num_classes):
    _check(label, scores, features, num_classes)
    counts = np.zeros((num_classes + 1, num_classes), np.int64)
    counts[label.item(), scores.argmax()] = 1
    counts[-1, rank(label.item(), scores)] = 1
    return counts


def _measure_histogram(label, scores, features, num_classes):
    _check(label, scores, features, num_classes)
    return histogram(np.arange(num_classes) == label.item(), scores)


def _check(label, scores, features, num_classes):
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
