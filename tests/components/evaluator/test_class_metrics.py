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


# The ranks of 20 records' classes: 14 are first, 3 second, 2 third, 1 last.
RANKS = np.array([14, 3, 2, 1])


def test_rank_of_a_class():
    scores = np.array([0.1, 0.7, 0.3, 0.3])
    assert [class_metrics.rank(label, scores) for label in range(4)] == [3, 0, 1, 2]  # of equal ones the first is first
    assert class_metrics.rank(2, np.array([-np.inf, -2.0, -1.0, -3.0])) == 0


def test_top_accuracy_worked_by_hand():
    assert [class_metrics.top_accuracy(RANKS, k) for k in (1, 2, 3, 4)] == pytest.approx([0.7, 0.85, 0.95, 1])
    assert math.isnan(class_metrics.top_accuracy(np.zeros(4, int), 3))


def test_summary_of_the_counts():
    values = summarize(np.vstack([COUNTS, RANKS]), top=(2, 3))
    assert (values["top_2_accuracy"], values["top_3_accuracy"]) == pytest.approx((0.85, 0.95))
    assert (values["accuracy"], values["mean_recall"], values["annotated"]) == pytest.approx((0.7, 1.55 / 3, 20))
    np.testing.assert_allclose(values["recall"], [0.75, 0.8, np.nan, 0])
    np.testing.assert_allclose(values["f1"], [0.8, 8 / 11, 0, 0])
    np.testing.assert_array_equal(values["confusion"], COUNTS)


def test_no_record_is_undefined_without_a_warning(recwarn):
    values = summarize(np.zeros((4, 3), np.int64), top=[2])
    assert all(math.isnan(values[name]) for name in (*class_metrics.MEANS, "top_2_accuracy"))
    assert np.isnan(values["recall"]).all() and np.isnan(values["f1"]).all()
    assert values["annotated"] == 0 and not recwarn.list


def test_counts_of_a_record():
    answers = [((0.2, 0.3, 0.5), 2, 1), ((0.1, 0.3, 0.1), 1, 0), ((-1.0, -np.inf, -2.0), 0, 2)]
    for scores, predicted, rank in answers:
        counts = _measure(np.array([1]), np.array(scores, np.float32), FEATURES, num_classes=3)
        assert np.argwhere(counts).tolist() == [[1, predicted], [3, rank]]
        assert counts.sum() == 2 and counts.dtype == np.int64


def test_sums_of_records_agree_with_scikit_learn():
    random = np.random.default_rng(2)
    labels, scores = random.integers(0, 5, 200), random.random((200, 5)) ** 2
    scores[np.arange(200), labels] += 0.3
    (computation,) = _computations(list("abcde"), [2, 4], "accuracy", "", output_names=["clothing"])
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
    for k in (2, 4):
        assert merged[f"top_{k}_accuracy"] == pytest.approx(sklearn_metrics.top_k_accuracy_score(labels, scores, k=k))
    assert merged["accuracy"] < merged["top_2_accuracy"] < merged["top_4_accuracy"] < 1
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
    with pytest.raises(ValueError, match="accuracy, mean_recall, top_2_accuracy; received 'top_3_accuracy'"):
        ClassMetrics(list("abcd"), top=[2], name="top_3_accuracy")


def test_a_top_accuracy_that_is_always_1_is_refused():
    ClassMetrics(list("abc"), top=[2])
    with pytest.raises(ValueError, match=r"Of 3 classes .* the 3 likeliest: top-3 accuracy needs more than 3 classes"):
        ClassMetrics(list("abc"), top=[2, 3])
