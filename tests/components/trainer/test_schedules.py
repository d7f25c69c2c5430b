"""The one-cycle schedule against numbers worked out by hand."""

import numpy as np
import pytest

from components.trainer.schedules import in_stages, one_cycle


def _rates(schedule, *steps):
    return [float(schedule(step)) for step in steps]


def test_worked_by_hand():
    # 30 of 100 steps rise from 0.01 / 25 to 0.01; half way up 0.0052; 35 steps later half a cosine is 0.005.
    rates = _rates(one_cycle(steps=100, peak=0.01), 0, 15, 30, 65, 100)
    assert rates == pytest.approx([0.0004, 0.0052, 0.01, 0.005, 0], abs=1e-8)


def test_last_rate():
    assert _rates(one_cycle(steps=100, peak=0.01, warmup=0.5, final=0.1), 50, 75, 100) == pytest.approx(
        [0.01, 0.0055, 0.001]
    )


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 1000])
def test_rises_then_falls_within_its_bounds(steps):
    rates = np.array(_rates(one_cycle(steps, peak=0.01), *range(0, steps + 1, max(steps // 50, 1))))
    assert np.isfinite(rates).all() and rates.min() >= 0 and rates.max() <= 0.01 * (1 + 1e-6)
    highest = rates.argmax()
    assert (np.diff(rates[: highest + 1]) > 0).all() and (np.diff(rates[highest:]) < 0).all()


def test_without_warm_up():
    assert _rates(one_cycle(steps=10, peak=0.01, warmup=0), 0, 5, 10) == pytest.approx([0.01, 0.005, 0], abs=1e-8)


def test_stages_worked_by_hand():
    # Nine parts of fourteen at 0.01: of 28 steps, the first 18. Keras' boundary belongs to the stage before it.
    schedule = in_stages(steps=28, rates=[0.01, 0.001], lengths=[9, 5])
    assert _rates(schedule, 0, 18, 19, 27) == pytest.approx([0.01, 0.01, 0.001, 0.001])


def test_three_stages():
    schedule = in_stages(steps=100, rates=[3.0, 2.0, 1.0], lengths=[1, 1, 2])
    assert _rates(schedule, 0, 25, 26, 50, 51, 100) == [3, 3, 2, 2, 1, 1]
