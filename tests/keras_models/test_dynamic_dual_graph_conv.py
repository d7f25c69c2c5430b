"""The two graphs against a NumPy version that follows the page, what the scales let through, and the parameters."""

import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_layer
from tensorflow import keras

from keras_models.dynamic_dual_graph_conv import DynamicDualGraphConv


def _layer(shape, seed=0, scales=(0.7, -1.3), **kwargs):
    """The layer with random weights and statistics; the scales are λ and γ."""
    layer = DynamicDualGraphConv(**kwargs)
    layer.build(shape)
    random = np.random.default_rng(seed)
    for weight in layer.weights:
        if "variance" in weight.name or "gamma" in weight.name:
            weight.assign(random.uniform(0.5, 1.5, weight.shape))
        else:
            weight.assign(random.normal(size=weight.shape) / max(1, np.prod(weight.shape[:-1])) ** 0.5)
    layer.spatial_scale.assign(scales[0])
    layer.feature_scale.assign(scales[1])
    return layer


def _features(shape=(2, 7, 5, 8), seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _apply(x, layers):
    """Layers of Keras by NumPy, in inference: matrix products over channels, batch norm, leaky ReLU, padding."""
    for layer in layers:
        weights = [weight.numpy() for weight in layer.weights]
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = weights
            x = (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta
        elif isinstance(layer, keras.layers.LeakyReLU):
            x = np.where(x > 0, x, 0.01 * x)
        elif isinstance(layer, keras.layers.ZeroPadding2D):
            x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        elif isinstance(layer, keras.layers.DepthwiseConv2D):
            rows, columns = ((size - 1) // 2 for size in x.shape[1:3])
            moved = [x[:, i : i + 2 * rows : 2, j : j + 2 * columns : 2] for i in range(3) for j in range(3)]
            x = sum(m * k for m, k in zip(moved, weights[0][..., 0].reshape(9, -1), strict=True))
        else:
            x = x @ weights[0].reshape(x.shape[-1], -1) + (weights[1] if len(weights) > 1 else 0)
    return x


def _enlarged(x, height, width):
    """[h, w, C] -> [height, width, C], bilinear with aligned corners."""
    rows, columns = np.linspace(0, x.shape[0] - 1, height), np.linspace(0, x.shape[1] - 1, width)
    out = np.empty((height, width, x.shape[2]))
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            r0, c0 = int(r), int(c)
            r1, c1 = min(r0 + 1, x.shape[0] - 1), min(c0 + 1, x.shape[1] - 1)
            upper = x[r0, c0] * (1 - c + c0) + x[r0, c1] * (c - c0)
            lower = x[r1, c0] * (1 - c + c0) + x[r1, c1] * (c - c0)
            out[i, j] = upper * (1 - r + r0) + lower * (r - r0)
    return out


def _by_the_page(layer, x):
    """As the released code has it, image by image."""
    local = _apply(x, layer.local.layers)
    k, v, q = (_apply(local, [one]) for one in (layer.k, layer.v, layer.q))
    mixed = np.empty_like(k)
    for index in range(len(x)):
        scores = np.array([[np.sum(q[index, ..., i] * v[index, ..., j]) for j in range(4)] for i in range(4)])
        affinity = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
        for j in range(4):
            mixed[index, ..., j] = sum(k[index, ..., i] * affinity[i, j] for i in range(4))
    graph = _apply(mixed, [*layer.spatial_graph.layers, *layer.spatial_out.layers])
    spatial = float(layer.spatial_scale) * graph + local
    spatial = x * np.stack([_enlarged(one, *x.shape[1:3]) for one in spatial]) + x

    phi, theta = _apply(x, layer.phi.layers), _apply(x, layer.theta.layers)
    pixels = np.prod(x.shape[1:3])
    phi, theta = phi.reshape(-1, pixels, 4), theta.reshape(-1, pixels, 2)
    z = np.swapaxes(phi, 1, 2) @ theta  # features x nodes
    z = _apply(z, layer.adjacency.layers) + z
    z = np.swapaxes(_apply(np.swapaxes(z, 1, 2), layer.state.layers), 1, 2)
    back = (theta @ np.swapaxes(z, 1, 2)).reshape(*x.shape[:3], 4)
    feature = float(layer.feature_scale) * _apply(back, layer.feature_out.layers) + x
    return _apply(np.concatenate([spatial, feature], axis=-1), layer.fusion.layers)


@pytest.fixture(scope="module")
def layer():
    """Both graphs are let through; read it only."""
    return _layer((None, None, None, 8))


@pytest.mark.parametrize("size", [(7, 5), (8, 6), (16, 9)])
def test_both_graphs_by_the_page(layer, size):
    x = _features((2, *size, 8))
    np.testing.assert_allclose(layer(x), _by_the_page(layer, x.astype(np.float64)), rtol=1e-3, atol=1e-4)


def test_parameters_of_the_paper():
    layer = DynamicDualGraphConv()
    layer.build((None, 60, 60, 512))
    assert sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights) == 1_547_010
    # k, v, q and the spatial output alone have biases.
    assert sorted(weight.shape[0] for weight in layer.weights if "bias" in weight.name) == [256, 256, 256, 512]


def test_at_first_there_are_no_graphs():
    x = _features()
    layer = DynamicDualGraphConv()
    layer.build(x.shape)
    assert float(layer.spatial_scale) == float(layer.feature_scale) == 0
    before = layer(x).numpy()
    for part in (layer.k, layer.v, layer.q, layer.spatial_out, layer.phi, layer.theta, layer.state):
        part.set_weights([weight + 0.5 for weight in part.get_weights()])
    np.testing.assert_array_equal(layer(x), before)
    # F = X and S = X · up(L) + X remain.
    np.testing.assert_allclose(before, _by_the_page(layer, x.astype(np.float64)), rtol=1e-3, atol=1e-5)
    for scale in (layer.spatial_scale, layer.feature_scale):
        scale.assign(1.0)
        assert np.abs(layer(x) - before).max() > 1e-3
        scale.assign(0.0)


def test_both_scales_learn_from_the_first_step():
    x = _features()
    layer = DynamicDualGraphConv()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(layer(x, training=True)) * _features(seed=2))
    scales = [layer.spatial_scale, layer.feature_scale]
    gradients = tape.gradient(loss, [*layer.trainable_weights, *scales])
    assert all(gradient is not None for gradient in gradients)
    assert min(abs(float(gradient)) for gradient in gradients[-2:]) > 1e-4


def test_an_image_is_seen_alone(layer):
    x = _features((3, 6, 7, 8))
    together = layer(x).numpy()
    for index in range(3):
        np.testing.assert_allclose(layer(x[index : index + 1])[0], together[index], atol=1e-5)
    np.testing.assert_allclose(layer(x[::-1])[::-1], together, atol=1e-5)


def test_context_is_global():
    # Both graphs carry a change in a corner to the corner opposite, which the 3 x 3 convolutions don't reach.
    x = _features((1, 48, 48, 8))
    changed = x.copy()
    changed[0, :2, :2] += 10
    layer = _layer(x.shape)
    # Scores so large that the softmax picks one channel would hide the change.
    layer.q.set_weights([0.1 * weight for weight in layer.q.get_weights()])
    for spatial, feature in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)):
        layer.spatial_scale.assign(spatial)
        layer.feature_scale.assign(feature)
        difference = np.abs(layer(changed) - layer(x))[0, -8:, -8:].max()
        assert difference > 1e-5 if spatial or feature else difference == 0


