"""Learning-rate schedules that know the length of the run."""

from collections.abc import Sequence
from itertools import accumulate

from tensorflow import keras


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
