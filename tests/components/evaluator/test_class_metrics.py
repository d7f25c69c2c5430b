"""Class formulas against numbers worked out by hand and against scikit-learn; a record's counts; what is refused."""

import math
import pickle

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from components.evaluator import class_metrics
from components.evaluator.class_metrics import ClassMetrics, _computations, _measure, summarize

# Anger is taken for joy twice, joy for anger once; fear is predicted but never true, calm is true but never predicted.
COUNTS = np.array([[6, 2, 0, 0], [1, 8, 1, 0], [0, 0, 0, 0], [0, 2, 0, 0]])
NEITHER = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])  # nothing is the third class, in truth or by prediction
FEATURES = {"image/id": np.array([b"7.png"], object)}


def test_formulas_worked_by_hand():
    assert class_metrics.accuracy(COUNTS) == pytest.approx(14 / 20)
    np.testing.assert_allclose(class_metrics.recall(COUNTS), [6 / 8, 8 / 10, np.nan, 0])
    np.testing.assert_allclose(class_metrics.f1(COUNTS), [12 / 15, 16 / 22, 0, 0])
    assert class_metrics.mean_recall(COUNTS) == pytest.approx((6 / 8 + 8 / 10 + 0) / 3)  # without fear


def test_a_class_that_does_not_occur_is_undefined():
    for formula in (class_metrics.recall, class_metrics.f1):
        np.testing.assert_array_equal(np.isnan(formula(NEITHER)), [False, False, True])
    assert class_metrics.mean_recall(NEITHER) == pytest.approx((3 / 4 + 1) / 2)


def test_f1_lies_between_recall_and_precision():
    counts = np.random.default_rng(0).integers(1, 50, (7, 7))
    both = class_metrics.recall(counts), counts.diagonal() / counts.sum(axis=0)
    f1 = class_metrics.f1(counts)
    assert (np.min(both, axis=0) <= f1).all() and (f1 <= np.max(both, axis=0)).all()
    np.testing.assert_allclose(f1, 2 / (1 / both[0] + 1 / both[1]))


def test_a_constant_answer_has_the_mean_recall_of_chance():
    counts = np.zeros((4, 4), int)
    counts[:, 2] = [5, 20, 60, 15]
    assert (class_metrics.accuracy(counts), class_metrics.mean_recall(counts)) == pytest.approx((0.6, 0.25))


def test_summary_of_the_counts():
    values = summarize(COUNTS)
    assert (values["accuracy"], values["mean_recall"], values["annotated"]) == pytest.approx((0.7, 1.55 / 3, 20))
    np.testing.assert_allclose(values["recall"], [0.75, 0.8, np.nan, 0])
    np.testing.assert_allclose(values["f1"], [0.8, 8 / 11, 0, 0])
    np.testing.assert_array_equal(values["confusion"], COUNTS)


def test_no_record_is_undefined_without_a_warning(recwarn):
    values = summarize(np.zeros((3, 3), np.int64))
    assert all(math.isnan(values[name]) for name in class_metrics.MEANS)
    assert np.isnan(values["recall"]).all() and np.isnan(values["f1"]).all()
    assert values["annotated"] == 0 and not recwarn.list


def test_counts_of_a_record():
    for scores, predicted in [((0.2, 0.3, 0.5), 2), ((0.6, 0.3, 0.1), 0), ((-1.0, -np.inf, -2.0), 0)]:
        counts = _measure(np.array([1]), np.array(scores, np.float32), FEATURES, num_classes=3)
        assert np.argwhere(counts).tolist() == [[1, predicted]] and counts.sum() == 1 and counts.dtype == np.int64


def test_sums_of_records_agree_with_scikit_learn():
    random = np.random.default_rng(2)
    labels, scores = random.integers(0, 5, 200), random.random((200, 5)) ** 2
    scores[np.arange(200), labels] += 0.3
    (computation,) = _computations(list("abcde"), "accuracy", "", output_names=["emotion"])
    combine = pickle.loads(pickle.dumps(computation.combiner))
    records = [_measure(np.array([k]), s, FEATURES, num_classes=5) for k, s in zip(labels, scores, strict=True)]
    halves = []
    for half in (records[:60], records[60:], []):
        total = combine.create_accumulator()
        for one in half:
            total = combine.add_input(total, one)
        halves.append(total)
    merged = {key.name: value for key, value in combine.extract_output(combine.merge_accumulators(halves)).items()}
    pair = labels, scores.argmax(axis=1)
    np.testing.assert_array_equal(merged["confusion"], sklearn_metrics.confusion_matrix(*pair))
    np.testing.assert_allclose(merged["recall"], sklearn_metrics.recall_score(*pair, average=None))
    np.testing.assert_allclose(merged["f1"], sklearn_metrics.f1_score(*pair, average=None))
    assert merged["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(*pair))
    assert merged["mean_recall"] == pytest.approx(sklearn_metrics.balanced_accuracy_score(*pair))
    assert merged["annotated"] == 200


@pytest.mark.parametrize("label, received", [([3], "3"), ([-1], "-1"), ([0, 1], "0, 1")])
def test_a_label_that_is_no_class_is_an_error(label, received):
    expected = f"has the label {received}; expected the index of one of 3 classes"
    with pytest.raises(ValueError, match=rf"Record '7\.png' {expected}"):
        _measure(np.array(label), np.ones(3), FEATURES, num_classes=3)


@pytest.mark.parametrize("shape", [(2,), (4,), (), (3, 1)])
def test_scores_that_do_not_fit_the_classes_are_an_error(shape):
    with pytest.raises(ValueError, match=r"Record '7\.png': .* shape \(.*\); expected a score for each of 3 classes"):
        _measure(np.array([0]), np.ones(shape), FEATURES, num_classes=3)


def test_a_score_that_is_no_number_is_an_error():
    with pytest.raises(
        ValueError, match=r"Record '7\.png': the model gives the scores \[0\.2 nan 0\.1\]; expected num"
    ):
        _measure(np.array([0]), np.array([0.2, np.nan, 0.1]), FEATURES, num_classes=3)


def test_threshold_can_only_apply_to_a_mean():
    with pytest.raises(ValueError, match="accuracy, mean_recall; received 'f1'"):
        ClassMetrics(["anger", "joy"], name="f1")
