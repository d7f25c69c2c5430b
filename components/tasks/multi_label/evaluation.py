"""How yes-or-no labels are measured: accuracy, balanced accuracy and F1 of the decisions, top-10 recall of the scores.

Counts are [4, N] integers: true positives, false positives, false negatives and true negatives of N attributes, each
over the records that have it annotated. A value that would be 0/0 is NaN and is left out of a mean over attributes; the
mean is NaN only if every attribute's value is.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import tensorflow_model_analysis as tfma

from components.config import Bar
from components.page.formatting import readable
from components.tasks.annotation import BoundTask
from components.tasks.figures import Figure, score_figures, widest_gap_of
from components.tasks.ratios import mean_of_defined, ratio
from components.tasks.scores import BINS, histogram, probabilities, summarize_scores
from components.tasks.summed_metric import SummedMetric, Sums, metrics_spec, standard_errors

COUNTS = ("true_positives", "false_positives", "false_negatives", "true_negatives")
MEANS = {
    f"mean_{name}": operator.itemgetter(name)
    for name in ("accuracy", "balanced_accuracy", "f1", "false_positive_rate", "false_negative_rate")
}
MISTAKES = {"false_positive_rate": "false positive rate", "false_negative_rate": "false negative rate"}
UNDEFINED = "no attribute has annotated records of both classes"
TOP = 10


def specs(task: BoundTask, iteration: int | None = None) -> list[tfma.MetricsSpec]:
    """What is measured of the task, where it is served or after an iteration of task interaction."""
    found = [metrics_spec(task, f"{task.name}_decisions", MultiLabelMetrics, iteration)]
    # With ten attributes or fewer all of them are among the ten best, whatever a model answers.
    if iteration is None and len(task.names) > TOP:
        found.append(metrics_spec(task.learnt, task.name, RecallAtK))  # no bar applies to it
    if iteration is None:
        scores = task.option("scores", "logits")
        found.append(metrics_spec(task.learnt, task.name, AttributeScores, scores=scores))
    return found


def gap_specs(task: BoundTask, slice_by: Sequence[str], max_gaps: Mapping[str, float]) -> list[tfma.MetricsSpec]:
    """Bars on the widest gaps between the two sides of the task's own attributes among `slice_by`.

    Args:
        task: whose they are.
        slice_by: what records are divided by.
        max_gaps: the bars, by what differs: of GAPS.

    Raises:
        ValueError: for a gap of what isn't measured.
    """
    if unknown := sorted(max_gaps.keys() - GAPS.keys()):
        raise ValueError(f"evaluation.max_gaps: there is no gap of {', '.join(unknown)}, but of {', '.join(GAPS)}.")
    keys = [key for key in slice_by if key in task.names]
    if not keys:
        return []
    found = []
    for of, most in max_gaps.items():
        barred = replace(task, task=replace(task.task, bar=Bar(widest_gap_of(of), at_most=most)))
        found.append(metrics_spec(barred, f"{task.name}_decisions", GapMetrics, compared=False, keys=keys, of=of))
    return found


def figures(task: BoundTask, values: Mapping[str, float | np.ndarray]) -> list[Figure]:
    """The task's scalars, from what was measured of one slice."""
    found = [
        Figure(
            f"{task.name} labels never given",
            len(never_said(values)) if values["annotated"] else float("nan"),
            higher_is_better=False,
            metric="never_said",
            share=False,
        ),
        Figure(f"{task.name} mean accuracy", values["mean_accuracy"], headline=True, metric="mean_accuracy"),
        Figure(f"{task.name} always the commoner class", mean_of_defined(majority_accuracy(values))),
        Figure(
            f"{task.name} mean balanced accuracy",
            values["mean_balanced_accuracy"],
            headline=True,
            metric="mean_balanced_accuracy",
            gap="Balanced gap",  # does not profit from labels being rarer on one side
        ),
        Figure(f"{task.name} mean F1", values["mean_f1"], headline=True, metric="mean_f1"),
    ]
    found += [
        Figure(f"{task.name} mean {name}", values[f"mean_{rate}"], higher_is_better=False, metric=f"mean_{rate}")
        for rate, name in MISTAKES.items()
    ]
    if "mean_average_precision" in values:
        found += score_figures(task.name, values)
    if "top_10_recall" in values:
        recall, pooled = "top_10_recall", "pooled_top_10_recall"
        found.append(Figure(f"{task.name} top-{TOP} recall", values[recall], headline=True, metric=recall))
        found.append(Figure(f"{task.name} top-{TOP} recall, pooled", values[pooled], metric=pooled))
    found += [
        Figure(f"{task.name} {readable(name)}", values[name], higher_is_better=False, metric=name)
        for name in map(widest_gap_of, GAPS)
        if name in values
    ]
    return found


