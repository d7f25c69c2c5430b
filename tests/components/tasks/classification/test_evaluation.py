"""Class formulas against numbers worked out by hand and against scikit-learn; a record's counts; what is refused."""

import json
import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from components.config import Bar, Task
from components.tasks import ratios
from components.tasks.annotation import Annotation, BoundTask
from components.tasks.classification import evaluation
from components.tasks.classification.evaluation import ClassificationMetrics, _measure, summarize
from tests.support.metrics import combined

# Anger is taken for joy twice, joy for anger once; fear is predicted but never true, calm is true but never predicted.
COUNTS = np.array([[6, 2, 0, 0], [1, 8, 1, 0], [0, 0, 0, 0], [0, 2, 0, 0]])
NEITHER = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])  # nothing is the third class, in truth or by prediction
FEATURES = {"image/id": np.array([b"7.png"], object)}


def test_formulas_worked_by_hand():
    assert ratios.accuracy(COUNTS) == pytest.approx(14 / 20)
    np.testing.assert_allclose(evaluation.recall(COUNTS), [6 / 8, 8 / 10, np.nan, 0])
    np.testing.assert_allclose(ratios.f1(COUNTS), [12 / 15, 16 / 22, 0, 0])
    assert ratios.mean_of_defined(evaluation.recall(COUNTS)) == pytest.approx((6 / 8 + 8 / 10 + 0) / 3)  # without fear


def test_a_class_that_does_not_occur_is_undefined():
    for formula in (evaluation.recall, ratios.f1):
        np.testing.assert_array_equal(np.isnan(formula(NEITHER)), [False, False, True])
    assert ratios.mean_of_defined(evaluation.recall(NEITHER)) == pytest.approx((3 / 4 + 1) / 2)


def test_f1_lies_between_recall_and_precision():
    counts = np.random.default_rng(0).integers(1, 50, (7, 7))
    both = evaluation.recall(counts), counts.diagonal() / counts.sum(axis=0)
    f1 = ratios.f1(counts)
    assert (np.min(both, axis=0) <= f1).all() and (f1 <= np.max(both, axis=0)).all()
    np.testing.assert_allclose(f1, 2 / (1 / both[0] + 1 / both[1]))


def test_a_constant_answer_has_the_mean_recall_of_chance():
    counts = np.zeros((4, 4), int)
    counts[:, 2] = [5, 20, 60, 15]
    assert (ratios.accuracy(counts), ratios.mean_of_defined(evaluation.recall(counts))) == pytest.approx((0.6, 0.25))


# The ranks of 20 records' classes: 14 are first, 3 second, 2 third, 1 last.
RANKS = np.array([14, 3, 2, 1])


def test_rank_of_a_class():
    scores = np.array([0.1, 0.7, 0.3, 0.3])
    assert [evaluation.rank(label, scores) for label in range(4)] == [3, 0, 1, 2]  # of equal ones the first is first
    assert evaluation.rank(2, np.array([-np.inf, -2.0, -1.0, -3.0])) == 0


def test_top_accuracy_worked_by_hand():
    assert [evaluation.top_accuracy(RANKS, k) for k in (1, 2, 3, 4)] == pytest.approx([0.7, 0.85, 0.95, 1])
    assert math.isnan(evaluation.top_accuracy(np.zeros(4, int), 3))


def test_summary_of_the_counts():
    values = summarize(np.vstack([COUNTS, RANKS]), top=(2, 3))
    assert (values["top_2_accuracy"], values["top_3_accuracy"]) == pytest.approx((0.85, 0.95))
    assert (values["accuracy"], values["mean_recall"], values["annotated"]) == pytest.approx((0.7, 1.55 / 3, 20))
    np.testing.assert_allclose(values["recall"], [0.75, 0.8, np.nan, 0])
    np.testing.assert_allclose(values["f1"], [0.8, 8 / 11, 0, 0])
    np.testing.assert_array_equal(values["confusion"], COUNTS)


def test_no_record_is_undefined_without_a_warning(recwarn):
    values = summarize(np.zeros((4, 3), np.int64), top=[2])
    assert all(math.isnan(values[name]) for name in ("accuracy", "mean_recall", "top_2_accuracy"))
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
    (computation,) = ClassificationMetrics(list("abcde"), [2, 4], task="mood").computations(
        model_names=[""], output_names=["mood"]
    )
    records = [_measure(np.array([k]), s, FEATURES, num_classes=5) for k, s in zip(labels, scores, strict=True)]
    merged = combined(computation, records)
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


def _bound(classes, top, bar=None):
    task = Task("mood", "classification", {"top": top}, bar and Bar(bar, at_least=0.5))
    return BoundTask(task, Annotation("classification", tuple(classes)), "by_hand")


@pytest.mark.parametrize("count, top", [(3, []), (4, [3]), (5, [3]), (6, [3, 5])])
def test_top_accuracies_that_are_not_always_1(count, top):
    spec, scores = evaluation.specs(_bound("abcdef"[:count], [3, 5]))
    assert scores.metrics[0].class_name == "ClassScores"
    assert json.loads(spec.metrics[0].config)["top"] == top


@pytest.mark.parametrize("top", [[], [3]])
def test_a_bar_on_what_is_not_measured_is_refused(top):
    expected = "bar of task 'mood' applies to 'top_5_accuracy', which isn't measured .* accuracy, .*mean_recall"
    with pytest.raises(ValueError, match=expected):
        evaluation.specs(_bound("abcdef", top, bar="top_5_accuracy"))


def test_figures():
    values = summarize(np.vstack([COUNTS, RANKS]), top=[3])
    found = {figure.name: figure.value for figure in evaluation.figures(_bound("abcd", [3, 5]), values)}
    assert found == pytest.approx(
        {
            "mood accuracy": 0.7,
            "mood top-3 accuracy": 0.95,
            "mood always the commonest": 10 / 20,
            "mood mean recall": 1.55 / 3,
        }
    )
