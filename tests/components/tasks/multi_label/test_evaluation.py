"""Formulas of yes-or-no labels against numbers worked out by hand and scikit-learn; the sum against any partition."""

import math
import pickle

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from components.config import Bar, Task
from components.tasks.annotation import Annotation, BoundTask
from components.tasks.multi_label import evaluation
from components.tasks.multi_label.evaluation import (
    MultiLabelMetrics,
    _measure_decisions,
    _measure_histogram,
    _measure_scores,
    matched,
    outcomes,
    recall,
    summarize,
    widest_gap,
)
from components.tasks.summed_metric import PARTS, error_of

# Columns: one attribute with every outcome, one without negatives, one without a single positive, one all wrong.
COUNTS = np.array([[6, 8, 0, 0], [2, 0, 0, 5], [1, 2, 0, 5], [1, 0, 10, 0]])
FEATURES = {"image/id": np.array([b"7.jpg"], object)}


def _bound(*names, bar=None):
    return BoundTask(Task("smile", "multi_label", bar=bar), Annotation("multi_label", names), "by_hand")


def _sums(records):
    """Of (labels, decisions) of records."""
    count = len(records[0][0])
    return sum(_measure_decisions(np.array(t), np.array(d), FEATURES, count) for t, d in records)


def test_outcomes_of_one_record():
    np.testing.assert_array_equal(outcomes([1, 0, 1, 0], [1, 1, 0, 0]), np.eye(4, dtype=int))


def test_what_is_not_annotated_is_no_negative():
    np.testing.assert_array_equal(
        outcomes([-1, -1, 1, 0], [1, 0, 1, 0]), [[0, 0, 1, 0], [0] * 4, [0] * 4, [0, 0, 0, 1]]
    )
    # The first attribute is annotated in two records, the second in one, the third in none; the last record in nothing.
    records = [((1, 0, -1), (1, 1, 1)), ((0, -1, -1), (1, 0, 0)), ((-1, -1, -1), (0, 0, 0))]
    values = summarize(_sums(records))
    np.testing.assert_array_equal(
        [values[name] for name in evaluation.COUNTS], [[1, 0, 0], [1, 1, 0], [0] * 3, [0] * 3]
    )
    np.testing.assert_array_equal(values["accuracy"], [1 / 2, 0, np.nan])
    np.testing.assert_array_equal(values["positive_rate_true"], [1 / 2, 0, np.nan])
    assert (values["mean_accuracy"], values["annotated"]) == (1 / 4, 2)


def test_formulas_worked_by_hand():
    np.testing.assert_allclose(evaluation.accuracy(COUNTS), [0.7, 0.8, 1.0, 0.0])
    np.testing.assert_allclose(evaluation.balanced_accuracy(COUNTS), [(6 / 7 + 1 / 3) / 2, np.nan, np.nan, 0.0])
    np.testing.assert_allclose(evaluation.f1(COUNTS), [12 / 15, 16 / 18, np.nan, 0.0])
    of_labels, of_decisions = evaluation.positive_rates(COUNTS)
    np.testing.assert_allclose(of_labels, [0.7, 1.0, 0.0, 0.5])
    np.testing.assert_allclose(of_decisions, [0.8, 0.8, 0.0, 0.5])


def test_false_rates_by_hand():
    positives, negatives = evaluation.false_rates(COUNTS)
    np.testing.assert_allclose(positives, [2 / 3, np.nan, 0, 1])
    np.testing.assert_allclose(negatives, [1 / 7, 2 / 10, np.nan, 1])


