"""Branched VGG-16: the paper's numbers of weights, each task's path alone, outputs, files, errors."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from branched_networks import kernels, random_images, randomise
from tensorflow import keras

from keras_models.branch_tree import OUTPUT, BranchTree
from keras_models.branched_vgg16 import VGG16, BranchedVGG16, LowRankVGG16, ThinVGG16
from keras_models.normalization import EPSILON

pytestmark = pytest.mark.slow

FULL_SIZE = (224, 224, 3)
SMALL = (32, 32, 3)


def _tree(num_tasks, **groups):
    """Widened from the top down, layer by layer."""
    tree = BranchTree.unbranched(BranchedVGG16.LAYERS, num_tasks)
    for layer, of_layer in groups.items():
        tree = tree.widened(layer, of_layer)
    return tree


# Branches of fc7: (0, 2), (1, 3), (4,); of fc6: (1, 3, 4), (0, 2); these two down to conv5_2. In fc6 the order differs.
TREE = _tree(5, fc7=[[0, 2], [1, 3], [4]], fc6=[[1, 2], [0]], conv5_3=[[1], [0]], conv5_2=[[0], [1]], conv5_1=[[0, 1]])
# Every layer branches, the lowest too.
TO_THE_IMAGE = _tree(
    3, fc7=[[2], [0], [1]], **{layer: [[0], [1], [2]] for layer in (*BranchedVGG16.LAYERS[:-1],)[::-1]}
)


@pytest.mark.parametrize(
    ("build", "number"),
    [
        (lambda: VGG16(FULL_SIZE, 40), 134_411_968),
        (lambda: VGG16(FULL_SIZE, 50), 134_452_928),
        (lambda: LowRankVGG16(FULL_SIZE, 40), 4_523_352),
        (lambda: ThinVGG16(FULL_SIZE, 32, 40), 218_464),
        (lambda: ThinVGG16(FULL_SIZE, 64, 40), 867_008),
    ],
    ids=["VGG-16, 40", "VGG-16, 50", "low-rank", "thin-32", "thin-64"],
)
def test_weights_of_the_paper(build, number):
    assert kernels(build()) == number


def _split(num_tasks, **counts):
    """Consecutive tasks in so many branches, each layer's made of the layer's above it."""
    groups, above = {}, num_tasks
    for layer, count in counts.items():
        groups[layer] = [part.tolist() for part in np.array_split(np.arange(above), count)]
        above = count
    return _tree(num_tasks, **groups)


@pytest.mark.parametrize(
    ("counts", "columns"),
    [
        ({}, 9),
        ({"fc7": 5}, 9),
        ({"fc7": 12, "fc6": 7, "conv5_3": 4}, 12),
        # conv4_3 … conv5_3: 2 + 3 + 4 + 4 of S, conv3_3: 2, conv4_1 and conv4_2: 2 each; two layers unsplit.
        (
            {
                "fc7": 20,
                "fc6": 10,
                "conv5_3": 4,
                "conv5_2": 4,
                "conv5_1": 3,
                "conv4_3": 2,
                "conv4_2": 2,
                "conv4_1": 2,
                "conv3_3": 2,
            },
            21,
        ),
    ],
    ids=["thin", "fc7", "conv5_3", "conv3_3"],
)
def test_weights_of_a_tree(counts, columns):
    tree = _split(40, **counts)
    assert sum(len(tree.of(layer)) for layer in tree.layers if layer[:5] in ("conv3", "conv4", "conv5")) == columns
    expected = 31_072 + 9_216 * columns + 100_352 * counts.get("fc6", 1) + 4_096 * counts.get("fc7", 1)
    assert kernels(BranchedVGG16(FULL_SIZE, 32, tree)) == expected


def _of_branch(layer, count, number):
    """The kernel of one branch of a layer."""
    kernel = layer.kernel.numpy()
    if kernel.ndim == 3:
        return kernel[number]
    return np.split(kernel, count, axis=-1)[number]


def _normalised(features, layer, count, number):
    """Batch norm of one branch, by its formula."""
    gamma, beta, mean, variance = (np.split(weight, count)[number] for weight in layer.get_weights())
    return gamma * (features - mean) / np.sqrt(variance + EPSILON) + beta


def _along_the_path(network, tree, images, task):
    """The score of a task from the weights on its path alone, as a plain chain of layers."""
    x = (images - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]
    for name in tree.layers:
        branches = tree.of(name)
        number = next(i for i, branch in enumerate(branches) if task in branch)
        if name.startswith("conv"):
            kernel = _of_branch(network.get_layer(f"{name}_conv"), len(branches), number)
            x = tf.nn.conv2d(tf.cast(x, tf.float32), kernel, 1, "SAME").numpy()
        else:
            x = x.reshape(len(x), -1) @ _of_branch(network.get_layer(f"{name}_dense"), len(branches), number)
        x = np.maximum(_normalised(x, network.get_layer(f"{name}_bn"), len(branches), number), 0)
        if name in ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3"):
            x = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).max(axis=(2, 4))
    kernel, bias = network.get_layer(f"{OUTPUT}_dense").get_weights()
    return 1 / (1 + np.exp(-(x @ kernel[task, :, 0] + bias[task])))


@pytest.mark.parametrize("tree", [TREE, TO_THE_IMAGE], ids=["upper layers", "every layer"])
def test_a_task_hears_its_own_path(tree):
    images = random_images(64)  # 2x2 before fc6, so that the order of flattening counts
    network = BranchedVGG16(images.shape[1:], 8, tree)
    randomise(network)
    scores = network(images)["attributes"].numpy()
    for task in range(tree.num_tasks):
        np.testing.assert_allclose(scores[:, task], _along_the_path(network, tree, images, task), atol=1e-5)
    assert np.ptp(scores) > 0.05


def test_two_outputs_share_the_tasks_in_order():
    together = BranchedVGG16(SMALL, 8, TREE)
    randomise(together)
    apart = together.rebuilt(outputs={"attributes": 2, "clothing": 3})
    apart.set_weights(together.get_weights())
    answers = apart(random_images(32))
    assert list(answers) == ["attributes", "clothing"]
    np.testing.assert_allclose(
        np.concatenate([answers["attributes"], answers["clothing"]], axis=1),
        together(random_images(32))["attributes"],
        atol=1e-6,
    )


def test_save_and_load(tmp_path):
    network = BranchedVGG16(SMALL, 8, TREE, {"attributes": 2, "clothing": 3}, name="branched")
    randomise(network)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert type(loaded) is BranchedVGG16
    assert (loaded.tree, loaded.width, loaded.name) == (TREE, 8, "branched")
    for output, answers in network(random_images(32)).items():
        np.testing.assert_array_equal(loaded(random_images(32))[output], answers)


def test_a_checkpoint_holds_weights_alone(tmp_path):
    network = BranchedVGG16(SMALL, 8, TREE)
    path = tf.train.Checkpoint(model=network).write(str(tmp_path / "checkpoint"))
    assert not [name for name, _ in tf.train.list_variables(path) if "_given" in name]


def test_mixed_precision_answers_in_float32():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        network = BranchedVGG16(SMALL, 8, TREE)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert network.get_layer("conv3_1_conv").compute_dtype == "bfloat16"
    assert network.get_layer("fc6_dense").compute_dtype == "bfloat16"
    assert network.get_layer(f"{OUTPUT}_dense").compute_dtype == "float32"
    plain = BranchedVGG16(SMALL, 8, TREE)
    plain.set_weights(network.get_weights())
    scores = network(random_images(32))["attributes"]
    assert scores.dtype == tf.float32
    np.testing.assert_allclose(scores, plain(random_images(32))["attributes"], atol=0.1)


@pytest.mark.parametrize(
    ("width", "caps"),
    [
        # floor(VGG-16's width / branch's); conv1 is no wider than 64 and fc6, fc7 have 2ω.
        (32, {"conv1_1": 2, "conv2_2": 4, "conv3_1": 8, "conv4_3": 16, "conv5_3": 16, "fc6": 64, "fc7": 64}),
        (64, {"conv1_1": 1, "conv2_2": 2, "conv3_1": 4, "conv4_3": 8, "conv5_3": 8, "fc6": 32, "fc7": 32}),
        (48, {"conv1_1": 1, "conv2_2": 2, "conv3_1": 5, "conv5_3": 10, "fc6": 42}),
        (2048, {"conv1_1": 1, "conv5_3": 1, "fc6": 1, "fc7": 1}),
    ],
)
def test_most_branches(width, caps):
    network = ThinVGG16(SMALL, width, 2)
    assert {layer: network.max_branches(layer) for layer in caps} == caps


def test_poolings_above():
    above = [BranchedVGG16.POOLING_ABOVE[layer] for layer in BranchedVGG16.LAYERS]
    assert above == [5, 5, 4, 4, 3, 3, 3, 2, 2, 2, 1, 1, 1, 0, 0]


def test_too_small_an_image():
    with pytest.raises(ValueError, match=r"at least 32 pixels a side, received input_shape=\(64, 31, 3\)"):
        ThinVGG16((64, 31, 3), 8, 2)


def test_a_tree_of_other_layers():
    with pytest.raises(ValueError, match=r"BranchedVGG16 has the layers .*conv1_1.* the tree has .*'a'"):
        BranchedVGG16(SMALL, 8, BranchTree.unbranched("abc", 2))


def test_outputs_add_up_to_the_tasks():
    with pytest.raises(ValueError, match=r"The tree has 5 tasks, the outputs .* have 6"):
        BranchedVGG16(SMALL, 8, TREE, {"attributes": 2, "clothing": 4})


def test_rebuilt_changes_what_it_is_told():
    network = BranchedVGG16(SMALL, 8, TREE, {"attributes": 2, "clothing": 3}, name="branched")
    wider = network.rebuilt(tree=BranchTree.unbranched(BranchedVGG16.LAYERS, 5))
    assert (wider.width, wider.name, list(wider.output)) == (8, "branched", ["attributes", "clothing"])
    assert all(len(wider.tree.of(layer)) == 1 for layer in wider.tree.layers)
    assert not any(a is b for a, b in itertools.product(network.weights, wider.weights))


def test_low_rank_is_a_basis_and_a_combination():
    network = LowRankVGG16(SMALL, 3)
    shapes = {
        name: tuple(network.get_layer(name).kernel.shape)
        for name in (
            "conv1_1_basis_conv",
            "conv1_1_conv",
            "conv5_1_basis_conv",
            "fc7_basis_dense",
            "output_basis_dense",
        )
    }
    assert shapes == {
        "conv1_1_basis_conv": (3, 3, 3, 8),
        "conv1_1_conv": (1, 1, 8, 64),
        "conv5_1_basis_conv": (3, 3, 512, 64),
        "fc7_basis_dense": (1, 4096, 64),
        "output_basis_dense": (1, 4096, 16),
    }
