"""How far scores can be relied on: precision and recall at any threshold, and whether 0.8 is right in 8 of 10 cases.

All of it follows from histograms, [2, N, BINS] integers: for N attributes or classes how many answers have which
probability, of the images without it and of those with it. What would be 0/0 is NaN.
"""

from __future__ import annotations

import numpy as np

from components.tasks.ratios import mean_of_defined, ratio

BINS = 100
CALIBRATION_BINS = 10


def probabilities(scores: np.ndarray, kind: str) -> np.ndarray:
    """Scores as probabilities of a yes, of the same shape, float64 in [0, 1].

    Args:
        kind: "probabilities"; "logits"; or "signed", trained towards +1 and -1 by the squared error, whose best answer
            is the mean 2 p - 1.
    """
    scores = np.asarray(scores, np.float64)
    if kind == "logits":
        # tanh saturates where exp would overflow.
        return (1 + np.tanh(scores / 2)) / 2
    return np.clip((scores + 1) / 2 if kind == "signed" else scores, 0, 1)


def histogram(labels: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """One record's histogram, uint8: small, since it travels to every slice that the record is in.

    Args:
        labels: [N] 1, 0, or -1 where not annotated.
        shares: [N] probabilities; 1 belongs to the last bin.
    """
    labels = np.asarray(labels, np.int64)
    found = np.zeros((2, labels.size, BINS), np.uint8)
    (known,) = np.nonzero(labels >= 0)
    bins = np.minimum((np.asarray(shares)[known] * BINS).astype(int), BINS - 1)
    found[labels[known], known, bins] = 1
    return found


def precision_and_recall(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two [N, BINS]: at the thresholds BINS - 1, ..., 1, 0 of BINS, so that recall rises.

    Precision is NaN as long as nothing is above the threshold, recall where no image has the label.
    """
    false, true = counts[..., ::-1].cumsum(axis=-1)
    return ratio(true, true + false), ratio(true, np.broadcast_to(true[..., -1:], true.shape))


def average_precision(counts: np.ndarray) -> np.ndarray:
    """[N] AP = Σ (R_n - R_{n-1}) P_n over falling thresholds; NaN where no image has the label."""
    precision, recall = precision_and_recall(counts)
    steps = np.diff(recall, prepend=0.0)
    return np.where(np.isnan(recall[:, -1]), np.nan, (steps * np.nan_to_num(precision)).sum(axis=-1))


def reliability(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three [N, CALIBRATION_BINS]: answers, their mean probability, and the share of them whose label is yes."""
    middles = (np.arange(BINS) + 0.5) / BINS
    parts = (*counts.shape[:-1], CALIBRATION_BINS, BINS // CALIBRATION_BINS)
    by_bin = counts.reshape(parts).sum(axis=-1)
    expected = (counts.sum(axis=0) * middles).reshape(parts[1:]).sum(axis=-1)
    answers = by_bin.sum(axis=0)
    return answers, ratio(expected, answers), ratio(by_bin[1], answers)


def calibration_error(counts: np.ndarray) -> np.ndarray:
    """[N] expected calibration error Σ_b n_b / n |share of yes in b - mean probability in b| (Naeini et al. 2015).

    Probabilities count as the middle of their hundredth, so that it is right to 0.005.
    """
    answers, expected, found = reliability(counts)
    total = answers.sum(axis=-1)
    return ratio(np.nansum(answers * np.abs(found - expected), axis=-1), total)


def summarize_scores(counts: np.ndarray) -> dict[str, float | np.ndarray]:
    """A histogram's values by name: means over what is defined, [N] arrays, and the histogram itself."""
    precisions, errors = average_precision(counts), calibration_error(counts)
    return {
        "mean_average_precision": mean_of_defined(precisions),
        "mean_calibration_error": mean_of_defined(errors),
        "average_precision": precisions,
        "calibration_error": errors,
        "histogram": counts,
    }