def test_mistakes_are_compared_over_the_labels_that_all_sides_have():
    """Of two labels the first is no one's on the second side; each side has 20 parts of the counts below."""
    one = np.array([[2, 3], [1, 1], [2, 1], [3, 3]])  # of each label 8 images: TP, FP, FN, TN
    other = np.array([[0, 1], [4, 2], [0, 3], [4, 2]])
    sides = []
    for counts in (one, other):
        parts = np.tile(np.append(counts, 8), (20, 1))
        sides.append({**summarize(parts.sum(axis=0)), "parts": parts})
    found = evaluation.mistakes(_bound("beard", "smile"), sides)
    assert [figure.name for figure in found[0]] == ["smile mean false positive rate", "smile mean false negative rate"]
    values = [[figure.value for figure in figures] for figures in found]
    np.testing.assert_allclose(values, [[(1 / 4 + 1 / 4) / 2, 1 / 4], [(4 / 8 + 2 / 4) / 2, 3 / 4]])
    assert all(figure.interval is None for figures in found for figure in figures), "all parts are alike"
    sides[0]["parts"] = np.array([np.append(one + np.outer([1, 0, 0, 0], [0, part % 2]), 8) for part in range(20)])
    assert evaluation.mistakes(_bound("beard", "smile"), sides)[0][1].error > 0


def test_errors_are_of_what_all_sides_have():
    """The first label isn't annotated on the second side; of the other half of 20 parts of an image each are right.

    Without one part the accuracy is 9 or 10 of 19: √19 times half of the difference is 0.1147.
    """
    right, wrong = np.array([[1, 1], [0, 0], [0, 0], [0, 0]]), np.array([[0, 0], [0, 0], [1, 1], [0, 0]])
    parts = np.array([np.append(wrong if part % 2 else right, 1) for part in range(20)])
    without = parts.copy()
    without[:, [0, 4]] = 0
    sides = [{**summarize(each.sum(axis=0)), "parts": each} for each in (parts, without)]
    np.testing.assert_allclose(evaluation.shared_errors("mean_accuracy", sides), [0.1147, 0.1147], atol=1e-4)


def test_a_record_s_scores_are_counted_as_probabilities():
    labels = np.array([1, 0, -1])
    for scores, kind in (([0.5, -0.5, 0], "signed"), ([0.75, 0.25, 0.5], "probabilities")):
        found = _measure_histogram(labels, np.array(scores), FEATURES, 3, kind)
        assert np.argwhere(found).tolist() == [[0, 1, 25], [1, 0, 75]]
    with pytest.raises(ValueError, match=r"'7\.jpg': the model gives the scores .*nan.*; expected numbers"):
        _measure_histogram(labels, np.array([0.5, np.nan, 0]), FEATURES, 3, "logits")


def test_undefined_attributes_are_left_out_of_the_means():
    values = summarize(np.append(COUNTS, 10))
    assert values["mean_accuracy"] == pytest.approx(2.5 / 4)
    assert values["mean_balanced_accuracy"] == pytest.approx((6 / 7 + 1 / 3) / 4)
    assert values["mean_f1"] == pytest.approx((12 / 15 + 16 / 18 + 0) / 3)
    assert values["annotated"] == 10


def test_no_record_is_undefined_without_a_warning(recwarn):
    values = summarize(np.zeros(9, int))
    assert all(math.isnan(values[name]) for name in evaluation.MEANS)
    assert values["annotated"] == 0 and not recwarn.list


