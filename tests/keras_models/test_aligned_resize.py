"""Aligned corners: rows worked out by hand, any size against NumPy, half precision and sizes known at run time."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_checks import check_layer
from tensorflow import keras

from keras_models.aligned_resize import AlignedResize


def _resized(rows, size):
    """[H, W] -> [H', W'], as an image of one channel."""
    return AlignedResize(size)(np.asarray(rows, np.float32)[None, :, :, None])[0, :, :, 0].numpy()


def _by_numpy(features, height, width):
    """[batch, H, W, C] resized by interpolating along each axis between the old pixels' places."""
    for axis, new in ((1, height), (2, width)):
        old = features.shape[axis]
        places = np.linspace(0, old - 1, new) if new > 1 else np.zeros(1)
        features = np.apply_along_axis(lambda x, to=places, n=old: np.interp(to, np.arange(n), x), axis, features)
    return features


def test_worked_by_hand():
    np.testing.assert_allclose(_resized([[0, 3]], (1, 4)), [[0, 1, 2, 3]], rtol=1e-6)
    np.testing.assert_allclose(_resized([[0, 2], [4, 6]], (3, 3)), [[0, 1, 2], [2, 3, 4], [4, 5, 6]])
    # Downwards it picks: 5 pixels to 3 are the first, the middle and the last.
    assert _resized([[1, 9, 5, 9, 7]], (1, 3)).tolist() == [[1, 5, 7]]


def test_corners_stay_where_tf_image_moves_them():
    rows = np.array([[0.0, 4.0]], np.float32)
    half_pixel = tf.image.resize(rows[..., None], (1, 4))[:, :, 0].numpy()
    assert half_pixel.tolist() == [[0, 1, 3, 4]]
    np.testing.assert_allclose(_resized(rows, (1, 4)), [[0, 4 / 3, 8 / 3, 4]], rtol=1e-6)


@settings(max_examples=12, deadline=None)
@given(sizes=st.tuples(*[st.integers(1, 9)] * 4), seed=st.integers(0, 99))
def test_any_size_as_numpy_interpolates(sizes, seed):
    height, width, *size = sizes
    features = np.random.default_rng(seed).normal(size=(2, height, width, 3)).astype(np.float32)
    np.testing.assert_allclose(AlignedResize(size)(features), _by_numpy(features, *size), atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 3)])
def test_one_pixel_fills_all_and_one_new_pixel_is_the_first(size):
    assert (_resized([[7]], size) == 7).all()
    assert _resized([[1, 2], [3, 4]], (1, 1)) == 1


def test_the_same_size_changes_nothing():
    features = np.random.default_rng(0).normal(size=(2, 5, 7, 3)).astype(np.float32)
    np.testing.assert_array_equal(AlignedResize((5, 7))(features), features)


def test_gradient_worked_by_hand():
    # [a, b] -> a, 2/3 a + 1/3 b, 1/3 a + 2/3 b, b.
    features = tf.constant([0.5, -1.0], shape=[1, 1, 2, 1])
    with tf.GradientTape() as tape:
        tape.watch(features)
        weighted = tf.reduce_sum(AlignedResize((1, 4))(features) * tf.reshape([1.0, 10.0, 100.0, 1000.0], [1, 1, 4, 1]))
    gradient = tape.gradient(weighted, features).numpy().ravel()
    np.testing.assert_allclose(gradient, [1 + 20 / 3 + 100 / 3, 10 / 3 + 200 / 3 + 1000], rtol=1e-6)


def test_half_precision_rounds_once():
    layer = AlignedResize((64, 64), dtype="mixed_bfloat16")
    pixel = tf.constant(3.0, tf.bfloat16, shape=[1, 1, 1, 1])
    with tf.GradientTape() as tape:
        tape.watch(pixel)
        resized = layer(pixel)
    assert resized.dtype == tf.bfloat16 and (resized.numpy() == 3).all()
    # 4096 ones: a sum in bfloat16 would stand still at 256.
    gradient = tape.gradient(resized, pixel)
    assert gradient.dtype == tf.bfloat16 and float(gradient) == 4096
    ramp = AlignedResize((1, 4), dtype="mixed_bfloat16")(tf.constant([0.0, 1.0], tf.bfloat16, shape=[1, 1, 2, 1]))
    assert ramp.numpy().ravel().tolist() == tf.cast([0, 1 / 3, 2 / 3, 1], tf.bfloat16).numpy().tolist()


def test_float32_out_of_half_precision():
    resized = AlignedResize((1, 4), dtype="float32")(tf.constant([0.0, 1.0], tf.bfloat16, shape=[1, 1, 2, 1]))
    assert resized.dtype == tf.float32
    np.testing.assert_allclose(resized.numpy().ravel(), [0, 1 / 3, 2 / 3, 1], rtol=1e-6)


def test_the_size_of_another_map_known_or_not():
    features, reference = keras.Input((None, None, 2)), keras.Input((None, None, 5))
    model = keras.Model([features, reference], AlignedResize()(features, like=reference))
    assert model.output_shape == (None, None, None, 2)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 2)).astype(np.float32)
    for size in ((5, 2), (6, 9)):
        expected = AlignedResize(size)(x)
        np.testing.assert_array_equal(model([x, np.zeros((2, *size, 5), np.float32)]), expected)
        assert AlignedResize()(features, like=keras.Input((*size, 5))).shape == (None, *size, 2)


def test_conformance():
    x = np.random.default_rng(0).normal(size=(1, 8, 6, 1)).astype(np.float32)
    check_layer(AlignedResize((3, 5), name="fixed"), x, any_size=True)
    check_layer(AlignedResize(name="as_image"), [x[:, ::2, ::2], x], any_size=True)


def test_errors_quote_what_was_received():
    x = np.zeros((1, 2, 2, 1), np.float32)
    for size in ((3,), (0, 4)):
        with pytest.raises(ValueError, match=f"both positive, received .*{size[0]}"):
            AlignedResize(size)
    with pytest.raises(ValueError, match="received size=None and like=None"):
        AlignedResize()(x)
    with pytest.raises(ValueError, match=r"received size=\(3, 3\) and like="):
        AlignedResize((3, 3))(x, like=x)
