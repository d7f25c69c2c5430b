"""Branched ResNet-18: its weights, tasks apart from each other, widening without a change, caps."""

import numpy as np
import pytest
import tensorflow as tf
from branched_networks import kernels, random_images, randomise
from tensorflow import keras

from keras_models.branch_tree import BranchTree
from keras_models.branched_resnet18 import BranchedResNet18, ThinResNet18

SHAPE = (32, 32, 3)
UNBRANCHED = BranchTree.unbranched(BranchedResNet18.LAYERS, 4)
# The last block: 0 2 | 1 3; the one below the same two, in the other order.
TREE = UNBRANCHED.widened("conv5_block2", [[0, 2], [1, 3]]).widened("conv5_block1", [[1], [0]])


def test_weights_worked_by_hand():
    # conv1 7·7·3·8 = 1176; a block of 8 channels 2·(3·3·8·8) + 8·8 = 1216; an output 8.
    assert kernels(ThinResNet18(SHAPE, 8, 4)) == 1176 + 8 * 1216 + 4 * 8
    # Two blocks twice.
    assert kernels(BranchedResNet18(SHAPE, 8, TREE)) == 1176 + (6 + 2 * 2) * 1216 + 4 * 8


def test_strides_are_those_of_resnet():
    network = ThinResNet18((64, 64, 3), 8, 2)
    sides = [network.get_layer(f"conv{stage}_block2_out").output.shape[1] for stage in (2, 3, 4, 5)]
    assert sides == [16, 8, 4, 2]


def test_a_task_depends_on_its_own_branches_alone():
    keras.utils.set_random_seed(4)  # with some others a path's last ReLU is shut for both images
    network = BranchedResNet18(SHAPE, 8, TREE)
    randomise(network)
    before = network(random_images(32))["attributes"].numpy()
    kernel = network.get_layer("conv5_block1_1_conv").kernel  # branches 1 3 | 0 2, of 8 channels each
    kernel.assign(tf.concat([kernel[..., :8] * 2, kernel[..., 8:]], axis=-1))
    moved = np.abs(network(random_images(32))["attributes"] - before).max(axis=0)
    assert (moved[[1, 3]] > 1e-4).all()
    np.testing.assert_array_equal(moved[[0, 2]], 0)


@pytest.mark.parametrize(("width", "caps"), [(16, [4, 4, 8, 16, 32]), (64, [1, 1, 2, 4, 8])])
def test_most_branches(width, caps):
    network = ThinResNet18(SHAPE, width, 2)
    blocks = ["conv1", "conv2_block1", "conv3_block1", "conv4_block2", "conv5_block2"]
    assert [network.max_branches(block) for block in blocks] == caps
