"""Widening: the network computes what it computed, and every branch is the one that it came from."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from components.systems.branching.widening import copy_branches, widen
from keras_models import ThinResNet18, ThinVGG16
from keras_models.branch_tree import BranchTree

pytestmark = pytest.mark.slow

TASKS = 6
WIDTH = 8
IMAGES = np.random.default_rng(7).uniform(0, 255, (8, 64, 64, 3)).astype(np.float32)
# From the top down, each group the numbers of branches above: out of order, groups apart, a layer as the one above.
VGG_ROUNDS = (
    ("fc7", [[5], [0, 3], [1, 4], [2]]),
    ("fc6", [[2, 0], [3], [1]]),
    ("conv5_3", [[1], [2], [0]]),
    ("conv5_2", [[0, 1], [2]]),
    ("conv5_1", [[1], [0]]),
    ("conv4_3", [[1], [0]]),
    ("conv4_2", [[0], [1]]),
    ("conv4_1", [[0], [1]]),
    ("conv3_3", [[1], [0]]),
    ("conv3_2", [[0], [1]]),
    ("conv3_1", [[0], [1]]),
)
RESNET_ROUNDS = (
    ("conv5_block2", [[5, 1], [0, 3], [4], [2]]),
    ("conv5_block1", [[2, 0], [3], [1]]),
    ("conv4_block2", [[1, 2], [0]]),
    ("conv4_block1", [[1], [0]]),
    ("conv3_block2", [[0], [1]]),
    ("conv3_block1", [[1], [0]]),
    ("conv2_block2", [[0], [1]]),
    ("conv2_block1", [[0], [1]]),
    ("conv1", [[1], [0]]),
)


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)


def _as_trained(network):
    """With batch norm as training leaves it."""
    random = np.random.default_rng(0)
    spans = {"gamma": (0.5, 1.5), "beta": (-0.3, 0.3), "moving_mean": (-0.5, 0.5), "moving_variance": (0.5, 2)}
    for weight in network.weights:
        kind = weight.name.split("/")[-1].split(":")[0]
        if kind in spans:
            weight.assign(random.uniform(*spans[kind], weight.shape))
    return _outspoken(network)


def _trained_on(network):
    """With branches that are no longer copies of each other."""
    random = np.random.default_rng(2)
    for weight in network.trainable_weights:
        weight.assign(weight * random.uniform(0.7, 1.3, weight.shape))
    return _outspoken(network)


def _outspoken(network, training=False):
    """With outputs that differ: the logits of each task spread by 1 over the images."""
    random = np.random.default_rng(1)
    output = network.get_layer("output_dense")
    kernel = random.normal(size=output.kernel.shape)
    output.kernel.assign(kernel)
    output.bias.assign(np.zeros(TASKS))
    logits = keras.Model(network.input, output.output)(IMAGES, training=training).numpy()
    spread = logits.std(axis=0)
    output.kernel.assign(kernel / spread[:, np.newaxis, np.newaxis])
    output.bias.assign(random.normal(0, 0.5, TASKS) - logits.mean(axis=0) / spread)
    return network


def _thin(input_shape=(64, 64, 3), width=WIDTH, outputs=None):
    return _as_trained(ThinVGG16(input_shape, width, TASKS, outputs))


def _grown(tree, rounds):
    for layer, groups in rounds:
        tree = tree.widened(layer, groups)
    return tree


def _with(tree, **branches):
    """The tree with other branches in some layers."""
    return BranchTree(tree.num_tasks, tree.layers, tuple(branches.get(layer, tree.of(layer)) for layer in tree.layers))


def _answers(network, training=False):
    return {name: answer.numpy() for name, answer in network(IMAGES, training=training).items()}


def _assert_same(found, expected, atol=1e-5):
    assert found.keys() == expected.keys()
    for name, answer in expected.items():
        np.testing.assert_allclose(found[name], answer, rtol=0, atol=atol)


def _assert_varied(answers):
    """Else that two networks agree says little."""
    for answer in answers.values():
        assert np.ptp(answer, axis=0).min() > 0.01  # over images
        assert np.ptp(answer, axis=1).min() > 0.01  # over tasks


def _by_name(variables):
    values = {variable.name: variable.numpy() for variable in variables}
    assert len(values) == len(variables)
    return values


class TestSameFunction:
    @pytest.mark.parametrize(
        ("build", "rounds"), [(ThinVGG16, VGG_ROUNDS), (ThinResNet18, RESNET_ROUNDS)], ids=["vgg16", "resnet18"]
    )
    def test_round_by_round(self, build, rounds):
        network = _as_trained(build((64, 64, 3), WIDTH, TASKS))
        tree = network.tree
        for layer, groups in rounds:
            expected = _answers(network)
            _assert_varied(expected)
            tree = tree.widened(layer, groups)
            network = widen(network, tree)
            assert network.tree == tree
            assert len(tree.of(layer)) > 1
            _assert_same(_answers(network), expected)
            _trained_on(network)

    @pytest.mark.parametrize(
        ("build", "rounds"), [(ThinVGG16, VGG_ROUNDS), (ThinResNet18, RESNET_ROUNDS)], ids=["vgg16", "resnet18"]
    )
    def test_all_at_once_is_round_by_round(self, build, rounds):
        network = _as_trained(build((64, 64, 3), WIDTH, TASKS))
        step_by_step = widen(widen(network, _grown(network.tree, rounds[:4])), _grown(network.tree, rounds))
        at_once = widen(network, _grown(network.tree, rounds))
        for found, expected in zip(at_once.get_weights(), step_by_step.get_weights(), strict=True):
            np.testing.assert_array_equal(found, expected)

    def test_while_training(self):
        """Statistics of the batch and what they leave in the moving ones."""
        network = _outspoken(_thin(), training=True)
        wider = widen(network, _grown(network.tree, VGG_ROUNDS[:6]))
        expected = _answers(network, training=True)
        _assert_varied(expected)
        _assert_same(_answers(wider, training=True), expected)
        before, after = _by_name(network.weights), _by_name(wider.weights)
        for moments in ("moving_mean:0", "moving_variance:0"):
            of_fc6, of_each = before[f"fc6_bn/{moments}"], after[f"fc6_bn/{moments}"].reshape(3, 2 * WIDTH)
            np.testing.assert_allclose(of_each, np.tile(of_fc6, (3, 1)), rtol=1e-4, atol=1e-5)

    def test_mixed_precision(self):
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
        try:
            network = _thin()
            wider = widen(network, _grown(network.tree, VGG_ROUNDS))
            assert wider.get_layer("conv3_1_conv").compute_dtype == "bfloat16"
            expected = _answers(network)
            _assert_varied(expected)
            _assert_same(_answers(wider), expected, atol=0.01)  # sums in another order are rounded differently
        finally:
            keras.mixed_precision.set_global_policy("float32")

    def test_two_outputs(self):
        network = _thin(outputs={"attributes": 2, "clothing": 4})
        expected = _answers(network)
        assert {name: answer.shape for name, answer in expected.items()} == {"attributes": (8, 2), "clothing": (8, 4)}
        wider = widen(network, _grown(network.tree, VGG_ROUNDS[:4]))
        _assert_same(_answers(wider), expected)

    def test_a_layer_that_has_branches_gets_more(self):
        """2 -> 4 branches under what hangs on them already."""
        network = _thin()
        network = _trained_on(
            widen(network, _grown(network.tree, (("fc7", [[0, 1, 2], [3, 4, 5]]), ("fc6", [[1], [0]]))))
        )
        tree = _with(network.tree, fc7=((3,), (0, 2), (4, 5), (1,)), fc6=((1,), (4, 5), (0, 2), (3,)))
        expected = _answers(network)
        _assert_varied(expected)
        _assert_same(_answers(widen(network, tree)), expected)

    def test_branches_in_another_order(self):
        network = _thin()
        network = _trained_on(widen(network, _grown(network.tree, VGG_ROUNDS[:3])))
        turned = {layer: network.tree.of(layer)[::-1] for layer in ("fc7", "conv5_3")}
        expected = _answers(network)
        _assert_same(_answers(widen(network, _with(network.tree, **turned))), expected)

    def test_the_same_tree_is_a_copy(self):
        network = widen(_thin(), _grown(_thin().tree, VGG_ROUNDS[:2]))
        copy = widen(network, network.tree)
        for found, expected in zip(copy.get_weights(), network.get_weights(), strict=True):
            np.testing.assert_array_equal(found, expected)
        copy.get_layer("fc7_dense").kernel.assign(np.zeros((4, 16, 16)))
        assert network.get_layer("fc7_dense").kernel.numpy().any()


class TestEveryBranchIsItsOrigin:
    """By hand: fc7 (16 channels) and conv5_3 (8) go from two branches to four, from branch 1, 0, 1, 0."""

    ORIGINS = (1, 0, 1, 0)
    HALVES = ((0, 1, 2), (3, 4, 5))
    QUARTERS = ((3,), (0, 2), (4, 5), (1,))

    @pytest.fixture(scope="class")
    def pair(self):
        thin = _thin()
        network = _as_trained(widen(thin, _with(thin.tree, conv5_3=self.HALVES, fc6=self.HALVES, fc7=self.HALVES)))
        _trained_on(network)
        tree = _with(network.tree, conv5_3=self.QUARTERS, fc6=self.QUARTERS, fc7=self.QUARTERS)
        return network, widen(network, tree)

    def test_fully_connected(self, pair):
        before, after = (_by_name(network.weights) for network in pair)
        for layer in ("fc6", "fc7"):
            kernel = f"{layer}_dense/kernel:0"
            assert after[kernel].shape[0] == 4
            for number, origin in enumerate(self.ORIGINS):
                np.testing.assert_array_equal(after[kernel][number], before[kernel][origin])

    def test_convolution(self, pair):
        before, after = (_by_name(network.weights)["conv5_3_conv/kernel:0"] for network in pair)
        assert after.shape == (3, 3, 8, 32)
        for number, origin in enumerate(self.ORIGINS):
            np.testing.assert_array_equal(
                after[..., 8 * number : 8 * number + 8], before[..., 8 * origin : 8 * origin + 8]
            )

    @pytest.mark.parametrize(("layer", "channels"), [("conv5_3", 8), ("fc6", 16), ("fc7", 16)])
    @pytest.mark.parametrize("kind", ["gamma", "beta", "moving_mean", "moving_variance"])
    def test_batch_norm(self, pair, layer, channels, kind):
        before, after = (_by_name(network.weights)[f"{layer}_bn/{kind}:0"] for network in pair)
        assert after.shape == (4 * channels,)
        for number, origin in enumerate(self.ORIGINS):
            np.testing.assert_array_equal(after[channels * number :][:channels], before[channels * origin :][:channels])

    def test_the_rest_stays(self, pair):
        before, after = (_by_name(network.weights) for network in pair)
        rest = [name for name in before if not name.startswith(("conv5_3_", "fc6_", "fc7_"))]
        assert len(rest) == 12 * 5 + 2
        for name in rest:
            np.testing.assert_array_equal(after[name], before[name])

    def test_and_computes_the_same(self, pair):
        network, wider = pair
        expected = _answers(network)
        _assert_varied(expected)
        _assert_same(_answers(wider), expected)


class TestNotThinner:
    def test_branches_joined(self):
        network = widen(_thin(), _grown(_thin().tree, VGG_ROUNDS[:1]))
        with pytest.raises(ValueError, match=r"branch \(0, 1, 2, 3, 4, 5\) of fc7 .* not made thinner"):
            widen(network, _thin().tree)

    def test_branches_crossed(self):
        thin = _thin()
        network = widen(thin, _with(thin.tree, fc7=((0, 1, 2), (3, 4, 5))))
        with pytest.raises(ValueError, match=r"branch \(1, 3\) of fc7"):
            widen(network, _with(thin.tree, fc7=((0, 2), (1, 3), (4, 5))))

    def test_tree_of_another_network(self):
        with pytest.raises(ValueError, match="layers"):
            widen(_thin(), ThinResNet18((64, 64, 3), WIDTH, TASKS).tree)


@pytest.mark.parametrize(
    ("rounds", "columns", "num_fc6", "num_fc7"),
    [
        ((), 9, 1, 1),
        ((("fc7", [[0, 2], [1, 3, 4], [5]]),), 9, 1, 3),
        (VGG_ROUNDS[:5], 3 + 2 + 2 + 6, 3, 4),
        (VGG_ROUNDS, 3 + 8 * 2, 3, 4),
    ],
)
def test_kernels_as_the_paper_counts(rounds, columns, num_fc6, num_fc7):
    """224 px, ω = 32: conv1, conv2 and the outputs, 9 · 32² a column, 7² · 32 · 64 a branch of fc6, 64² of fc7."""
    network = ThinVGG16((224, 224, 3), 32, TASKS)
    wider = widen(network, _grown(network.tree, rounds))
    counted = sum(np.prod(weight.shape) for weight in wider.weights if "kernel" in weight.name)
    constant = 9 * 3 * 32 + 3 * 9216 + 64 * TASKS
    assert counted == constant + 9216 * columns + 100_352 * num_fc6 + 4096 * num_fc7


class TestOptimizer:
    """Its moments go with the branches."""

    @pytest.mark.parametrize(
        "build",
        [
            lambda: keras.optimizers.SGD(0.01, momentum=0.9),
            lambda: keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(0.001, 10), weight_decay=0.1),
        ],
        ids=["sgd", "adamw"],
    )
    def test_moments(self, build):
        thin = _thin()
        network = widen(thin, _with(thin.tree, fc7=((0, 1, 2), (3, 4, 5))))
        optimizer = build()
        optimizer.build(network.trainable_variables)
        targets = np.random.default_rng(3).integers(0, 2, (8, TASKS))
        for _ in range(2):
            with tf.GradientTape() as tape:
                loss = keras.losses.BinaryCrossentropy()(targets, network(IMAGES, training=True)["attributes"])
            variables = network.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        halves = ((0, 1, 2), (3, 4, 5))
        tree = _with(network.tree, conv5_3=halves, fc6=halves[::-1], fc7=((3,), (0, 2), (4, 5), (1,)))
        wider, new = widen(network, tree), build()
        new.build(wider.trainable_variables)
        copy_branches(optimizer.variables, new.variables, network.tree, tree)

        before, after = _by_name(optimizer.variables), _by_name(new.variables)
        assert before.keys() == after.keys()
        assert after["iteration:0"] == 2
        slots = {name.split("/")[0] for name in before if "/" in name}
        assert "m" in slots
        for slot, kind in itertools.product(slots, ("gamma:0", "beta:0")):
            of_layer = before[f"{slot}/fc7_bn/{kind}"]
            parts = [of_layer[16:], of_layer[:16], of_layer[16:], of_layer[:16]]
            np.testing.assert_array_equal(after[f"{slot}/fc7_bn/{kind}"], np.concatenate(parts))
        for slot in slots:
            kernel = before[f"{slot}/fc7_dense/kernel:0"]
            assert kernel[0].any()
            assert (kernel[0] != kernel[1]).any()
            np.testing.assert_array_equal(after[f"{slot}/fc7_dense/kernel:0"], kernel[[1, 0, 1, 0]])
            kernel = before[f"{slot}/conv5_3_conv/kernel:0"]
            np.testing.assert_array_equal(after[f"{slot}/conv5_3_conv/kernel:0"], np.tile(kernel, 2))
            for name in ("conv1_1_conv/kernel:0", "conv5_2_bn/gamma:0", "output_dense/kernel:0", "output_dense/bias:0"):
                np.testing.assert_array_equal(after[f"{slot}/{name}"], before[f"{slot}/{name}"])

    def test_variables_in_any_order(self):
        thin = _thin()
        tree = _grown(thin.tree, VGG_ROUNDS[:2])
        wider, other = thin.rebuilt(tree=tree), widen(thin, tree)
        copy_branches(thin.weights[::-1], wider.weights, thin.tree, tree)
        for found, expected in zip(wider.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(found, expected)
