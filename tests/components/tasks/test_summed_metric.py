"""Sums over parts of the records, and how much their figures depend on single parts."""

import math

import numpy as np
import pytest

from components.tasks.summed_metric import PARTS, SumFn, Sums, error_of, standard_errors


def _mean(sums):
    """Of (sum, count)."""
    return {"mean": float(sums[0] / max(sums[1], 1)), "sums": sums}


def test_the_error_of_a_mean_by_hand():
    """Of a mean the jackknife gives the textbook's error, s / √n: of 1, 2, 6 the variance is 7, the error √(7 / 3)."""
    sums = Sums(np.array([1, 1, 1]), np.array([[1, 1], [2, 1], [6, 1]]))
    assert standard_errors(sums, _mean) == {"mean": pytest.approx(math.sqrt(7 / 3))}


def test_the_error_of_a_mean_over_parts_of_two():
    """The means without a part are (2 + 3) / 4, (1 + 3) / 4 and (1 + 2) / 4: their variance is 1 / 24, times n - 1."""
    sums = Sums(np.array([2, 2, 2]), np.array([[1, 2], [2, 2], [3, 2]]))
    assert standard_errors(sums, _mean)["mean"] == pytest.approx(math.sqrt(2 / 24))


def test_a_part_without_records_is_none_and_fewer_records_than_parts_say_nothing():
    """Of 1, 3 and 4 with two records in the first part: without it the mean is 4, without the other 2."""
    sums = Sums(np.array([2, 0, 1]), np.array([[4, 2], [0, 0], [4, 1]]))
    assert standard_errors(sums, _mean) == {"mean": pytest.approx(math.sqrt(1 / 2 * (1 + 1)))}
    sums = Sums(np.array([1, 0, 1]), np.array([[1, 1], [0, 0], [6, 1]]))
    assert math.isnan(standard_errors(sums, _mean)["mean"])


def test_one_number_whatever_is_left_out_has_no_error():
    """No mistake in 30 images is no proof that there is none in others."""
    sums = Sums(np.full(PARTS, 2), np.tile([0, 2], (PARTS, 1)))
    assert math.isnan(standard_errors(sums, _mean)["mean"])


def test_parts_are_a_value_where_they_are_kept():
    combiner = SumFn(np.zeros(2, np.int64), _mean, "", "smile", keep_parts=True)
    sums = combiner.add_input(combiner.create_accumulator(), (3, np.array([5, 1])))
    found = {key.name: value for key, value in combiner.extract_output(sums).items()}
    assert found["parts"].shape == (PARTS, 2) and found["parts"][3].tolist() == [5, 1]


def test_sums_do_not_depend_on_bundles():
    elements = [(number % PARTS, np.array([number, 1])) for number in range(100)]
    combiner = SumFn(np.zeros(2, np.int64), _mean, "", "smile")
    whole, halves = combiner.create_accumulator(), [combiner.create_accumulator() for _ in range(2)]
    for place, element in enumerate(elements):
        combiner.add_input(whole, element)
        combiner.add_input(halves[place % 2], element)
    merged = combiner.merge_accumulators(iter(halves))
    found, expected = (
        {key.name: value for key, value in combiner.extract_output(each).items()} for each in (merged, whole)
    )
    assert found["mean"] == expected["mean"] == 49.5 and found["sums"].tolist() == [4950, 100]
    # Part i has i, i + 20, ..., i + 80: without it the mean is off by (i - 9.5) / 19.
    by_hand = math.sqrt(19 / 20 * sum(((part - 9.5) / 19) ** 2 for part in range(20)))
    assert found["mean_standard_error"] == expected["mean_standard_error"] == pytest.approx(by_hand)
    assert [key.name for key in combiner.keys] == ["mean", "sums", "mean_standard_error"]


def test_errors_are_told_from_values_by_their_names():
    assert error_of("mean_standard_error") == "mean" and error_of("mean") is None
