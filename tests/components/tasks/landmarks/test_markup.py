"""The mark-ups: which points change places in a mirror, and the distance between the eyes."""

from __future__ import annotations

import numpy as np
import pytest

from components.tasks.landmarks.markup import MARKUPS

# Worked out from the drawing of the mark-up.
PAIRS_OF_68 = {
    "jaw": [(0, 16), (7, 9)],
    "brows": [(17, 26), (21, 22)],
    "nose": [(31, 35), (32, 34)],
    "eyes": [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)],
    "outer lips": [(48, 54), (50, 52), (55, 59)],
    "inner lips": [(60, 64), (61, 63), (65, 67)],
}


@pytest.mark.parametrize("size", MARKUPS)
def test_mirror_is_an_involution(size):
    mirror = np.array(MARKUPS[size].mirror)
    assert sorted(mirror) == list(range(size))
    np.testing.assert_array_equal(mirror[mirror], np.arange(size))


@pytest.mark.parametrize("part", PAIRS_OF_68)
def test_68_points_change_places(part):
    mirror = MARKUPS[68].mirror
    for one, other in PAIRS_OF_68[part]:
        assert mirror[one] == other and mirror[other] == one


def test_68_points_on_the_middle_line_stay():
    middle = [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]
    assert [i for i, j in enumerate(MARKUPS[68].mirror) if i == j] == middle


def test_5_points():
    assert MARKUPS[5].mirror == (1, 0, 2, 4, 3)


def test_a_symmetric_face_maps_to_itself():
    # Eyes, nose, mouth corners in [0, 1]: flipped images have x at 1 - x.
    face = np.array([[0.25, 0.5], [0.75, 0.5], [0.5, 0.625], [0.375, 0.75], [0.625, 0.75]])
    flipped = np.stack([1 - face[:, 0], face[:, 1]], -1)[list(MARKUPS[5].mirror)]
    np.testing.assert_array_equal(flipped, face)


def test_interocular_of_68_is_between_the_outer_eye_corners():
    points = np.zeros((68, 2))
    points[36], points[45] = (10, 20), (13, 24)
    assert MARKUPS[68].interocular(points) == 5  # sqrt(3^2 + 4^2)


def test_interocular_of_a_batch():
    points = np.zeros((2, 5, 2))
    points[0, 1], points[1, 0] = (6, 8), (0, 2)
    np.testing.assert_array_equal(MARKUPS[5].interocular(points), [10, 2])


def test_interocular_is_the_same_in_the_mirror():
    points = np.random.default_rng(0).random((68, 2))
    flipped = np.stack([1 - points[:, 0], points[:, 1]], -1)[list(MARKUPS[68].mirror)]
    assert MARKUPS[68].interocular(flipped) == pytest.approx(MARKUPS[68].interocular(points))
