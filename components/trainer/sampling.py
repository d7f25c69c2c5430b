"""Which training images are drawn more often than others."""

from __future__ import annotations

import numpy as np


def draws(shown: np.ndarray, threshold: float) -> np.ndarray:
    """How often each image is drawn in a pass of as many draws as there are images, in the mean: [images] float64.

    By `repeat_factors`: what shows nothing rare is drawn a little less than once.
    """
    factors = repeat_factors(shown, threshold)
    return factors / factors.mean()


def repeat_factors(shown: np.ndarray, threshold: float) -> np.ndarray:
    """Repeat factor sampling (Gupta, Dollár and Girshick 2019, LVIS, Section 4.2).

    A class that a share f of the images show is wanted max(1, √(threshold / f)) times as often, an image as often as
    the rarest class that it shows.

    Args:
        shown: [images, classes] bool.
        threshold: t, in (0, 1]: classes that at least this share of the images show are drawn as they come.

    Returns:
        [images] float64 of 1 and more.
    """
    shares = shown.mean(axis=0)
    by_class = np.sqrt(np.maximum(1.0, threshold / np.maximum(shares, 1 / len(shown))))
    return np.where(shown, by_class, 1.0).max(axis=1, initial=1.0)
