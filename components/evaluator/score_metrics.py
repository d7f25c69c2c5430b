"""Top-10 recall of attributes, from their scores: the formula on one record, and the TFMA metric.

As DeepFashion has it (Liu et al. 2016): a record is assigned its ten highest-scored attributes, and it is counted how
many of its own are among them. Over records the counts are summed before they are divided, so that each attribute that
somebody has counts once, and not each record; the papers don't say which. With ten attributes or fewer all of them
are assigned, and the recall is 1.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow_model_analysis as tfma

from components.tasks.ratios import ratio
from components.tasks.summed_metric import summed_metric

TOP = 10


def matched(labels: np.ndarray, scores: np.ndarray, top: int = TOP) -> np.ndarray:
    """[N] labels, 0 or 1, and [N] scores of one record -> [2] int64: attributes that are found, attributes it has.

    Of attributes with equal scores the first come first.
    """
    truth = np.asarray(labels) > 0
    assigned = np.argsort(-np.asarray(scores), kind="stable")[:top]
    return np.array([truth[assigned].sum(), truth.sum()], np.int64)


def summarize(sums: np.ndarray) -> dict[str, float]:
    """[2] found and had, over records -> the recall; NaN if nobody has an attribute."""
    found, had = sums
    return {"top_10_recall": float(ratio(found, had))}


class ScoreMetrics(tfma.metrics.Metric):
    """TFMA metric on an output of scores [B, N] against the labels [B, N]; see `summarize` for what it emits.

    Args:
        attributes: the N names in the order of labels and scores.
        name: "top_10_recall".
        code: part of TFX's cache key only (see config.py).

    Raises:
        ValueError: when it runs, if a record or the prediction has another number of attributes, or a score is not a
            number.
    """

    def __init__(self, attributes: Sequence[str], name: str = "top_10_recall", code: str = ""):
        super().__init__(_computations, attributes=list(attributes), name=name, code=code)


def _computations(attributes, name, code, model_names=("",), output_names=("",)):
    del name, code
    measure = functools.partial(_measure, num_attributes=len(attributes))
    return summed_metric(measure, np.zeros(2, np.int64), summarize, model_names, output_names)


def _measure(labels, scores, features, num_attributes):
    record = features["image/id"][0].decode()
    if labels.size != num_attributes or scores.size != num_attributes:
        raise ValueError(
            f"Record {record!r} has {labels.size} attribute labels, the model gives {scores.size} scores; the "
            f"evaluation is configured for {num_attributes} attributes."
        )
    if np.isnan(scores).any():
        raise ValueError(f"Record {record!r}: the model gives the scores {scores.ravel()}; expected numbers.")
    return matched(labels.ravel(), scores.ravel())
