"""VGG-16 from the weights of keras.applications, whose layout and colours differ from ours."""

import re

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from keras_models import VGG16
from keras_models.backbones import imagenet_rgb

SIZE = (64, 64, 3)
CONVS = tuple(
    f"conv{block}_{number}" for block, count in enumerate((2, 2, 3, 3, 3), 1) for number in range(1, count + 1)
)
IMAGES = np.random.default_rng(0).uniform(0, 255, (2, *SIZE)).astype(np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)  # of ImageNet, RGB


def _theirs(conv):
    return f"block{conv[4]}_conv{conv[6]}"


@pytest.fixture(scope="module")
def published():
    """keras.applications' network with weights of its own; biases too, which it has and ours hasn't."""
    keras.utils.set_random_seed(0)
    network = keras.applications.VGG16(weights=None, include_top=False, input_shape=SIZE)
    for conv in CONVS:
        bias = network.get_layer(_theirs(conv)).bias
        bias.assign(np.full(bias.shape, 0.1))
    return network


@pytest.fixture(scope="module")
def file(published, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("weights") / "vgg16_notop.h5")
    published.save_weights(path)
    return path


@pytest.fixture(scope="module")
def network(file):
    return VGG16(SIZE, num_tasks=3, weights=file)


def test_every_kernel_in_its_layer(network, published):
    for conv in CONVS[1:]:
        expected = published.get_layer(_theirs(conv)).kernel.numpy()
        np.testing.assert_array_equal(network.get_layer(f"{conv}_conv").kernel.numpy(), expected, err_msg=conv)


def test_first_kernel_by_hand(network, published):
    """Ours sees R, G, B; theirs B, G, R."""
    ours, theirs = network.get_layer("conv1_1_conv").kernel.numpy(), published.get_layer("block1_conv1").kernel.numpy()
    for rgb, bgr in ((0, 2), (1, 1), (2, 0)):
        np.testing.assert_array_equal(ours[:, :, rgb], theirs[:, :, bgr])


def test_first_convolution_answers_as_published(network, published):
    """What theirs says of its own preprocessing, but that each colour is divided by its standard deviation."""
    pixels = keras.applications.vgg16.preprocess_input(IMAGES.copy()) / STD[::-1]
    theirs = tf.nn.conv2d(pixels, published.get_layer("block1_conv1").kernel, 1, "SAME").numpy()
    layer = network.get_layer("conv1_1_conv")
    ours = layer(imagenet_rgb(tf.constant(IMAGES))).numpy()
    assert theirs.std() > 0.3
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=0.01)  # their means are up to half a grey level more
    np.testing.assert_array_equal(keras.Model(network.input, layer.output)(IMAGES).numpy(), ours)


def test_the_rest_is_as_new(network):
    """No top in the file: fc6 and fc7 are drawn; batch norm changes nothing but by ε."""
    for layer in (layer for layer in network.layers if layer.name.endswith("_bn")):
        gamma, beta, mean, variance = layer.get_weights()
        assert (gamma == 1).all()
        assert (variance == 1).all()
        assert not beta.any()
        assert not mean.any()
    for name, inputs in (("fc6", 2 * 2 * 512), ("fc7", 4096)):
        assert network.get_layer(f"{name}_dense").kernel.numpy().std() == pytest.approx((2 / inputs) ** 0.5, rel=0.01)
    assert network(IMAGES)["attributes"].shape == (2, 3)


def test_no_such_file(tmp_path):
    path = str(tmp_path / "absent.h5")
    with pytest.raises(ValueError, match=f"no weights file {re.escape(repr(path))}"):
        VGG16(SIZE, 3, weights=path)


def test_not_a_weights_file(tmp_path):
    path = tmp_path / "notes.h5"
    path.write_text("nothing of use")
    with pytest.raises(ValueError, match=rf"{re.escape(repr(str(path)))} can't be loaded.* without its top"):
        VGG16(SIZE, 3, weights=str(path))


def test_weights_of_another_network(tmp_path):
    path = str(tmp_path / "other.h5")
    keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=SIZE, alpha=0.35).save_weights(path)
    with pytest.raises(ValueError, match=rf"{re.escape(repr(path))} can't be loaded"):
        VGG16(SIZE, 3, weights=path)
