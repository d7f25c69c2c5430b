"""Normalised mean error (NME) and failure rate of landmarks, together and a point: formulas, and the TFMA metric.

NME is the mean distance between predicted and annotated points over the annotated inter-ocular distance, both in pixels
of the picture as found: normalised coordinates of a picture that is not square would weigh x and y differently.
"""

from __future__ import annotations

import functools
import io

import numpy as np
import PIL.Image
import tensorflow_model_analysis as tfma

from components.tasks.ratios import ratio
from components.tasks.summed_metric import summed_metric
from components.tasks.landmarks.markup import MARKUPS

FAILURE_THRESHOLD = 0.10  # a picture with a larger NME is a failure, and a point with a larger error


def point_errors(truth: np.ndarray, predicted: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
    """Errors of one picture's points; their mean is the picture's NME.

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


def image_size(encoded: bytes) -> tuple[int, int]:
    """Width and height that a JPEG's or PNG's header states; pixels are not decoded."""
    with PIL.Image.open(io.BytesIO(encoded)) as image:
        return image.size


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
        "landmark_count": float(measured),
        "landmarks_skipped": float(skipped),
        "point_nme": ratio(errors_of_points, measured),
        "point_failure_rate": ratio(failures_of_points, measured),
    }


class LandmarkMetrics(tfma.metrics.Metric):
    """TFMA metric on an output of landmarks [B, L, 2] against the labels [B, 2 L]; see `summarize` for what it emits.

    Records without landmarks are left out; those whose annotated eyes coincide are counted as `landmarks_skipped`.

    Args:
        num_landmarks: L.
        name: "nme", which thresholds apply to.
        failure_threshold: a picture with a larger NME, or with predictions that are not numbers, is a failure; so is a
            point with such an error.
        code: part of TFX's cache key only (see config.py).

    Raises:
        ValueError: if no mark-up has that many points; when it runs, if a record or the prediction has not that many.
    """

    def __init__(
        self, num_landmarks: int, name: str = "nme", failure_threshold: float = FAILURE_THRESHOLD, code: str = ""
    ):
        if num_landmarks not in MARKUPS:
            raise ValueError(f"No mark-up has {num_landmarks} points; NME is defined for {sorted(MARKUPS)}.")
        super().__init__(
            _computations, num_landmarks=num_landmarks, name=name, failure_threshold=failure_threshold, code=code
        )


def _computations(num_landmarks, name, failure_threshold, code, model_names=("",), output_names=("",)):
    del name, code
    measure = functools.partial(_measure, num_landmarks=num_landmarks, failure_threshold=failure_threshold)
    return summed_metric(measure, np.zeros(4 + 2 * num_landmarks), summarize, model_names, output_names)


def _measure(truth, predicted, features, num_landmarks, failure_threshold):
    truth, predicted = truth.reshape(-1, 2), predicted.reshape(-1, 2)
    if len(truth) != num_landmarks or len(predicted) != num_landmarks:
        raise ValueError(
            f"Record {features['image/id'][0].decode()!r} has {len(truth)} landmarks, the model predicts "
            f"{len(predicted)}; the evaluation is configured for {num_landmarks}."
        )
    errors = point_errors(truth, predicted, image_size(features["image/encoded"][0]))
    if errors is None:
        return np.concatenate([[0, 0, 0, 1], np.zeros(2 * num_landmarks)])
    nme = errors.mean()
    failed, failed_points = ~(nme <= failure_threshold), ~(errors <= failure_threshold)  # NaN is a failure too
    return np.concatenate([[nme, failed, 1, 0], errors, failed_points])