def mistakes(task: BoundTask, sides: Sequence[Mapping[str, np.ndarray]]) -> list[list[Figure]]:
    """How often each mistake is made on the slices by one key, comparable: over the labels defined on all of them.

    Among men nobody has "no beard" wrong where all have one: means over each slice's own labels would be means over
    different ones.

    Args:
        sides: what was measured of each slice, with the "parts" of MultiLabelMetrics.

    Returns:
        For each slice a figure of each of MISTAKES.
    """
    shared = {rate: np.all([np.isfinite(values[rate]) for values in sides], axis=0) for rate in MISTAKES}

    def rates(total):
        found = dict(zip(MISTAKES, false_rates(total[:-1].reshape(4, -1)), strict=True))
        return {rate: mean_of_defined(each[shared[rate]]) for rate, each in found.items()}

    figures_of_sides = []
    for values in sides:
        parts = values["parts"]
        errors = standard_errors(Sums(parts[:, -1], parts), rates)
        figures_of_sides.append(
            [
                Figure(f"{task.name} mean {MISTAKES[rate]}", value, higher_is_better=False, error=errors[rate])
                for rate, value in rates(parts.sum(axis=0)).items()
            ]
        )
    return figures_of_sides


def shared_errors(metric: str, sides: Sequence[Mapping[str, np.ndarray]]) -> list[float]:
    """Standard errors of one of MEANS on each slice, over the labels that have a value on all of them.

    Args:
        metric: of MEANS.
        sides: what was measured of each slice, with the "parts" of MultiLabelMetrics.
    """
    of = MEANS[metric]
    shared = np.all([np.isfinite(of(values)) for values in sides], axis=0)

    def mean(total):
        return {metric: mean_of_defined(of(summarize(total))[shared])}

    return [standard_errors(Sums(values["parts"][:, -1], values["parts"]), mean)[metric] for values in sides]


