"""Landmarks in a mirror."""

import numpy as np
import pytest

from components.tasks.landmarks.markup import MARKUPS, mirror_points


def test_mirror_worked_by_hand():
    # Eyes, nose, mouth corners; x becomes 1 - x and the sides change names.
    points = np.array([[0.25, 0.4], [0.7, 0.5], [0.5, 0.6], [0.3, 0.8], [0.6, 0.9]], np.float32)
    expected = [[0.3, 0.5], [0.75, 0.4], [0.5, 0.6], [0.4, 0.9], [0.7, 0.8]]
    np.testing.assert_allclose(mirror_points(points), expected, rtol=1e-6)


@pytest.mark.parametrize("size", MARKUPS)
def test_mirroring_twice_changes_nothing(size):
    points = np.random.default_rng(0).random((size, 2)).astype(np.float32)
    np.testing.assert_allclose(mirror_points(mirror_points(points)), points, atol=1e-6)


def test_a_number_of_points_of_no_mark_up_is_an_error():
    with pytest.raises(ValueError, match=r"No mark-up of 7 points is known, only of \[.*train with flip=False"):
        mirror_points(np.zeros((7, 2), np.float32))
