"""What TensorBoard shows of a network with attention."""

import pathlib
import types

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from components.page import figures
from components.systems.mgg_net import drawings
from components.systems.mgg_net.summaries import attention_summaries
from keras_models import MGGNet
from keras_models.mgg_net import attention_maps
from tests.support import tiny_faces

GROUPS = {"eyes": ("A", "B"), "mouth": ("C",), "whole face": ("D", "E", "F")}
IMAGES = np.random.default_rng(0).integers(0, 256, (5, *tiny_faces.SIZE, 3), np.uint8)
VALIDATION = tf.data.Dataset.from_tensor_slices((IMAGES, {"attributes": tf.zeros([5, 6], tf.int64)})).batch(2)


def network(**options):
    keras.utils.set_random_seed(2)
    return MGGNet(
        (*tiny_faces.SIZE, 3), "resnet10", backbone_width=4, groups=GROUPS, attributes=tiny_faces.ATTRIBUTES, **options
    )


def kill_mask(net, block, group):
    """Sets the last batch norm of one mask so that ReLU gives 0 everywhere."""
    for weight in net.get_layer(f"{block}_attention").weights:
        for name, value in (("gamma", 0.0), ("beta", -1.0)):
            if f"mask_bn/{name}" in weight.name:
                weight.assign(tf.tensor_scatter_nd_update(weight, [[group]], [value]))


def written(folder):
    """(tag, step) -> what the event file holds."""
    (file,) = pathlib.Path(folder).glob("*.attention")
    return {
        (value.tag, event.step): tf.make_ndarray(value.tensor)
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }


def _recipe(folder):
    run = types.SimpleNamespace(log_folder=str(folder))
    return types.SimpleNamespace(run=run, validation=VALIDATION)


def after_two_epochs(callbacks, folder):
    (callback,) = callbacks
    callback.on_train_begin()
    for epoch in range(2):
        callback.on_epoch_end(epoch)
    callback.on_train_end()
    return written(folder)


@pytest.fixture
def policy(request):
    keras.mixed_precision.set_global_policy(request.param)
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"], indirect=True)
def test_images_of_each_block_and_epoch(policy, tmp_path):
    net = network()
    kill_mask(net, "block3", 1)
    values = after_two_epochs(attention_summaries(_recipe(tmp_path), net), tmp_path)
    tags = {f"{kind}/block{b}" for kind in ("masks", "affinities", "dead_masks") for b in (3, 4)}
    assert values.keys() == {(tag, step) for tag in tags for step in (0, 1)}

    maps = {name: each.numpy() for name, each in attention_maps(net)(IMAGES[:3].astype(np.float32)).items()}
    dead = drawings.dead(maps["masks_block3"])
    assert 1 in dead
    assert values["dead_masks/block3", 1] == len(dead)
    drawing = drawings.affinity_drawing(maps["affinities_block4"].mean(axis=0), list(GROUPS))
    _, _, image = values["affinities/block4", 1]
    np.testing.assert_array_equal(tf.io.decode_png(image), figures.pixels(drawing))
    drawing = drawings.mask_drawing(IMAGES[:3], maps["masks_block3"], list(GROUPS))
    _, _, image = values["masks/block3", 1]
    np.testing.assert_array_equal(tf.io.decode_png(image), figures.pixels(drawing))


def test_masks_for_each_attribute_and_no_graph(tmp_path):
    net = network(attention="independent", graph=False)
    values = after_two_epochs(attention_summaries(_recipe(tmp_path), net), tmp_path)
    assert {tag for tag, _ in values} == {f"{kind}/block{b}" for kind in ("masks", "dead_masks") for b in (3, 4)}


@pytest.mark.parametrize("make", [lambda: network(attention=None), lambda: tiny_faces.linear_network((32, 32, 3))])
def test_a_network_without_attention_writes_nothing(make, tmp_path):
    assert attention_summaries(_recipe(tmp_path), make()) == []
