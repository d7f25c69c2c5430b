"""Crops: which pixels they have, and where points lie in them."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.images.crop import WHOLE, crop_pixels, to_crop, to_image

PIXELS = np.arange(10 * 20).reshape(10, 20, 1).astype(np.uint8)


def cropped(*crop, pixels=PIXELS):
    return crop_pixels(tf.constant(pixels), tf.constant(crop, tf.float32)).numpy()


@pytest.mark.parametrize(
    ("crop", "rows", "columns"),
    [
        (WHOLE, slice(None), slice(None)),
        ((0.2, 0.25, 0.5, 0.1), slice(2, 7), slice(5, 7)),
        # Edges at 1.4 and 6.6 of 10 rows, at 4.6 and 11.4 of 20 columns.
        ((0.14, 0.23, 0.52, 0.34), slice(1, 7), slice(5, 11)),
        # Too small to have a pixel: the one where it begins, and at the end of the image the last.
        ((0.5, 0.5, 0.001, 0.001), slice(5, 6), slice(10, 11)),
        ((1.0, 1.0, 0.0, 0.0), slice(9, 10), slice(19, 20)),
        # No pixel lies beyond the image.
        ((-0.5, 0.8, 1.0, 5.0), slice(0, 5), slice(16, 20)),
    ],
)
def test_pixels_of_a_crop_worked_by_hand(crop, rows, columns):
    np.testing.assert_array_equal(cropped(*crop), PIXELS[rows, columns])


def test_the_whole_image_is_the_whole_image_at_any_size():
    for height, width in ((1, 1), (1023, 7), (178, 218), (3, 4097)):
        assert cropped(*WHOLE, pixels=np.zeros((height, width, 3), np.uint8)).shape == (height, width, 3)


# Left 0.2, top 0.5; a quarter as wide as the image and half as high.
CROP = [0.5, 0.2, 0.5, 0.25]


def test_points_worked_by_hand():
    points = np.array([[[0.2, 0.5], [0.325, 0.75], [0.45, 1.0], [0.1, 0.25]]], np.float32)
    expected = [[[0, 0], [0.5, 0.5], [1, 1], [-0.4, -0.5]]]
    np.testing.assert_allclose(to_crop(points, tf.constant([CROP])), expected, atol=1e-6)
    np.testing.assert_allclose(to_image(tf.constant(expected, tf.float32), tf.constant([CROP])), points, atol=1e-6)


def test_each_image_has_its_own_crop():
    points = tf.constant([[[0.2, 0.5]], [[0.2, 0.5]]])
    np.testing.assert_allclose(to_crop(points, tf.constant([CROP, WHOLE])), [[[0, 0]], [[0.2, 0.5]]], atol=1e-7)


def test_in_the_whole_image_points_stay_as_they_are():
    points = tf.random.stateless_uniform([3, 68, 2], [0, 0], -0.2, 1.2)
    whole = tf.constant([WHOLE] * 3)
    np.testing.assert_array_equal(to_crop(points, whole), points)
    np.testing.assert_array_equal(to_image(points, whole), points)


def test_points_that_are_not_annotated_stay_so():
    assert np.isnan(to_crop(tf.fill([1, 5, 2], np.nan), tf.constant([CROP]))).all()


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[st.floats(0, 0.8)] * 2, *[st.floats(0.1, 1)] * 2))
def test_there_and_back(crop):
    points = tf.random.stateless_uniform([1, 5, 2], [1, 2])
    back = to_image(to_crop(points, tf.constant([crop], tf.float32)), tf.constant([crop], tf.float32))
    np.testing.assert_allclose(back, points, atol=1e-6)
