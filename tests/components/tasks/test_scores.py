"""Histograms of scores against numbers worked out by hand, and against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from components.tasks import scores


def _histogram(labels, shares):
    """Of records, [R, N] each."""
    return sum(scores.histogram(*record).astype(int) for record in zip(labels, shares, strict=True))


# Two attributes of six people; nobody has the second, and one isn't annotated with it.
LABELS = np.array([[1, 0], [0, 0], [1, 0], [1, -1], [0, 0], [0, 0]])
SHARES = np.array([[0.955, 0.1], [0.855, 0.1], [0.755, 0.1], [0.155, 0.9], [0.155, 0.1], [0.055, 0.3]])


def test_scores_as_probabilities():
    np.testing.assert_allclose(scores.probabilities(np.log([3, 1, 1 / 4]), "logits"), [0.75, 0.5, 0.2])
    np.testing.assert_allclose(scores.probabilities([-1000, 1000], "logits"), [0, 1])
    np.testing.assert_allclose(scores.probabilities([-1.2, 0, 0.5, 3], "signed"), [0, 0.5, 0.75, 1])
    np.testing.assert_allclose(scores.probabilities([0.0, 0.25, 1.0], "probabilities"), [0, 0.25, 1])


def test_a_record_is_counted_where_it_is_annotated():
    found = scores.histogram([1, 0, -1], [1.0, 0.999, 0.5])
    assert np.argwhere(found).tolist() == [[0, 1, 99], [1, 0, 99]]


def test_precision_and_recall_by_hand():
    precision, recall = scores.precision_and_recall(_histogram(LABELS, SHARES))
    at = [99 - threshold for threshold in (95, 85, 75, 15, 5)]
    np.testing.assert_allclose(precision[0, at], [1, 1 / 2, 2 / 3, 3 / 5, 3 / 6])
    np.testing.assert_allclose(recall[0, at], [1 / 3, 1 / 3, 2 / 3, 1, 1])
    assert np.isnan(precision[0, 0]) and recall[0, 0] == 0  # nothing is above 0.99
    assert np.isnan(recall[1]).all() and precision[1, -1] == 0


def test_average_precision_by_hand():
    found = scores.average_precision(_histogram(LABELS, SHARES))
    np.testing.assert_allclose(found, [1 / 3 * 1 + 1 / 3 * 2 / 3 + 1 / 3 * 3 / 5, np.nan])


def test_average_precision_is_scikit_learns_of_scores_in_hundredths():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, (200, 1))
    shares = np.clip(0.3 * labels + 0.7 * random.random((200, 1)), 0, 0.999)
    found = scores.average_precision(_histogram(labels, shares))
    hundredths = np.floor(shares * 100)
    assert found[0] == pytest.approx(sklearn_metrics.average_precision_score(labels.ravel(), hundredths.ravel()))


def test_calibration_by_hand():
    counts = _histogram(LABELS, SHARES)
    answers, expected, found = scores.reliability(counts)
    assert answers[0].tolist() == [1, 2, 0, 0, 0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(expected[0, [0, 1, 7, 8, 9]], [0.055, 0.155, 0.755, 0.855, 0.955])
    np.testing.assert_allclose(found[0, [0, 1, 7, 8, 9]], [0, 1 / 2, 1, 0, 1])
    assert np.isnan(expected[0, 2])
    by_hand = (1 * 0.055 + 2 * (0.5 - 0.155) + 1 * 0.245 + 1 * 0.855 + 1 * 0.045) / 6
    assert scores.calibration_error(counts)[0] == pytest.approx(by_hand)


def test_nothing_annotated_is_undefined_without_a_warning(recwarn):
    found = scores.summarize_scores(np.zeros((2, 3, scores.BINS), int))
    assert np.isnan([found["mean_average_precision"], found["mean_calibration_error"]]).all()
    assert not recwarn.list