def test_sizes_known_at_run_time(layer):
    x = _features((2, 6, 9, 8))
    image = keras.Input((None, None, 8))
    model = keras.Model(image, layer(image))
    assert model.output_shape == (None, None, None, 8)
    np.testing.assert_allclose(model(x), _by_the_page(layer, x.astype(np.float64)), rtol=1e-3, atol=1e-4)


def test_half_precision():
    x = _features((2, 16, 16, 32))
    expected = _layer(x.shape)(x).numpy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        layer = _layer(x.shape)
        got = layer(x)
        with tf.GradientTape() as tape:
            output = layer(x, training=True)
        gradients = tape.gradient(output, layer.trainable_weights)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert got.dtype == tf.bfloat16
    assert {weight.dtype for weight in layer.weights} == {tf.float32}
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert np.abs(got.numpy().astype(np.float32) - expected).mean() < 0.02 * np.abs(expected).mean()


def test_conformance():
    x = _features()
    check_layer(_layer(x.shape), x, any_size=True, formats=(".keras",))


def test_every_weight_has_its_name(layer):
    names = [weight.name for weight in layer.weights]
    assert len(set(names)) == len(names)
    assert {"k/kernel:0", "v/bias:0", "spatial_scale:0"} <= set(names)


def test_channels_are_quartered():
    with pytest.raises(ValueError, match="received 6 channels"):
        DynamicDualGraphConv().build((None, 4, 4, 6))
