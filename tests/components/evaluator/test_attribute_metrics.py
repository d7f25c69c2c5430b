"""Attribute formulas against numbers worked out by hand and against scikit-learn; the sum against any partition."""

import math
import pickle

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from components.evaluator import attribute_metrics
from components.evaluator.attribute_metrics import AttributeMetrics, outcomes, summarize
from components.tasks.summed_metric import SumFn

# Columns: one attribute with every outcome, one without negatives, one without a single positive, one all wrong.
COUNTS = np.array([[6, 8, 0, 0], [2, 0, 0, 5], [1, 2, 0, 5], [1, 0, 10, 0]])


def test_outcomes_of_one_record():
    np.testing.assert_array_equal(outcomes([1, 0, 1, 0], [1, 1, 0, 0]), np.eye(4, dtype=int))


def test_formulas_worked_by_hand():
    np.testing.assert_allclose(attribute_metrics.accuracy(COUNTS), [0.7, 0.8, 1.0, 0.0])
    np.testing.assert_allclose(attribute_metrics.balanced_accuracy(COUNTS), [(6 / 7 + 1 / 3) / 2, np.nan, np.nan, 0.0])
    np.testing.assert_allclose(attribute_metrics.f1(COUNTS), [12 / 15, 16 / 18, np.nan, 0.0])
    of_labels, of_decisions = attribute_metrics.positive_rates(COUNTS)
    np.testing.assert_allclose(of_labels, [0.7, 1.0, 0.0, 0.5])
    np.testing.assert_allclose(of_decisions, [0.8, 0.8, 0.0, 0.5])


def test_undefined_attributes_are_left_out_of_the_means():
    values = summarize(COUNTS)
    assert values["mean_accuracy"] == pytest.approx(2.5 / 4)
    assert values["mean_balanced_accuracy"] == pytest.approx((6 / 7 + 1 / 3) / 4)
    assert values["mean_f1"] == pytest.approx((12 / 15 + 16 / 18 + 0) / 3)
    assert values["annotated"] == 10


def test_no_record_is_undefined_without_a_warning(recwarn):
    values = summarize(np.zeros((4, 2), int))
    assert all(math.isnan(values[name]) for name in attribute_metrics.MEANS)
    assert values["annotated"] == 0 and not recwarn.list


def test_agrees_with_scikit_learn():
    random = np.random.default_rng(0)
    labels, decisions = random.random((2, 500, 12)) < random.uniform(0.05, 0.95, (2, 1, 12))
    values = summarize(sum(outcomes(*record) for record in zip(labels, decisions, strict=True)))
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
    records = [outcomes(*pair) for pair in random.integers(0, 2, (200, 2, 7))]
    combine = pickle.loads(pickle.dumps(SumFn(np.zeros((4, 7), np.int64), summarize, "", "decisions")))
    bundles = np.split(random.permutation(200), np.sort(random.integers(0, 201, 6)))  # some of them empty
    sums = []
    for bundle in bundles:
        total = combine.create_accumulator()
        for index in bundle:
            total = combine.add_input(total, records[index])
        sums.append(total)
    merged = combine.extract_output(combine.merge_accumulators(sums))
    at_once = summarize(sum(records))
    assert {key.name for key in merged} == set(at_once)
    for key, value in merged.items():
        np.testing.assert_array_equal(value, at_once[key.name])


def test_threshold_can_only_apply_to_a_mean():
    with pytest.raises(ValueError, match=r"mean_accuracy, mean_balanced_accuracy, mean_f1; received 'f1'"):
        AttributeMetrics(["Male"], name="f1")


def test_another_number_of_attributes_is_an_error():
    features = {"image/id": np.array([b"7.jpg"])}
    with pytest.raises(ValueError, match=r"7\.jpg.* 3 attribute labels.* 2 decisions.* configured for 2 attributes"):
        attribute_metrics._measure(np.ones(3), np.ones(2), features, num_attributes=2)
