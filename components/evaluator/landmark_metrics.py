"""Normalised mean error (NME) and failure rate of landmarks: formulas, and the TFMA metric around them.

NME is the mean distance between predicted and annotated points over the annotated inter-ocular distance, both in pixels
of the picture as found: normalised coordinates of a picture that is not square would weigh x and y differently.
"""

from __future__ import annotations

import functools
import io

import numpy as np
import PIL.Image
import tensorflow_model_analysis as tfma

from components.evaluator.summed_metric import summed_metric
from components.landmark_markup import MARKUPS

FAILURE_THRESHOLD = 0.10  # a picture with a larger NME is a failure


def normalised_mean_error(truth: np.ndarray, predicted: np.ndarray, size: tuple[int, int]) -> float | None:
    """NME of one picture.

    Args:
        truth: [L, 2] annotated x, y in [0, 1] of the image.
        predicted: [L, 2] likewise.
        size: width and height in pixels.

    Returns:
        The error as a fraction of the inter-ocular distance; None if the annotated eyes coincide.

    Raises:
        ValueError: if the numbers of points differ, or no mark-up has that many.
    """
    if len(truth) != len(predicted):
        raise ValueError(f"The record has {len(truth)} landmarks, the model predicts {len(predicted)}.")
    if len(truth) not in MARKUPS:
        raise ValueError(f"No mark-up has {len(truth)} points; NME is defined for {sorted(MARKUPS)}.")
    truth, predicted = (np.asarray(points, np.float64) * size for points in (truth, predicted))
    interocular = MARKUPS[len(truth)].interocular(truth)
    if interocular == 0:
        return None
    return float(np.linalg.norm(predicted - truth, axis=-1).mean() / interocular)


def image_size(encoded: bytes) -> tuple[int, int]:
    """Width and height that a JPEG's or PNG's header states; pixels are not decoded."""
    with PIL.Image.open(io.BytesIO(encoded)) as image:
        return image.size


def summarize(sums: np.ndarray) -> dict[str, float]:
    """[4] summed error, failures, measured and skipped records -> values; means over no record are NaN."""
    error, failures, measured, skipped = sums
    return {
        "nme": float(error / measured) if measured else float("nan"),
        "failure_rate": float(failures / measured) if measured else float("nan"),
        "landmark_count": float(measured),
        "landmarks_skipped": float(skipped),
    }


class LandmarkMetrics(tfma.metrics.Metric):
    """TFMA metric on an output of landmarks [B, L, 2] against the labels [B, 2 L]; see `summarize` for what it emits.

    Records without landmarks are left out; those whose annotated eyes coincide are counted as `landmarks_skipped`.

    Args:
        name: "nme", which thresholds apply to.
        failure_threshold: a picture with a larger NME, or with predictions that are not numbers, is a failure.
        code: part of TFX's cache key only (see config.py).
    """

    def __init__(self, name: str = "nme", failure_threshold: float = FAILURE_THRESHOLD, code: str = ""):
        super().__init__(_computations, name=name, failure_threshold=failure_threshold, code=code)


def _computations(name, failure_threshold, code, model_names=("",), output_names=("",)):
    del name, code
    measure = functools.partial(_measure, failure_threshold=failure_threshold)
    return summed_metric(measure, np.zeros(4), summarize, model_names, output_names)


def _measure(truth, predicted, features, failure_threshold):
    size = image_size(features["image/encoded"][0])
    error = normalised_mean_error(truth.reshape(-1, 2), predicted.reshape(-1, 2), size)
    if error is None:
        return np.array([0.0, 0.0, 0.0, 1.0])
    return np.array([error, not error <= failure_threshold, 1.0, 0.0])  # NaN is a failure too
