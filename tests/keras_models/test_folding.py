"""Folded batch norm: the formula by hand, equal answers, nothing of it left."""

import numpy as np
import pytest
import tensorflow as tf
from branched_networks import random_images, randomise
from tensorflow import keras

from keras_models.branch_tree import BranchTree
from keras_models.branched_resnet18 import BranchedResNet18, ThinResNet18
from keras_models.branched_vgg16 import BranchedVGG16, FactorizedVGG16, ThinVGG16
from keras_models.folding import fold_batch_norm

pytestmark = pytest.mark.slow

SHAPE = (32, 32, 3)


def _unbranched(kind):
    return BranchTree.unbranched(kind.LAYERS, 5)


def _branched(kind, *names):
    tree = _unbranched(kind).widened(names[0], [[0, 2], [1, 3], [4]])
    return tree.widened(names[1], [[1], [2, 0]])


NETWORKS = {
    "thin": lambda: BranchedVGG16(SHAPE, 8, _unbranched(BranchedVGG16)),
    "branched": lambda: BranchedVGG16(SHAPE, 8, _branched(BranchedVGG16, "fc7", "fc6")),
    "two outputs": lambda: BranchedVGG16(SHAPE, 8, _unbranched(BranchedVGG16), {"attributes": 2, "clothing": 3}),
    "low-rank": lambda: FactorizedVGG16(SHAPE, 32, _branched(FactorizedVGG16, "fc7", "fc6")),
    "ResNet": lambda: BranchedResNet18(SHAPE, 8, _branched(BranchedResNet18, "conv5_block2", "conv5_block1")),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    keras.utils.set_random_seed(1)
    built = NETWORKS[request.param]()
    randomise(built)
    return built


def test_answers_are_equal(network):
    folded = fold_batch_norm(network)
    assert type(folded) is type(network)
    assert folded.tree == network.tree
    expected, answers = network(random_images(32, 4)), folded(random_images(32, 4))
    assert list(answers) == list(expected)
    for output, scores in expected.items():
        np.testing.assert_allclose(answers[output], scores, atol=1e-4)
        assert np.ptp(scores) > 0.01


def test_no_batch_norm_is_left(network):
    def ops(of):
        graph = tf.function(lambda x: of(x, training=False)).get_concrete_function(tf.TensorSpec([1, *SHAPE])).graph
        return {operation.type for operation in graph.get_operations()}

    def norms(of):
        return [layer for layer in of.layers if isinstance(layer, keras.layers.BatchNormalization)]

    folded = fold_batch_norm(network)
    assert norms(network)
    assert not norms(folded)
    assert "FusedBatchNormV3" in ops(network)
    assert not [kind for kind in ops(folded) if "BatchNorm" in kind or kind == "Rsqrt"]
    assert len(folded.weights) == len(network.weights) - 3 * len(norms(network))  # γ, β, μ, σ² gone, a bias come


def test_folded_by_hand():
    network = ThinResNet18(SHAPE, 2, 1)
    convolution, norm = network.get_layer("conv1_conv"), network.get_layer("conv1_bn")
    kernel = np.ones((7, 7, 3, 2), np.float32)
    convolution.set_weights([kernel])
    # s = 3/√4 and -2/√0.25; β - μ·s = 1 - 5·1.5 and 0 - 1·(-4)
    norm.set_weights(np.array([[3, -2], [1, 0], [5, 1], [4 - norm.epsilon, 0.25 - norm.epsilon]]))
    folded, bias = fold_batch_norm(network).get_layer("conv1_conv").get_weights()
    np.testing.assert_allclose(folded, kernel * [1.5, -4], rtol=1e-5)
    np.testing.assert_allclose(bias, [-6.5, 4], rtol=1e-5)


def test_training_on_leaves_the_folded_network():
    network = ThinVGG16(SHAPE, 8, 2)
    folded = fold_batch_norm(network)
    before = folded(random_images(32))["attributes"].numpy()
    randomise(network)
    np.testing.assert_array_equal(folded(random_images(32))["attributes"], before)


def test_folded_is_saved_and_loaded(tmp_path):
    network = NETWORKS["branched"]()
    randomise(network)
    folded = fold_batch_norm(network)
    folded.save(tmp_path / "folded.keras")
    loaded = keras.models.load_model(tmp_path / "folded.keras")
    np.testing.assert_array_equal(loaded(random_images(32))["attributes"], folded(random_images(32))["attributes"])
