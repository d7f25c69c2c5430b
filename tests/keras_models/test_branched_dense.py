"""Fully connected branches, flattened ones and those that read their parents: numbers by hand."""

import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_layer
from tensorflow import keras

from keras_models.branched_dense import BranchedDense
from keras_models.branches import Branches, conv, dense, flatten


def _dense(branches, shared, inputs, kernel):
    layer = BranchedDense(1, branches, shared)
    layer.build((None, inputs))
    layer.set_weights([kernel, np.arange(branches) * 100.0])
    return layer


def test_branches_apart():
    layer = _dense(2, False, 4, np.array([[[1], [2]], [[3], [4]]]))
    # 1·1 + 2·2; 3·3 + 4·4 + 100
    np.testing.assert_allclose(layer(tf.constant([[1.0, 2, 3, 4], [0, 0, 0, 0]])), [[5, 125], [0, 100]])


def test_branches_that_share_their_input():
    layer = _dense(2, True, 2, np.array([[[1], [2]], [[3], [4]]]))
    # 1·1 + 2·2; 3·1 + 4·2 + 100
    np.testing.assert_allclose(layer(tf.constant([[1.0, 2]])), [[5, 111]])


@pytest.mark.parametrize("shared", [True, False])
def test_one_branch_is_a_dense_layer(shared):
    layer = BranchedDense(5, 1, shared)
    inputs = tf.random.stateless_normal([3, 4], (0, 1))
    outputs = layer(inputs)
    np.testing.assert_allclose(outputs, inputs @ layer.kernel[0], rtol=1e-5, atol=1e-6)


def test_each_branch_starts_as_a_layer_of_its_own():
    layer = BranchedDense(400, 25, shared=True)
    layer.build((None, 50))
    kernel = layer.kernel.numpy()
    assert kernel.std() == pytest.approx(np.sqrt(2 / 50), rel=0.02)  # He
    assert not np.allclose(kernel[0], kernel[1])


def test_flattened_branch_by_branch():
    # A pixel a row; branch 0 has 10s, branch 1 has 20s and up.
    maps = np.array([[10, 11, 20, 21], [12, 13, 22, 23]], np.float32).reshape(1, 2, 1, 4)
    flat = flatten(Branches(maps, 2), "flat")
    assert flat.count == 2
    np.testing.assert_array_equal(flat.features, [[10, 11, 12, 13, 20, 21, 22, 23]])
    np.testing.assert_array_equal(flatten(Branches(maps, 1), "flat").features, maps.reshape(1, 8))


@pytest.mark.parametrize(
    ("layer", "leading"),
    [(lambda x: dense(x, [2, 0, 0], 1, "up"), ()), (lambda x: conv(x, [2, 0, 0], 1, 1, "up"), (1, 1))],
)
def test_branches_read_their_parents(layer, leading):
    below = keras.Input((*leading, 6))
    network = keras.Model(below, layer(Branches(below, 3)).features)
    kernel = network.layers[-1].kernel
    # Each branch is its parent's first channel and ten times its second.
    by_branch = [[[1], [10]]] * 3 if kernel.shape.rank == 3 else [[[[1] * 3, [10] * 3]]]
    kernel.assign(by_branch)
    features = np.arange(6, dtype=np.float32).reshape(1, *leading, 6)
    np.testing.assert_array_equal(np.ravel(network(features)), [4 + 50, 0 + 10, 0 + 10])


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (BranchedDense(2, 3, True, use_bias=False), (4,)),
        (BranchedDense(2, 3, False), (6,)),
        (BranchedDense(2, 1, True), (4,)),
    ],
)
def test_conformance(layer, shape):
    check_layer(layer, np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32))
