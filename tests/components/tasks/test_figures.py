"""Intervals and differences beyond chance, worked by hand."""

from __future__ import annotations

import math

import pytest

from components.tasks.figures import Figure, beyond_chance, difference_interval


def test_an_interval_is_two_errors_and_a_little_to_both_sides():
    # 0.9 -+ 2.093 * 0.01
    assert Figure("a", 0.9, error=0.01).interval == pytest.approx((0.87907, 0.92093))


def test_shares_end_at_0_and_1_and_years_do_not():
    assert Figure("a", 0.99, error=0.01).interval == pytest.approx((0.96907, 1.0))
    assert Figure("a", 0.01, error=0.01).interval == pytest.approx((0.0, 0.03093))
    assert Figure("a", 1.0, error=1.0, share=False).interval == pytest.approx((-1.093, 3.093))


@pytest.mark.parametrize(("value", "error"), [(0.9, None), (math.nan, 0.1), (0.9, math.nan)])
def test_an_unknown_one(value, error):
    assert Figure("a", value, error=error).interval is None


@pytest.mark.parametrize(
    ("difference", "errors", "beyond"),
    [
        # Errors of 0.03 and 0.04 make 0.05 together, and 2.093 times that is 0.10465.
        (0.105, (0.03, 0.04), True),
        (-0.105, (0.03, 0.04), True),
        (0.104, (0.03, 0.04), False),
        (math.nan, (0.03, 0.04), False),
        (0.5, (None, 0.01), False),
        (0.5, (math.nan, 0.01), False),
    ],
)
def test_a_difference_is_held_against_both_errors(difference, errors, beyond):
    assert beyond_chance(difference_interval(difference, *errors)) is beyond
