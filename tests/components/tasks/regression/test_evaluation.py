"""Errors of numbers against values worked out by hand and against scikit-learn; what is refused."""

import json
import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from components.config import Bar, Task
from components.tasks.annotation import Annotation, BoundTask
from components.tasks.regression import KIND, evaluation
from components.tasks.regression.evaluation import NumberMetrics, _measure, summarize
from tests.support.metrics import combined

FEATURES = {"image/id": np.array([b"7.png"], object)}


def _record(truth, predicted):
    return _measure(np.array([truth], np.float32), np.array(predicted, np.float32), FEATURES)


# Ages of 20, 30 and 70, mean 40, which are found 2 too low, 1 too high and 4 too low.
SUMS = _record(20, 18) + _record(30, 31) + _record(70, 66)


def test_sums_of_a_record():
    np.testing.assert_array_equal(_record(20, 18), [1, 2, 4, 20, 400, -2])
    np.testing.assert_array_equal(_record(-3, -1.5), [1, 1.5, 2.25, -3, 9, 1.5])


def test_worked_by_hand():
    assert summarize(SUMS) == pytest.approx(
        {
            "mean_absolute_error": 7 / 3,
            "root_mean_squared_error": math.sqrt(21 / 3),
            "r_squared": 1 - 21 / (20**2 + 10**2 + 30**2),
            "mean_error": -5 / 3,
            "annotated": 3,
        }
    )


def test_always_the_mean_explains_nothing_and_worse_is_below_0():
    assert summarize(sum(_record(age, 40) for age in (20, 30, 70)))["r_squared"] == pytest.approx(0)
    assert summarize(sum(_record(age, 60) for age in (20, 30, 70)))["r_squared"] < 0
    assert summarize(sum(_record(age, age) for age in (20, 30, 70)))["r_squared"] == 1


def test_no_record_is_undefined_without_a_warning(recwarn):
    values = summarize(np.zeros(6))
    assert values.pop("annotated") == 0
    assert all(math.isnan(value) for value in values.values()) and not recwarn.list


def test_of_one_age_there_is_nothing_to_explain():
    values = summarize(_record(20, 18) + _record(20, 21))
    assert math.isnan(values["r_squared"])
    assert values["mean_absolute_error"] == 1.5


def test_sums_of_records_agree_with_scikit_learn():
    random = np.random.default_rng(3)
    truth = random.uniform(1, 90, 200).astype(np.float32)
    found = truth + random.normal(2, 9, 200).astype(np.float32)
    (computation,) = NumberMetrics(task="age").computations(model_names=[""], output_names=["age"])
    records = [_record(*pair) for pair in zip(truth, found, strict=True)]
    merged = combined(computation, records)
    pair = truth.astype(np.float64), found.astype(np.float64)
    assert merged == pytest.approx(
        {
            "mean_absolute_error": sklearn_metrics.mean_absolute_error(*pair),
            "root_mean_squared_error": sklearn_metrics.mean_squared_error(*pair) ** 0.5,
            "r_squared": sklearn_metrics.r2_score(*pair),
            "mean_error": np.mean(pair[1] - pair[0]),
            "annotated": 200,
        }
    )


@pytest.mark.parametrize(("label", "predicted"), [([1.0, 2.0], [1.0]), ([1.0], [1.0, 2.0, 3.0])])
def test_another_number_of_numbers_is_an_error(label, predicted):
    expected = rf"Record '7\.png' has {len(label)} numbers, the model predicts {len(predicted)}; expected one of each"
    with pytest.raises(ValueError, match=expected):
        _measure(np.array(label), np.array(predicted), FEATURES)


def _bound(bar=None):
    return BoundTask(Task("age", "regression", bar=bar), Annotation("regression"), "by_hand")


def test_how_tfma_measures_it():
    (spec,) = evaluation.specs(_bound(Bar("mean_absolute_error", at_most=5.0)))
    assert list(spec.output_names) == ["age"]
    (metric,) = spec.metrics
    assert metric.class_name == "NumberMetrics" and json.loads(metric.config)["name"] == "mean_absolute_error"
    (bar,) = metric.per_slice_thresholds
    assert bar.threshold.value_threshold.upper_bound.value == 5
    (spec,) = evaluation.specs(_bound(), iteration=2)
    assert list(spec.output_names) == ["age_iter2"] and not spec.metrics[0].per_slice_thresholds


def test_figures():
    found = {
        figure.name: (figure.value, figure.higher_is_better) for figure in evaluation.figures(_bound(), summarize(SUMS))
    }
    assert not any(figure.share for figure in evaluation.figures(_bound(), summarize(SUMS))) and not KIND.shares
    assert found == {
        "age mean absolute error": (pytest.approx(7 / 3), False),
        "age root mean squared error": (pytest.approx(7**0.5), False),
        "age R²": (pytest.approx(1 - 21 / 1400), True),
    }


def test_without_variance_nothing_is_explained():
    found = summarize(np.array([1000, 100, 10, 100.0, 1000 * 0.1**2, 0]))
    assert math.isnan(found["r_squared"]) and found["mean_absolute_error"] == pytest.approx(0.1)
