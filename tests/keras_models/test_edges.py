"""Edge labels against maps drawn by hand and a pixel-by-pixel search."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_models.edges import edge_labels

X = 255


def _pixel_by_pixel(labels, classes):
    """Both kinds of edges by the definition: look at each pixel's neighbours within the image."""
    height, width = labels.shape
    binary, category = np.zeros((height, width), int), np.zeros((height, width, classes), int)
    for i, j in np.ndindex(height, width):
        around = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
        inside = [labels[p] for p in around if 0 <= p[0] < height and 0 <= p[1] < width]
        if labels[i, j] != X and any(other not in (labels[i, j], X) for other in inside):
            binary[i, j] = 1
            category[i, j, labels[i, j]] = labels[i, j] > 0
    return binary, category


def test_drawn_by_hand():
    # A part 1 of 3 x 3 on background, with a pixel of part 2 at its right.
    labels = [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 1, 1, 1, 2, 0],
        [0, 1, 1, 1, 0, 0],
    ]
    binary, category = edge_labels(labels, 3)
    assert binary.numpy().tolist() == [
        [0, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 0],
        [1, 1, 0, 1, 1, 1],
        # The lower border of the image makes no edge: part 1 goes on for all we know.
        [1, 1, 0, 1, 1, 0],
    ]
    assert category[..., 1].numpy().tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 1, 0, 1, 0, 0],
        [0, 1, 0, 1, 0, 0],
    ]
    assert np.argwhere(category[..., 2]).tolist() == [[2, 4]]
    assert not category[..., 0].numpy().any()
    assert binary.dtype == category.dtype == tf.uint8


def test_255_is_no_class_and_makes_no_edge():
    binary, category = edge_labels([[1, X, 2, 2], [1, X, 2, 0]], 3)
    assert binary.numpy().tolist() == [[0, 0, 0, 1], [0, 0, 1, 1]]
    assert np.argwhere(category).tolist() == [[0, 3, 2], [1, 2, 2]]
    for alone in (np.full((3, 4), X), np.full((3, 4), 1)):
        binary, category = edge_labels(alone, 3)
        assert not binary.numpy().any() and not category.numpy().any()


def test_corners_are_no_neighbours():
    binary, _ = edge_labels([[1, 0, 0], [0, 0, 0], [0, 0, 0]], 2)
    assert binary.numpy().tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 0]]


@settings(max_examples=15, deadline=None)
@given(labels=arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.sampled_from([0, 1, 2, X])))
def test_any_map_as_found_pixel_by_pixel(labels):
    binary, category = edge_labels(labels, 3)
    expected = _pixel_by_pixel(labels, 3)
    np.testing.assert_array_equal(binary, expected[0])
    np.testing.assert_array_equal(category, expected[1])


def test_images_of_a_batch_do_not_meet():
    labels = np.random.default_rng(0).choice([0, 1, 2, X], (4, 6, 5)).astype(np.int64)
    for image, *found in zip(labels, *edge_labels(labels, 3), strict=True):
        np.testing.assert_array_equal(found[0], edge_labels(image, 3)[0])
        np.testing.assert_array_equal(found[1], edge_labels(image, 3)[1])


@pytest.mark.parametrize("shape", [[None, None], [4, 6, None, None], [4, 6, 5]])
def test_in_a_data_pipeline(shape):
    labels = np.random.default_rng(0).choice([0, 1, 2, X], (4, 6, 5)).astype(np.uint8)
    data = tf.data.Dataset.from_tensors(labels) if len(shape) == 3 else tf.data.Dataset.from_tensor_slices(labels)
    if shape == [4, 6, None, None]:
        data, shape = data.batch(2), [None, None, None]
    data = data.map(lambda x: edge_labels(tf.ensure_shape(x, shape), 3))
    maps = [np.concatenate([np.reshape(x[k], (-1, *x[1].shape[-3:][: 2 + k])) for x in data]) for k in (0, 1)]
    for got, expected in zip(maps, edge_labels(labels, 3), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("labels", "arguments", "message"),
    [
        (np.zeros(3, int), {}, r"received shape \(3,\)"),
        (np.zeros((1, 2, 3, 1), int), {}, r"received shape \(1, 2, 3, 1\)"),
        (np.zeros((2, 2), int), {"num_classes": 1}, "num_classes=1"),
    ],
)
def test_errors_quote_what_was_received(labels, arguments, message):
    with pytest.raises(ValueError, match=message):
        edge_labels(labels, **{"num_classes": 2, **arguments})
