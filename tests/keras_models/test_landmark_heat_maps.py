"""Discs about landmarks: which pixels are one, counted by hand."""

import numpy as np
import pytest
import tensorflow as tf

from keras_models.landmark_heat_maps import landmark_heat_maps


def _map(x, y, size=(4, 4), radius=1.0):
    """Of one point of one image."""
    return landmark_heat_maps(tf.constant([[[x, y]]], tf.float32), size, radius)[0, :, :, 0].numpy().tolist()


def test_a_point_on_a_pixels_centre():
    # x = 1.5 px, y = 2.5 px: the centre of column 1 in row 2, whose four neighbours are one pixel away.
    assert _map(0.375, 0.625) == [
        [0, 0, 0, 0],
        [0, 1, 0, 0],
        [1, 1, 1, 0],
        [0, 1, 0, 0],
    ]


def test_a_point_on_a_pixels_corner():
    # (3, 1) px is sqrt(0.5) = 0.71 from four centres, and sqrt(0.5² + 1.5²) = 1.58 from the next.
    assert _map(0.75, 0.25) == [
        [0, 0, 1, 1],
        [0, 0, 1, 1],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]
    assert np.sum(_map(0.75, 0.25, radius=0.7)) == 0
    # Of the eight at 1.58, two lie right of the image and two above.
    assert np.sum(_map(0.75, 0.25, radius=1.6)) == 4 + 4


def test_x_goes_along_the_width_of_an_image_that_is_not_square():
    # x = 0.75 · 2 = 1.5 px of two columns, y = 0.125 · 4 = 0.5 px of four rows. The disc is round in pixels.
    assert _map(0.75, 0.125, size=(4, 2)) == [[1, 1], [0, 1], [0, 0], [0, 0]]
    # x = 6 px of eight columns, y = 1 px of two rows.
    assert _map(0.75, 0.5, size=(2, 8)) == [[0, 0, 0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 1, 1, 0]]


def test_the_papers_disc():
    # 81 lattice points lie within 5 of one of them (Gauss' circle problem).
    disc = np.array(_map(64.5 / 128, 32.5 / 128, size=(128, 128), radius=5.0))
    assert disc.sum() == 81
    assert disc[32, 59] == disc[32, 69] == disc[27, 64] == disc[37, 64] == disc[36, 67] == 1
    assert disc[32, 58] == disc[32, 70] == disc[36, 68] == 0


def test_a_point_outside_leaves_what_lies_inside():
    # x = -0.5 px, y = 1.5 px.
    assert _map(-0.125, 0.375) == [[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    # Two pixels below the last centre.
    assert np.sum(_map(0.375, 5.5 / 4)) == 0


@pytest.mark.parametrize("point", [(-1.0, -1.0), (2.0, 0.5), (0.5, -0.1), (np.nan, 0.5), (np.inf, 0.5)])
def test_a_point_far_outside_leaves_nothing(point):
    assert np.sum(_map(*point, size=(128, 128), radius=5.0)) == 0


def test_every_image_and_point_has_its_own_map():
    landmarks = np.random.default_rng(0).uniform(0, 1, (3, 5, 2)).astype(np.float32)
    maps = landmark_heat_maps(landmarks, (32, 24), 3.0)
    assert maps.shape == (3, 32, 24, 5) and maps.dtype == tf.float32
    assert set(np.unique(maps)) == {0, 1}
    for image in range(3):
        for point, (x, y) in enumerate(landmarks[image].tolist()):
            np.testing.assert_array_equal(maps[image, :, :, point], _map(x, y, (32, 24), 3.0))


def test_no_gradient_flows():
    landmarks = tf.Variable(tf.fill([1, 2, 2], 0.5))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(landmark_heat_maps(landmarks, (8, 8), 2.0))
    assert tape.gradient(loss, landmarks) is None
