"""Top-10 recall against numbers worked out by hand, and what is refused."""

import math

import numpy as np
import pytest

from components.evaluator.score_metrics import _measure, matched, summarize

FEATURES = {"image/id": np.array([b"7.jpg"], object)}


def test_matched_worked_by_hand():
    scores = [0.9, 0.1, 0.8, 0.3, 0.7]  # in order: 0, 2, 4, 3, 1
    labels = [1, 1, 0, 1, 0]
    assert [matched(labels, scores, top).tolist() for top in range(1, 6)] == [[1, 3], [1, 3], [1, 3], [2, 3], [3, 3]]
    assert matched([0] * 5, scores, 3).tolist() == [0, 0]


def test_of_equal_scores_the_first_are_assigned():
    assert matched([0, 1, 0, 1], [0.5] * 4, top=2).tolist() == [1, 2]


def test_the_ten_best_of_twelve():
    scores = np.arange(12.0)
    for missed in range(3):
        labels = np.zeros(12, int)
        labels[[0, 1][:missed]] = 1
        labels[5:8] = 1
        assert matched(labels, scores).tolist() == [3, 3 + missed]


def test_recall_is_pooled_over_records():
    """1 of 1 and 1 of 4: the mean over records would be 0.625."""
    sums = matched([1, 0, 0, 0, 0], [5, 4, 3, 2, 1], 1) + matched([1, 1, 1, 1, 0], [5, 4, 3, 2, 1], 1)
    assert summarize(sums) == {"top_10_recall": pytest.approx(2 / 5)}


@pytest.mark.parametrize("count", [1, 9, 10])
def test_with_ten_attributes_or_fewer_the_recall_is_1(count):
    random = np.random.default_rng(count)
    records = [matched(labels, random.random(count)) for labels in random.integers(0, 2, (20, count))]
    assert summarize(sum(records))["top_10_recall"] == 1


def test_at_random_ten_of_forty_find_a_quarter():
    random = np.random.default_rng(0)
    sums = sum(matched(labels, random.random(40)) for labels in random.random((2000, 40)) < 0.2)
    assert summarize(sums)["top_10_recall"] == pytest.approx(0.25, abs=0.02)


def test_nobody_has_an_attribute(recwarn):
    assert math.isnan(summarize(np.zeros(2, np.int64))["top_10_recall"]) and not recwarn.list


@pytest.mark.parametrize("labels, scores", [(3, 2), (2, 3), (3, 3)])
def test_another_number_of_attributes_is_an_error(labels, scores):
    expected = f"{labels} attribute labels, the model gives {scores} scores; .* configured for 2 attributes"
    with pytest.raises(ValueError, match=rf"'7\.jpg' has {expected}"):
        _measure(np.ones(labels), np.ones(scores), FEATURES, num_attributes=2)


def test_a_score_that_is_no_number_is_an_error():
    with pytest.raises(ValueError, match=r"'7\.jpg': the model gives the scores \[0\.2 nan\]; expected numbers"):
        _measure(np.ones(2), np.array([0.2, np.nan]), FEATURES, num_attributes=2)
