"""MGG-Net's signature of what it attends to, and the heads that only training needs."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from components.serving.export import read_keras, restore_trained
from components.serving.module import served_part
from components.systems.mgg_net.system import MGGNetSystem
from keras_models import MGGNet
from keras_models.mgg_net import attention_maps
from tests.support import serving
from tests.support.serving import SIZE, answers_of, bound, exported, learnt, pixels, replayed

pytestmark = pytest.mark.slow

ATTRIBUTES = bound("attributes", "multi_label", ("Male", "Smiling", "Young"), scores="probabilities")
GROUPS = {"mouth": ("Smiling",), "around head": ("Young",), "whole face": ("Male",)}
HEADS = {"gal_block3/kernel:0", "gal_block4/kernel:0"}


def network(seed=0, **options) -> keras.Model:
    """Its blocks 3 and 4 have 8 and 16 channels, and maps of 4 x 4 and 2 x 2."""
    keras.utils.set_random_seed(seed)
    return MGGNet((*SIZE, 3), "resnet10", backbone_width=4, groups=GROUPS, attributes=ATTRIBUTES.names, **options)


@pytest.fixture(scope="module")
def trained():
    return network()


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    return exported(trained, learnt(ATTRIBUTES), tmp_path_factory.mktemp("mgg") / "model", MGGNetSystem())


@pytest.fixture(scope="module")
def signature(folder):
    return tf.saved_model.load(str(folder)).signatures["attention"]


def test_the_signature_is_what_clients_are_told(signature):
    inputs = {"image_bytes": tf.TensorSpec([None], tf.string, "image_bytes")}
    assert signature.structured_input_signature == ((), inputs)
    assert serving.specs(signature) == {
        "groups": (tf.string, [None, 3]),
        "masks_block3": (tf.float32, [None, 4, 4, 3]),
        "masks_block4": (tf.float32, [None, 2, 2, 3]),
        "affinities_block3": (tf.float32, [None, 3, 3]),
        "affinities_block4": (tf.float32, [None, 3, 3]),
    }


@pytest.mark.parametrize("count", [1, 5])
def test_attention_is_that_of_the_network_on_the_decoded_images(signature, trained, count):
    images = [serving.image(seed, SIZE, "PNG") for seed in range(count)]  # of the network's size: nothing is resized
    answers = answers_of(signature, *images)
    assert [[name.decode() for name in row] for row in answers.pop("groups")] == [list(GROUPS)] * count
    expected = attention_maps(trained)(np.stack([pixels(image) for image in images]).astype(np.float32), training=False)
    assert answers.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(answers[name], values, atol=1e-5)
        assert np.ptp(values) > 0


@pytest.mark.parametrize(("options", "answers"), [({"graph": False}, {"masks"}), ({"attention": None}, None)])
def test_there_is_only_what_the_network_has(options, answers):
    model = network(**options)
    signatures, contracts = MGGNetSystem().signatures(serving.served(model, ATTRIBUTES))
    if answers is None:
        assert (signatures, contracts) == ({}, {})
    else:
        expected = {"groups", "image_status", "masks_block3", "masks_block4"}
        outputs = signatures["attention"].get_concrete_function().structured_outputs
        assert outputs.keys() == contracts["attention"].keys() == expected
        assert {weight.name for weight in served_part(model, ["attributes"]).weights} >= HEADS, "they answer"


def test_it_serves(folder):
    message = replayed(folder)
    assert message.endswith("(decisions) keep to the contract; so do attention")


def test_heads_that_only_training_needs_are_not_exported(trained, folder):
    heads = 3 * 8 + 3 + 3 * 16 + 3  # gal_block3, gal_block4: a weight for each attribute and channel, and the biases
    assert read_keras(str(folder)).count_params() == trained.count_params() - heads
    program = (folder / "saved_model.pb").read_bytes()
    assert b"gcl_block3" in program
    assert b"gal_block" not in program


def test_shared_heads_answer_and_are_kept():
    assert {weight.name for weight in served_part(network(share_heads=True), ["attributes"]).weights} >= HEADS


def test_a_warm_start_leaves_what_was_not_exported(folder, trained):
    other = network(seed=1)
    before = {weight.name: weight.numpy() for weight in other.weights}
    restore_trained(other, str(folder), learnt(ATTRIBUTES))
    for weight, expected in zip(other.weights, trained.weights, strict=True):
        kept = weight.name.startswith("gal_")
        np.testing.assert_array_equal(weight, before[weight.name] if kept else expected, err_msg=weight.name)
    assert not np.array_equal(other.get_layer("gal_block3").kernel, trained.get_layer("gal_block3").kernel)
