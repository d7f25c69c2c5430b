"""Folded batch norm: the formula by hand, equal answers in every network, nothing left of what can be folded."""

import numpy as np
import pytest
import tensorflow as tf
from branched_networks import random_images, randomise
from tensorflow import keras

from keras_models import DMLCSR, DMMCNN, MGGNet, MultiTaskNetwork
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


# Networks whose batch norm can be folded in part: convolutions of models among the layers, what stands before them.
OTHERS = {
    "plain, Lite0": lambda: MultiTaskNetwork((64, 64, 3), {"age": 1, "mask": 3}, ["mask"], "efficientnet_lite0"),
    "MGG-Net": lambda: MGGNet((64, 64, 3), "resnet10", backbone_width=4),
    "DMM-CNN": lambda: DMMCNN((64, 64, 3), 5, "resnet10", backbone_width=4, objective_units=[8], subjective_units=[8]),
    "DML-CSR": lambda: DMLCSR((64, 64, 3), 5, backbone_blocks=(1, 1, 1, 1), backbone_width=4, head_width=16),
}


@pytest.mark.parametrize("name", OTHERS)
def test_answers_of_other_networks_are_equal(name):
    keras.utils.set_random_seed(1)
    network = OTHERS[name]()
    _randomise_all(network)
    folded = fold_batch_norm(network)
    expected, answers = network(random_images(64, 4)), folded(random_images(64, 4))
    assert list(answers) == list(expected)
    for output, values in expected.items():
        scale = np.abs(values).max()
        assert scale > 1e-3
        np.testing.assert_allclose(answers[output], values, atol=1e-4 * max(1, scale), err_msg=output)
    assert _count(folded) < _count(network) / 2


def test_what_has_nothing_to_fold_is_itself():
    network = MultiTaskNetwork((64, 64, 3), {"age": 1}, backbone="alexnet")
    assert fold_batch_norm(network) is network


def test_batch_norm_before_a_convolution_or_of_two_readers_stays():
    image = keras.Input((8, 8, 3))
    before = keras.layers.BatchNormalization(name="before")(image)
    shared = keras.layers.Conv2D(4, 3, name="shared")(before)
    one = keras.layers.BatchNormalization(name="one")(shared)
    given = keras.layers.Conv2D(4, 1, name="given")(one)
    after = keras.layers.BatchNormalization(name="after")(given)
    active = keras.layers.Conv2D(4, 1, activation="relu", name="active")(after)
    last = keras.layers.BatchNormalization(name="last")(active)
    network = keras.Model(image, {"sum": shared + last, "given": given})
    assert fold_batch_norm(network) is network


def _randomise_all(network):
    """Moments of every batch norm, in models and layers too, and kernels that start as zeros."""
    random = np.random.default_rng(0)
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    for weight in network.weights:
        if "_out/kernel" in weight.name:
            weight.assign(random.normal(0, 0.1, weight.shape))


def _count(network):
    return sum(isinstance(layer, keras.layers.BatchNormalization) for layer in network._flatten_layers())


def test_answers_are_equal(network):
    folded = fold_batch_norm(network)
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
