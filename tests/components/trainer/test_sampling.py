"""Repeat factor sampling, by hand."""

import numpy as np
import pytest

from components.trainer.sampling import draws, repeat_factors


def test_worked_by_hand():
    # Of 8 images: all show the first class, 2 the second (f = 1/4), 1 the third (f = 1/8); t = 1/2.
    shown = np.zeros((8, 3), bool)
    shown[:, 0] = True
    shown[2:4, 1] = True
    shown[3, 2] = True
    # sqrt(1/2 : 1/4) = sqrt(2); sqrt(1/2 : 1/8) = 2, of the rarest class that an image shows.
    expected = [1, 1, np.sqrt(2), 2, 1, 1, 1, 1]
    np.testing.assert_allclose(repeat_factors(shown, 0.5), expected)


def test_what_is_common_is_drawn_as_it_comes():
    shown = np.array([[True, False], [True, True]])
    assert repeat_factors(shown, 0.5).tolist() == [1, 1]


@pytest.mark.parametrize("shown", [np.zeros((3, 2), bool), np.zeros((3, 0), bool)])
def test_nothing_shown(shown):
    assert repeat_factors(shown, 1.0).tolist() == [1, 1, 1]


def test_draws_are_a_pass_of_as_many():
    # Factors of 2, 1, 1, 1: of four draws 8/5 and three times 4/5.
    shown = np.array([[True], [False], [False], [False]])
    np.testing.assert_allclose(draws(shown, 1.0), [1.6, 0.8, 0.8, 0.8])
