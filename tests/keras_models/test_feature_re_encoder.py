"""A prediction re-encoded for each level: a case by hand, shapes, and weights shared between iterations."""

import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_layer
from tensorflow import keras

from keras_models.feature_re_encoder import FeatureReEncoder


def _parameters(layer):
    return sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights)


def _set(layer, *weights):
    layer.set_weights([np.array(weight, np.float32) for weight in weights])


def _centre_tap(size):
    """A kernel of one channel that passes a pixel on."""
    kernel = np.zeros((size, size, 1, 1))
    kernel[size // 2, size // 2] = 1
    return kernel


@pytest.mark.parametrize("channels", [1, 9])
def test_levels_of_a_map(channels):
    pyramid = FeatureReEncoder()(np.zeros((2, 128, 96, channels), np.float32))
    assert [x.shape for x in pyramid] == [(2, 32, 24, 24), (2, 16, 12, 48), (2, 8, 6, 64)]


def test_levels_of_a_vector():
    pyramid = FeatureReEncoder()(np.zeros((2, 7), np.float32))
    assert [x.shape for x in pyramid] == [(2, 7)] * 3
    pyramid = FeatureReEncoder((3, 5))(np.zeros((2, 7), np.float32))
    assert [x.shape for x in pyramid] == [(2, 7)] * 2


def test_parameters_of_the_paper():
    for shape, parameters in (
        ((None, 128, 128, 9), 25 * 9 * 24 + 9 * 24 * 48 + 9 * 48 * 64),
        ((None, 128, 128, 5), 25 * 5 * 24 + 9 * 24 * 48 + 9 * 48 * 64),
        ((None, 7), 3 * 7 * 7),
    ):
        layer = FeatureReEncoder()
        layer(np.zeros((1, *shape[1:]), np.float32))
        assert _parameters(layer) == parameters


def test_a_map_by_hand():
    layer = FeatureReEncoder((1, 1, 1))
    pixels = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1)  # row · 16 + column
    layer(pixels)
    _set(layer, _centre_tap(5), 2 * _centre_tap(3), -_centre_tap(3))
    first, second, third = (x.numpy()[0, :, :, 0] for x in layer(pixels))
    # Of 16 pixels, padded with one before and two after, windows of five in steps of two are centred on 1, 3, 5, …;
    # the maximum of each 2 × 2 is at rows and columns 3, 7, 11, 15.
    np.testing.assert_array_equal(
        first, [[51, 55, 59, 63], [115, 119, 123, 127], [179, 183, 187, 191], [243, 247, 251, 255]]
    )
    # Twice the maximum of each 2 × 2.
    np.testing.assert_array_equal(second, [[238, 254], [494, 510]])
    # ReLU: nothing negative passes.
    np.testing.assert_array_equal(third, [[0]])


def test_a_vector_by_hand():
    layer = FeatureReEncoder((9, 9))
    vector = np.array([[0.25, 0.75]], np.float32)
    layer(vector)
    _set(layer, [[1, -1], [1, -1]], [[2, 3], [100, 100]])
    first, second = layer(vector)
    # relu(0.25 + 0.75, -0.25 - 0.75) = (1, 0); relu(2 · 1, 3 · 1) = (2, 3).
    np.testing.assert_array_equal(first, [[1, 0]])
    np.testing.assert_array_equal(second, [[2, 3]])


@pytest.mark.parametrize("shape", [(32, 32, 2), (6,)])
def test_two_calls_have_the_same_weights(shape):
    layer = FeatureReEncoder((4, 5, 6))
    one, other = (keras.Input(shape) for _ in range(2))
    model = keras.Model([one, other], [layer(one), layer(other)])
    assert len(model.weights) == len(layer.weights) == 3
    prediction = np.random.default_rng(0).uniform(0, 1, (2, *shape)).astype(np.float32)
    for x, y in zip(*model([prediction, prediction]), strict=True):
        np.testing.assert_array_equal(x, y)
    with tf.GradientTape() as tape:
        loss = tf.add_n([tf.reduce_sum(x) for x in tf.nest.flatten(model([prediction, 2 * prediction]))])
    assert all(gradient is not None for gradient in tape.gradient(loss, layer.trainable_weights))


@pytest.mark.parametrize("shape", [(32, 32, 2), (6,)])
def test_conformance(shape):
    prediction = np.random.default_rng(0).uniform(0, 1, (2, *shape)).astype(np.float32)
    check_layer(FeatureReEncoder([4, 5, 6], name="parsing_re_encoder"), prediction)
