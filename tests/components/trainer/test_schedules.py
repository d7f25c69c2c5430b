"""The schedules against numbers worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from components.config import configured
from components.trainer.schedules import Joined, constant, cosine_cycles, exponential, in_stages, one_cycle, polynomial


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


def test_polynomial_worked_by_hand():
    # (1 - 50/100) ** 2 = 0.25.
    assert _rates(polynomial(steps=100, base=0.4, power=2.0), 0, 50, 100) == pytest.approx([0.4, 0.1, 0])
    # The first three quarters of 200: (1 - 150/200) ** 2 = 0.0625.
    assert _rates(polynomial(steps=150, base=0.4, power=2.0, share=0.75), 100, 150) == pytest.approx([0.1, 0.025])


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_constant(steps):
    assert _rates(constant(steps, rate=0.3), 0, 1, 7, 100) == pytest.approx([0.3] * 4)


def test_exponential_worked_by_hand():
    # Three powers of ten in 60 steps: one every 20, half of one every 10.
    rates = _rates(exponential(steps=60, first=1e-3, last=1e-6), 0, 10, 20, 30, 60)
    assert rates == pytest.approx([1e-3, 10**-3.5, 1e-4, 10**-4.5, 1e-6], rel=1e-5)


def test_exponential_falls_by_the_same_factor():
    rates = np.array(_rates(exponential(steps=9, first=0.5, last=0.1), *range(10)))
    np.testing.assert_allclose(rates[1:] / rates[:-1], 0.2 ** (1 / 9), rtol=1e-5)


def test_cosine_cycles_worked_by_hand():
    # Cycles of 20 steps from 0.1 to 0.02: half way in between.
    rates = _rates(cosine_cycles(steps=60, peak=0.1, final=0.02, cycles=3), 0, 10, 19, 20, 30, 40, 50)
    assert rates == pytest.approx([0.1, 0.06, rates[2], 0.1, 0.06, 0.1, 0.06])
    assert 0.02 < rates[2] < 0.021


def test_joined_schedules_count_their_own_steps():
    # Three quarters of 80 steps in a line from 1 to 0, then two cycles of 10 steps.
    parts = [
        configured("components.trainer.schedules.polynomial", base=1.0, power=1.0),
        configured("components.trainer.schedules.cosine_cycles", peak=0.5, final=0.1, cycles=2),
    ]
    schedule = Joined(steps=80, schedules=parts, lengths=[6, 2])
    assert _rates(schedule, 0, 30, 60, 65, 70, 75) == pytest.approx([1, 0.5, 0.5, 0.3, 0.5, 0.3])


def test_joined_schedules_run_in_a_graph():
    parts = [configured("components.trainer.schedules.polynomial", base=rate, power=1.0) for rate in (1.0, 4.0)]
    optimizer = keras.optimizers.SGD(Joined(steps=4, schedules=parts, lengths=[1, 1]))
    variable = tf.Variable(0.0)
    for rate in (1.0, 0.5, 4.0, 2.0):
        before = float(variable)
        optimizer.minimize(lambda: 1.0 * variable, [variable])
        assert before - float(variable) == pytest.approx(rate)


def test_every_schedule_has_a_length():
    with pytest.raises(ValueError, match="zip"):
        Joined(
            steps=4,
            schedules=[configured("components.trainer.schedules.polynomial", base=1.0, power=1.0)],
            lengths=[1, 1],
        )