def frequencies(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """[N] shares of the records that have each label; NaN where it is annotated nowhere."""
    return values["positive_rate_true"]


def never_said(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Indices of the labels that records have, and no record is given."""
    said = values["true_positives"] + values["false_positives"]
    there = values["true_positives"] + values["false_negatives"]
    return np.flatnonzero((said == 0) & (there > 0))


def slices(task: str, names: Sequence[str]) -> dict[str, tuple[int, dict[int, str]]]:
    """Slice keys, each with its place in the label and its values by what stands there: the attributes."""
    return {name: (place, {1: name, 0: f"not {name}"}) for place, name in enumerate(names)}


def majority_accuracy(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """[N] accuracy of always giving the commoner answer; NaN where nothing is annotated."""
    positives = values["true_positives"] + values["false_negatives"]
    negatives = values["false_positives"] + values["true_negatives"]
    return ratio(np.maximum(positives, negatives), positives + negatives)


def outcomes(labels: np.ndarray, decisions: np.ndarray) -> np.ndarray:
    """[N] labels, 0 or 1 (-1: not annotated), and [N] decisions, 0 or 1 -> [4, N] int64 counts of this one record."""
    labels, decided = np.asarray(labels), np.asarray(decisions) > 0
    positive, negative = labels == 1, labels == 0
    return np.stack([positive & decided, negative & decided, positive & ~decided, negative & ~decided]).astype(np.int64)


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


def false_rates(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N] FP / (FP + TN) and [N] FN / (FN + TP); NaN where no label is no, or none yes."""
    tp, fp, fn, tn = counts
    return ratio(fp, fp + tn), ratio(fn, fn + tp)


def positive_rates(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N] shares of positive labels and [N] of positive decisions; NaN where nothing was counted."""
    tp, fp, fn, _ = counts
    total = counts.sum(axis=0)
    return ratio(tp + fn, total), ratio(tp + fp, total)


def summarize(sums: np.ndarray) -> dict[str, float | np.ndarray]:
    """[4 N + 1] counts row by row, then the records with an annotated attribute -> the means, and [N] a value."""
    counts = sums[:-1].reshape(4, -1)
    vectors = {"accuracy": accuracy(counts), "balanced_accuracy": balanced_accuracy(counts), "f1": f1(counts)}
    vectors["false_positive_rate"], vectors["false_negative_rate"] = false_rates(counts)
    of_labels, of_decisions = positive_rates(counts)
    return {
        **{mean: mean_of_defined(part(vectors)) for mean, part in MEANS.items()},
        "annotated": float(sums[-1]),
        **vectors,
        "positive_rate_true": of_labels,
        "positive_rate_predicted": of_decisions,
        **dict(zip(COUNTS, counts, strict=True)),
    }


class MultiLabelMetrics(SummedMetric):
    """TFMA metric on an output of 0/1 decisions [B, N] against the labels [B, N]; `summarize` says what it emits.

    Args:
        names: N, in the order of labels and decisions.
        **config: of SummedMetric.

    Raises:
        ValueError: when it runs, if a record or the prediction has another number of attributes.
    """

    def __init__(self, names: Sequence[str], **config):
        measure = functools.partial(_measure_decisions, count=len(names))
        zero = np.zeros(4 * len(names) + 1, np.int64)
        super().__init__(measure, zero, summarize, names=names, keep_parts=True, **config)


def _measure_decisions(labels, decisions, features, count):
    _check(labels, decisions, features, count, "decisions")
    labels = labels.ravel()
    return np.append(outcomes(labels, decisions.ravel()), (labels >= 0).any())


# Of what the gap between two sides may have a bar: [4, N] counts -> [N].
GAPS = {
    "accuracy": accuracy,
    "false_positive_rate": lambda counts: false_rates(counts)[0],
    "false_negative_rate": lambda counts: false_rates(counts)[1],
}


def widest_gap(sums: np.ndarray, count: int, of: str) -> dict[str, float]:
    """The widest difference of a mean between two sides, over the keys; NaN where no key has two sides.

    As everywhere, a mean is over the attributes that have a value on both sides.

    Args:
        sums: [K 2 4 N] the counts of `outcomes`, flat, of K keys on the side that has the attribute and the other.
        count: N.
        of: what differs, of GAPS.
    """
    sides = sums.reshape(-1, 2, 4, count)
    gaps = [abs(mean_of_defined(GAPS[of](having) - GAPS[of](lacking))) for having, lacking in sides]
    return {widest_gap_of(of): max((gap for gap in gaps if not np.isnan(gap)), default=float("nan"))}


class GapMetrics(SummedMetric):
    """TFMA metric on an output of 0/1 decisions [B, N] against the labels [B, N]: `widest_gap`.

    Args:
        names: N, in the order of labels and decisions.
        keys: those of them whose two sides are compared.
        of: what of, of GAPS.
        **config: of SummedMetric.

    Raises:
        ValueError: when it runs, if a record or the prediction has another number of attributes.
    """

    def __init__(self, names: Sequence[str], keys: Sequence[str], of: str, **config):
        count, places = len(names), tuple(list(names).index(key) for key in keys)
        measure = functools.partial(_measure_sides, count=count, places=places)
        zero = np.zeros(len(places) * 2 * 4 * count, np.int64)
        summarize = functools.partial(widest_gap, count=count, of=of)
        super().__init__(measure, zero, summarize, names=names, keys=keys, of=of, **config)


def _measure_sides(labels, decisions, features, count, places):
    _check(labels, decisions, features, count, "decisions")
    labels = labels.ravel()
    counts = outcomes(labels, decisions.ravel())
    sides = np.zeros((len(places), 2, *counts.shape), np.int64)
    for key, place in enumerate(places):
        if labels[place] >= 0:
            sides[key, 0 if labels[place] == 1 else 1] = counts
    return sides.ravel()


def _check(labels, answers, features, count, what):
    if labels.size != count or answers.size != count:
        raise ValueError(
            f"Record {features['image/id'][0].decode()!r} has {labels.size} attribute labels, the model gives "
            f"{answers.size} {what}; the evaluation is configured for {count} attributes."
        )


def matched(labels: np.ndarray, scores: np.ndarray, top: int = TOP) -> np.ndarray:
    """[N] labels (-1: not annotated) and [N] scores of one record -> [2 N] int64: attributes found, attributes it has.

    As DeepFashion has it (Liu et al. 2016): a record is assigned its highest-scored attributes, and it is looked which
    of its own are among them. Of attributes with equal scores the first come first; those that are not annotated take
    no place.
    """
    labels = np.asarray(labels)
    ranks = np.argsort(np.argsort(np.where(labels < 0, np.inf, -np.asarray(scores)), kind="stable"), kind="stable")
    had = labels == 1
    return np.concatenate([had & (ranks < top), had]).astype(np.int64)


def recall(sums: np.ndarray) -> dict[str, float]:
    """[2 N] found and had by attribute, over records -> the recall; NaN if nobody has an attribute.

    As in the released code of Lu et al. 2017 (`test_cls_topk`) it is the mean over attributes, of which a rare one
    counts like a common one. Pooled, each attribute that somebody has counts once: that is more, since the common ones
    are found more often.
    """
    found, had = sums.reshape(2, -1)
    return {
        "top_10_recall": mean_of_defined(ratio(found, had)),
        "pooled_top_10_recall": float(ratio(found.sum(), had.sum())),
    }


class RecallAtK(SummedMetric):
    """TFMA metric on an output of scores [B, N] against the labels [B, N]: the recall of the ten highest.

    Args:
        names: N, in the order of labels and scores.
        **config: of SummedMetric.

    Raises:
        ValueError: when it runs, if a record or the prediction has another number of attributes, or a score is not a
            number.
    """

    def __init__(self, names: Sequence[str], **config):
        measure = functools.partial(_measure_scores, count=len(names))
        super().__init__(measure, np.zeros(2 * len(names), np.int64), recall, names=names, **config)


def _measure_scores(labels, scores, features, count):
    _check_scores(labels, scores, features, count)
    return matched(labels.ravel(), scores.ravel())


class AttributeScores(SummedMetric):
    """TFMA metric on an output of scores [B, N] against the labels [B, N]; `summarize_scores` says what it emits.

    Args:
        names: N, in the order of labels and scores.
        scores: what they are, as the task's option of that name.
        **config: of SummedMetric.

    Raises:
        ValueError: when it runs, if a record or the prediction has another number of attributes, or a score is not a
            number.
    """

    def __init__(self, names: Sequence[str], scores: str, **config):
        measure = functools.partial(_measure_histogram, count=len(names), kind=scores)
        zero = np.zeros((2, len(names), BINS), np.int64)
        super().__init__(measure, zero, summarize_scores, names=names, scores=scores, **config)


def _measure_histogram(labels, scores, features, count, kind):
    _check_scores(labels, scores, features, count)
    return histogram(labels.ravel(), probabilities(scores.ravel(), kind))


def _check_scores(labels, scores, features, count):
    _check(labels, scores, features, count, "scores")
    if np.isnan(scores).any():
        record = features["image/id"][0].decode()
        raise ValueError(f"Record {record!r}: the model gives the scores {scores.ravel()}; expected numbers.")