def test_agrees_with_scikit_learn():
    random = np.random.default_rng(0)
    labels, decisions = random.random((2, 500, 12)) < random.uniform(0.05, 0.95, (2, 1, 12))
    values = summarize(_sums(list(zip(labels.astype(int), decisions, strict=True))))
    for name, reference in {
        "accuracy": sklearn_metrics.accuracy_score,
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score,
        "f1": sklearn_metrics.f1_score,
    }.items():
        expected = [reference(labels[:, k], decisions[:, k]) for k in range(12)]
        np.testing.assert_allclose(values[name], expected, rtol=1e-12)
        assert values[f"mean_{name}"] == pytest.approx(np.mean(expected), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_sum_is_exact_over_any_bundles(seed):
    random = np.random.default_rng(seed)
    records = [_sums([pair]) for pair in random.integers(-1, 2, (200, 2, 7))]
    (computation,) = MultiLabelMetrics(list("abcdefg"), task="smile").computations(
        model_names=[""], output_names=["smile_decisions"]
    )
    combine = pickle.loads(pickle.dumps(computation.combiner))
    bundles = np.split(random.permutation(200), np.sort(random.integers(0, 201, 6)))  # some of them empty
    sums = []
    for bundle in bundles:
        total = combine.create_accumulator()
        for index in bundle:
            total = combine.add_input(total, (index % PARTS, records[index]))
        sums.append(total)
    found = combine.extract_output(combine.merge_accumulators(sums))
    merged = {key.name: value for key, value in found.items() if error_of(key.name) is None}
    assert merged.pop("parts").sum(axis=0).tolist() == sum(records).tolist()
    at_once = summarize(sum(records))
    assert merged.keys() == at_once.keys()
    for name, value in merged.items():
        np.testing.assert_array_equal(value, at_once[name])


@pytest.mark.parametrize("labels, answers", [(3, 2), (2, 3), (3, 3)])
def test_another_number_of_attributes_is_an_error(labels, answers):
    for measure, what in ((_measure_decisions, "decisions"), (_measure_scores, "scores")):
        expected = f"{labels} attribute labels, the model gives {answers} {what}; .* configured for 2 attributes"
        with pytest.raises(ValueError, match=rf"'7\.jpg' has {expected}"):
            measure(np.ones(labels), np.ones(answers), FEATURES, count=2)


def test_matched_worked_by_hand():
    scores = [0.9, 0.1, 0.8, 0.3, 0.7]  # in order: 0, 2, 4, 3, 1
    labels = [1, 1, 0, 1, 0]
    found = {1: [1, 0, 0, 0, 0], 2: [1, 0, 0, 0, 0], 3: [1, 0, 0, 0, 0], 4: [1, 0, 0, 1, 0], 5: [1, 1, 0, 1, 0]}
    assert {top: matched(labels, scores, top).tolist() for top in found} == {k: v + labels for k, v in found.items()}
    assert not matched([0] * 5, scores, 3).any()


def test_what_is_not_annotated_takes_no_place_among_the_best():
    assert matched([-1, 1, -1, 1, 0], [0.9, 0.1, 0.8, 0.3, 0.7], top=2).tolist() == [0, 0, 0, 1, 0, 0, 1, 0, 1, 0]
    assert not matched([-1] * 3, [0.3, 0.2, 0.1], top=2).any()


def test_of_equal_scores_the_first_are_assigned():
    assert matched([0, 1, 0, 1], [0.5] * 4, top=2).tolist() == [0, 1, 0, 0, 0, 1, 0, 1]


def test_the_ten_best_of_twelve():
    scores = np.arange(12.0)
    for missed in range(3):
        labels = np.zeros(12, int)
        labels[[0, 1][:missed]] = 1
        labels[5:8] = 1
        found, had = matched(labels, scores).reshape(2, -1)
        assert (found.sum(), had.sum()) == (3, 3 + missed) and found[5:8].all()


def test_recall_is_a_mean_over_attributes():
    """The first is found in 2 of 2 records, the second in 0 of 1, the third in 1 of 2; the fourth nobody has."""
    labels, scores = ([1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0]), ([4, 3, 2, 1], [4, 3, 2, 1], [1, 2, 4, 3])
    sums = sum(matched(*record, top=1) for record in zip(labels, scores, strict=True))
    assert sums.tolist() == [2, 0, 1, 0, 2, 1, 2, 0]
    assert recall(sums) == {"top_10_recall": (1 + 0 + 0.5) / 3, "pooled_top_10_recall": 3 / 5}


def test_at_random_ten_of_forty_find_a_quarter():
    random = np.random.default_rng(0)
    sums = sum(matched(labels, random.random(40)) for labels in random.random((2000, 40)) < 0.2)
    assert recall(sums) == pytest.approx({"top_10_recall": 0.25, "pooled_top_10_recall": 0.25}, abs=0.02)


def test_nobody_has_an_attribute(recwarn):
    assert all(map(math.isnan, recall(np.zeros(2 * 3, np.int64)).values())) and not recwarn.list


def test_a_score_that_is_no_number_is_an_error():
    with pytest.raises(ValueError, match=r"'7\.jpg': the model gives the scores \[0\.2 nan\]; expected numbers"):
        _measure_scores(np.ones(2), np.array([0.2, np.nan]), FEATURES, count=2)


def test_recall_is_measured_where_there_are_more_than_ten_and_not_at_iterations():
    outputs = {
        count: [spec.output_names[0] for spec in evaluation.specs(_bound(*map(str, range(count))))]
        for count in (10, 11)
    }
    assert outputs == {10: ["smile_decisions", "smile"], 11: ["smile_decisions", "smile", "smile"]}
    (spec,) = evaluation.specs(_bound(*map(str, range(11))), 2)
    assert spec.output_names == ["smile_decisions_iter2"]


def test_no_bar_applies_to_the_scores():
    bar = Bar("mean_f1", at_least=0.5)
    decisions, *scores = (spec.metrics[0] for spec in evaluation.specs(_bound(*map(str, range(11)), bar=bar)))
    assert len(decisions.per_slice_thresholds) == 1 and len(scores) == 2
    assert not any(each.per_slice_thresholds for each in scores)


def test_labels_that_are_never_given():
    """Of three that nobody is given, one that nobody has."""
    counts = np.array([[0, 0, 0, 1], [0, 0, 0, 0], [2, 0, 3, 0], [3, 5, 2, 4]])
    assert evaluation.never_said(summarize(np.append(counts, 5))).tolist() == [0, 2]


def test_figures():
    task = _bound(*"abcd")
    of_scores = {"mean_average_precision": 0.7, "mean_calibration_error": 0.1}
    recalls = {"top_10_recall": 0.25, "pooled_top_10_recall": 0.5}
    values = {**summarize(np.append(COUNTS, 10)), **of_scores, **recalls}
    found = {figure.name: figure.value for figure in evaluation.figures(task, values)}
    assert found == pytest.approx(
        {
            "smile labels never given": 0,
            "smile mean accuracy": 2.5 / 4,
            "smile always the commoner class": (0.7 + 1 + 1 + 0.5) / 4,
            "smile mean balanced accuracy": (6 / 7 + 1 / 3) / 4,
            "smile mean F1": (12 / 15 + 16 / 18 + 0) / 3,
            "smile mean false positive rate": (2 / 3 + 0 / 10 + 5 / 5) / 3,
            "smile mean false negative rate": (1 / 7 + 2 / 10 + 5 / 5) / 3,
            "smile mean average precision": 0.7,
            "smile calibration error": 0.1,
            "smile top-10 recall": 0.25,
            "smile top-10 recall, pooled": 0.5,
        }
    )
    del values["top_10_recall"]
    assert list(found)[:-2] == [figure.name for figure in evaluation.figures(task, values)]


def test_the_widest_gap_by_hand():
    """Two labels by one key: 4 and 2 of 4 are right on one side, 3 and 3 of 4 on the other: gaps of +1/4 and -1/4."""
    having = [[4, 2], [0, 0], [0, 2], [0, 0]]
    lacking = [[3, 3], [0, 0], [1, 1], [0, 0]]
    assert widest_gap(np.ravel([having, lacking]), 2, "accuracy") == {"widest_accuracy_gap": 0.0}
    better = [[4, 4], [0, 0], [0, 0], [0, 0]]
    both = np.ravel([[having, lacking], [better, lacking]])
    assert widest_gap(both, 2, "accuracy") == {"widest_accuracy_gap": 0.25}


def test_the_widest_gaps_of_both_mistakes_by_hand():
    """Of 4 without a label 1 is said to have it on one side, 3 on the other; of 4 with it 0 and 1 are missed."""
    having = [[4, 0], [1, 0], [0, 0], [3, 4]]
    lacking = [[3, 4], [3, 0], [1, 0], [1, 4]]
    sides = np.ravel([having, lacking])
    assert widest_gap(sides, 2, "false_negative_rate") == {"widest_false_negative_rate_gap": 0.25}
    # The second label's rates are 0; nobody on one side has it, so that it counts in one mean and not in the other.
    assert widest_gap(sides, 2, "false_positive_rate") == {"widest_false_positive_rate_gap": 0.25}


def test_a_side_without_records_has_no_gap():
    nothing = np.zeros((4, 2), int)
    assert np.isnan(
        widest_gap(np.ravel([[[4, 4], [0, 0], [0, 0], [0, 0]], nothing]), 2, "accuracy")["widest_accuracy_gap"]
    )
