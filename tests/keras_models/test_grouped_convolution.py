"""Grouped convolution: each group sees its own channels alone, forward and backward."""

import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_layer

from keras_models import grouped_convolution
from keras_models.grouped_convolution import GroupedConv2D

ONE_OP = grouped_convolution._kernels_have_the_gradient(tf.float32)


@pytest.mark.parametrize("one_op", [True, False])
@pytest.mark.parametrize(("kernel", "groups", "filters"), [(3, 3, 6), (1, 6, 6), (3, 1, 4)])
def test_groups_are_convolutions_side_by_side(kernel, groups, filters, one_op, monkeypatch):
    if one_op and not ONE_OP:
        pytest.skip("TensorFlow's kernels on this machine have no gradient of grouped convolutions")
    monkeypatch.setattr(grouped_convolution, "_kernels_have_the_gradient", lambda dtype: one_op)
    random = np.random.default_rng(0)
    images = tf.constant(random.normal(size=(2, 7, 5, 12)), tf.float32)
    layer = GroupedConv2D(filters, kernel, groups, padding="same")
    with tf.GradientTape() as tape:
        tape.watch(images)
        together = layer(images)
        loss = tf.reduce_sum(tf.sin(together))
    gradients = tape.gradient(loss, [images, layer.kernel])
    with tf.GradientTape() as tape:
        tape.watch(images)
        parts = zip(tf.split(images, groups, -1), tf.split(layer.kernel, groups, -1), strict=True)
        apart = tf.concat([tf.nn.conv2d(x, w, 1, "SAME") for x, w in parts], -1)
        loss = tf.reduce_sum(tf.sin(apart))
    expected = tape.gradient(loss, [images, layer.kernel])
    np.testing.assert_allclose(together, apart, rtol=1e-5, atol=1e-6)
    for one, other in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_conformance():
    layer = GroupedConv2D(6, 3, groups=3, padding="same", name="context")
    check_layer(layer, np.random.default_rng(0).normal(size=(2, 7, 5, 12)).astype(np.float32), any_size=True)
    assert not layer.use_bias


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_step_in_a_graph(policy):
    layer = GroupedConv2D(6, 3, groups=3, padding="same", dtype=policy)
    layer.build((None, 7, 5, 12))
    inputs = tf.constant(np.random.default_rng(0).normal(size=(2, 7, 5, 12)), tf.float32)

    def gradient():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(layer(inputs)))
        return tape.gradient(loss, layer.kernel)

    tolerance = 1e-4 if policy == "float32" else 0.1
    np.testing.assert_allclose(tf.function(gradient)(), gradient(), rtol=tolerance, atol=tolerance)
