"""Group attention: Eq. 1 module by module, its parameters, and that the modules share nothing."""

import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_layer

from keras_models import GroupAttention

PARTS = ("eyes", "nose", "mouth")


def _features(channels=8, size=(5, 4)):
    return np.random.default_rng(0).normal(size=(2, *size, channels)).astype(np.float32)


def _set_random(layer):
    """Random weights everywhere, moving statistics included."""
    random = np.random.default_rng(1)
    for weight in layer.weights:
        positive = "variance" in weight.name or "beta" in weight.name
        weight.assign(random.uniform(0.5 if positive else -1, 1.5, weight.shape))


def _bn_relu(x, layer, channels):
    gamma, beta, mean, variance = (w.numpy()[channels] for w in layer.weights)
    return np.maximum((x - mean) / np.sqrt(variance + 1e-5) * gamma + beta, 0)


def _module(features, phi, k):
    """φ of group k on [batch, H, W, C] in plain NumPy, with the weights that are its own."""
    channels = features.shape[-1]
    half, quarter = slice(k * channels // 2, (k + 1) * channels // 2), slice(k * channels // 4, (k + 1) * channels // 4)
    x = features @ phi.get_layer("reduce").kernel.numpy()[0, 0][:, half]
    x = _bn_relu(x, phi.get_layer("reduce_bn"), half)
    kernel = phi.get_layer("context").kernel.numpy()[..., quarter]
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    height, width = x.shape[1:3]
    x = sum(padded[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3))
    x = _bn_relu(x, phi.get_layer("context_bn"), quarter)
    x = x @ phi.get_layer("mask").kernel.numpy()[0, 0][:, k : k + 1]
    return _bn_relu(x, phi.get_layer("mask_bn"), slice(k, k + 1))


def test_equation_1_module_by_module():
    layer, features = GroupAttention(PARTS), _features()
    layer(features)
    _set_random(layer)
    grouped, masks = layer(features)
    assert grouped.shape == (2, 3, 8) and masks.shape == (2, 5, 4, 3)
    assert np.count_nonzero(masks) > 10, "a mask of zeros shows nothing"
    for k in range(3):
        mask = _module(features, layer._phi, k)
        np.testing.assert_allclose(masks[..., k : k + 1], mask, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(grouped[:, k], (features * mask).mean(axis=(1, 2)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("channels", "parameters"), [(128, 213_248 + 1_552), (256, 852_480 + 3_088)])
def test_parameters_of_eight_modules(channels, parameters):
    # 8 modules of C·C/2 + 9·C/2·C/4 + C/4 weights, and γ and β of C/2 + C/4 + 1 channels.
    layer = GroupAttention([str(k) for k in range(8)])
    layer.build((None, 7, 7, channels))
    assert sum(np.prod(w.shape) for w in layer.trainable_weights) == parameters


def test_a_group_learns_from_its_own_mask_alone():
    layer, features = GroupAttention(PARTS), _features()
    layer(features)
    _set_random(layer)
    with tf.GradientTape() as tape:
        grouped, _ = layer(features)
        loss = tf.reduce_sum(tf.square(grouped[:, 1]))
    kernel = layer._phi.get_layer("context").kernel
    gradient = np.abs(tape.gradient(loss, kernel)).sum(axis=(0, 1, 2))
    assert gradient[2:4].any() and not gradient[:2].any() and not gradient[4:].any()


def test_masks_are_not_negative_and_sigmoid_masks_below_one():
    features = _features()
    assert GroupAttention(PARTS)(features)[1].numpy().min() == 0
    masks = GroupAttention(PARTS, mask_activation="sigmoid")(features)[1].numpy()
    assert masks.min() > 0 and masks.max() < 1


def test_conformance():
    layer = GroupAttention(PARTS, mask_activation="sigmoid", name="block3_attention")
    layer(_features())
    _set_random(layer)
    check_layer(layer, _features())


def test_errors_quote_what_was_received():
    with pytest.raises(ValueError, match=r"'relu', 'sigmoid'.*'tanh'"):
        GroupAttention(PARTS, mask_activation="tanh")
    with pytest.raises(ValueError, match="6 channels"):
        GroupAttention(PARTS).build((None, 4, 4, 6))
