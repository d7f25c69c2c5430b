"""Learning-rate schedules that know the length of the run."""

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
