"""Learning-rate schedules that know the length of the run."""

from collections.abc import Sequence
from itertools import accumulate

import tensorflow as tf
from tensorflow import keras

from components.config import ObjectConfig


def one_cycle(
    steps: int, peak: float, warmup: float = 0.3, final: float = 0.0
) -> keras.optimizers.schedules.CosineDecay:
    """Linear rise to `peak`, cosine fall: the one-cycle policy of Smith and Topin (2018) in Keras' own schedule.

    Args:
        steps: optimizer steps of the whole run.
        warmup: share of the steps that rise.
        final: last rate as a share of `peak`.
    """
    rise = round(warmup * steps)
    return keras.optimizers.schedules.CosineDecay(
        peak / 25, steps - rise, alpha=final, warmup_target=peak, warmup_steps=rise
    )


def constant(steps: int, rate: float) -> keras.optimizers.schedules.PolynomialDecay:
    """One rate throughout.

    Args:
        steps: optimizer steps of the whole run.
    """
    return keras.optimizers.schedules.PolynomialDecay(rate, max(steps, 1), end_learning_rate=rate)


def exponential(steps: int, first: float, last: float) -> keras.optimizers.schedules.ExponentialDecay:
    """Falls from `first` to `last` by the same factor at each step.

    Args:
        steps: optimizer steps of the whole run.
    """
    return keras.optimizers.schedules.ExponentialDecay(first, steps, last / first)


def in_stages(
    steps: int, rates: Sequence[float], lengths: Sequence[int]
) -> keras.optimizers.schedules.PiecewiseConstantDecay:
    """One rate after another.

    Args:
        steps: optimizer steps of the whole run.
        rates: of the stages.
        lengths: of the stages, in any unit (epochs, say): their sum is the run.
    """
    ends = list(accumulate(lengths))
    boundaries = [round(steps * end / ends[-1]) for end in ends[:-1]]
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, list(rates))


def polynomial(steps: int, base: float, power: float, share: float = 1.0) -> keras.optimizers.schedules.PolynomialDecay:
    """From `base` towards 0 as (1 - share · step / steps) ** power.

    Args:
        steps: optimizer steps of the whole run.
        share: of the way to 0, what the run goes; 1 ends there.
    """
    return keras.optimizers.schedules.PolynomialDecay(base, round(steps / share), end_learning_rate=0.0, power=power)


def cosine_cycles(steps: int, peak: float, final: float, cycles: int) -> keras.optimizers.schedules.CosineDecayRestarts:
    """Falls from `peak` to `final` once a cycle (Loshchilov and Hutter 2017).

    Args:
        steps: optimizer steps of the whole run, of which each cycle has as many.
    """
    return keras.optimizers.schedules.CosineDecayRestarts(
        peak, steps // cycles, t_mul=1.0, m_mul=1.0, alpha=final / peak
    )


class Joined(keras.optimizers.schedules.LearningRateSchedule):
    """One schedule after another, each with the steps of its part counted from 0.

    Args:
        steps: optimizer steps of the whole run.
        schedules: ObjectConfigs of schedules, which get `steps`, the number of their part.
        lengths: of the parts, in any unit (epochs, say): their sum is the run.
    """

    def __init__(self, steps: int, schedules: Sequence[ObjectConfig], lengths: Sequence[int]):
        super().__init__()
        ends = [round(steps * end / sum(lengths)) for end in accumulate(lengths)]
        self._starts = [0, *ends[:-1]]
        self._schedules = [
            schedule.build(steps=end - start)
            for schedule, start, end in zip(schedules, self._starts, ends, strict=True)
        ]

    def __call__(self, step):
        rate = self._schedules[0](step)
        for start, schedule in zip(self._starts[1:], self._schedules[1:], strict=True):
            rate = tf.where(step < start, rate, schedule(tf.maximum(step - start, 0)))
        return rate
