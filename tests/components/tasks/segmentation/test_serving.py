"""Label maps of the images' own sizes, worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from components.images.crop import WHOLE
from components.tasks.base import serving_of
from components.tasks.segmentation.serving import label_maps, stacked
from tests.support.serving import bound

PARTS = serving_of(bound("parts", "segmentation", ("background", "skin", "hair")))


def halves(height: int, width: int) -> np.ndarray:
    """[1, height, width, 3] logits: skin on the left, hair on the right."""
    logits = np.zeros((1, height, width, 3), np.float32)
    logits[:, :, : width // 2, 1] = logits[:, :, width // 2 :, 2] = 1
    return logits


def bilinear(values: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Half-pixel centres, edges repeated: [..., old, ...] -> [..., size, ...]."""
    old = values.shape[axis]
    place = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
    below = np.floor(place).astype(int)
    share = np.expand_dims(place - below, tuple(range(1, values.ndim - axis)))
    return np.take(values, below, axis) * (1 - share) + np.take(values, np.minimum(below + 1, old - 1), axis) * share


@pytest.mark.parametrize("size", [(33, 33), (20, 40), (100, 66), (7, 90), (1, 1)])
def test_labels_are_those_of_the_resized_logits(size):
    logits = np.random.default_rng(0).normal(size=(2, 33, 33, 3)).astype(np.float32)
    resized = bilinear(bilinear(logits.astype(np.float64), size[0], 1), size[1], 2)
    second, first = np.sort(resized, axis=-1)[..., -2:].transpose(3, 0, 1, 2)
    sure = first - second > 1e-4
    labels = label_maps(logits, size)
    assert labels.dtype == tf.uint8 and sure.mean() > 0.99
    np.testing.assert_array_equal(labels.numpy()[sure], resized.argmax(-1)[sure])


@pytest.mark.parametrize("size", [(8, 8), (33, 34), (20, 40), (7, 90)])
def test_an_image_is_labelled_row_by_row_where_it_has_its_parts(size):
    labels = PARTS.one(tf.constant(halves(8, 8)), tf.constant(size), tf.constant(WHOLE))
    assert labels.dtype == tf.uint8
    expected = np.full(size, 1)
    expected[:, size[1] // 2 :] = 2
    np.testing.assert_array_equal(labels, expected.ravel())


def test_around_a_crop_is_background():
    """The crop is rows 2 to 5 and columns 3 to 6 of 8 x 10 pixels."""
    labels = PARTS.one(tf.constant(halves(4, 4)), tf.constant([8, 10]), tf.constant([0.25, 0.3, 0.5, 0.4]))
    expected = np.zeros((8, 10))
    expected[2:6, 3:5], expected[2:6, 5:7] = 1, 2
    np.testing.assert_array_equal(tf.reshape(labels, [8, 10]), expected)


def test_in_a_batch_smaller_maps_lie_at_the_top_left_and_the_rest_is_255():
    flat = tf.ragged.constant([[1], [1, 2, 1, 2, 0, 0], [2, 2, 1]], dtype=tf.uint8)
    maps = stacked(flat, tf.constant([[1, 1], [3, 2], [1, 3]]))
    assert maps.dtype == tf.uint8
    np.testing.assert_array_equal(maps, [
        [[1, 255, 255], [255] * 3, [255] * 3],
        [[1, 2, 255], [1, 2, 255], [0, 0, 255]],
        [[2, 2, 1], [255] * 3, [255] * 3],
    ])  # fmt: skip
    served = PARTS.outputs(flat, None, tf.constant([[1, 1], [3, 2], [1, 3]]))
    assert served.keys() == {"parts"}
    np.testing.assert_array_equal(served["parts"], maps)


def test_contract():
    assert PARTS.ONE_BY_ONE, "logits of a batch, at the images' own sizes, would not fit into memory"
    names = ["background", "skin", "hair"]
    label_map = {"kind": "label_map", "dtype": "uint8", "shape": [None] * 3, "names": names, "padding": 255}
    assert PARTS.contract() == {"parts": label_map}
