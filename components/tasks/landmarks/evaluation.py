"""How points are measured: normalised mean error (NME) and failure rate, together and a point.

NME is the mean distance between predicted and annotated points over the annotated inter-ocular distance, both in pixels
of the image as found: normalised coordinates of an image that is not square would weigh x and y differently.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow_model_analysis as tfma

from components.images.decoding import image_size
from components.tasks.annotation import BoundTask
from components.tasks.figures import Figure
from components.tasks.landmarks.markup import MARKUPS
from components.tasks.ratios import ratio
from components.tasks.summed_metric import SummedMetric, metrics_spec

FAILURE_THRESHOLD = 0.10  # an image with a larger NME is a failure, and a point with a larger error
MEANS = {}  # of no two points is one defined without the other
UNDEFINED = "no record has points that can be measured, or a predicted point is not a number"


def specs(task: BoundTask, iteration: int | None = None) -> list[tfma.MetricsSpec]:
    """What is measured of the task, where it is served or after an iteration of task interaction."""
    return [metrics_spec(task, task.name, LandmarkMetrics, iteration)]


def figures(task: BoundTask, values: Mapping[str, float | np.ndarray]) -> list[Figure]:
    """The task's scalars, from what was measured of one slice."""
    return [
        Figure(f"{task.name} NME", values["nme"], higher_is_better=False, headline=True, metric="nme"),
        Figure(f"{task.name} failure rate", values["failure_rate"], higher_is_better=False, metric="failure_rate"),
    ]


def point_errors(truth: np.ndarray, predicted: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
    """Errors of one image's points; their mean is the image's NME.

    Args:
        truth: [L, 2] annotated x, y in [0, 1] of the image, of a mark-up in MARKUPS.
        predicted: [L, 2] likewise.
        size: width and height in pixels.

    Returns:
        [L] distances as fractions of the inter-ocular distance; None if the annotated eyes coincide.
    """
    truth, predicted = (np.asarray(points, np.float64) * size for points in (truth, predicted))
    interocular = MARKUPS[len(truth)].interocular(truth)
    if interocular == 0:
        return None
    return np.linalg.norm(predicted - truth, axis=-1) / interocular


def summarize(sums: np.ndarray) -> dict[str, float | np.ndarray]:
    """[4 + 2 L] -> values; means over no record are NaN.

    Args:
        sums: summed NME, failures, measured and skipped records; then each point's summed error, and each point's
            failures.
    """
    error, failures, measured, skipped = sums[:4]
    errors_of_points, failures_of_points = sums[4:].reshape(2, -1)
    return {
        "nme": float(ratio(error, measured)),
        "failure_rate": float(ratio(failures, measured)),
        "annotated": float(measured),
        "landmarks_skipped": float(skipped),
        "point_nme": ratio(errors_of_points, measured),
        "point_failure_rate": ratio(failures_of_points, measured),
    }


class LandmarkMetrics(SummedMetric):
    """TFMA metric on an output of points [B, L, 2] against the labels [B, 2 L]; `summarize` says what it emits.

    Records without points are left out; those whose annotated eyes coincide count as "landmarks_skipped" alone. Where a
    predicted point is not a number, it and its image are failures.

    Args:
        names: of the L points.
        **config: of SummedMetric.

    Raises:
        ValueError: if no mark-up has that many points; when it runs, if a record or the prediction has not that many.
    """

    def __init__(self, names: Sequence[str], **config):
        if len(names) not in MARKUPS:
            raise ValueError(f"No mark-up has {len(names)} points; NME is defined for {sorted(MARKUPS)}.")
        measure = functools.partial(_measure, num_landmarks=len(names))
        super().__init__(measure, np.zeros(4 + 2 * len(names)), summarize, names=names, **config)


def _measure(truth, predicted, features, num_landmarks):
    truth, predicted = truth.reshape(-1, 2), predicted.reshape(-1, 2)
    if len(truth) != num_landmarks or len(predicted) != num_landmarks:
        raise ValueError(
            f"Record {features['image/id'][0].decode()!r} has {len(truth)} landmarks, the model predicts "
            f"{len(predicted)}; the evaluation is configured for {num_landmarks}."
        )
    height, width = image_size(features["image/encoded"][0])
    errors = point_errors(truth, predicted, (width, height))
    if errors is None:
        return np.concatenate([[0, 0, 0, 1], np.zeros(2 * num_landmarks)])
    nme = errors.mean()
    failed, failed_points = ~(nme <= FAILURE_THRESHOLD), ~(errors <= FAILURE_THRESHOLD)  # NaN is a failure too
    return np.concatenate([[nme, failed, 1, 0], errors, failed_points])
