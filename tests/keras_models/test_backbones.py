"""Backbones: parameters of the published networks, sizes, taps, the input scaling each was made for, and errors."""

import functools

import numpy as np
import pytest
from keras.src.utils import data_utils
from tensorflow import keras

from keras_models.backbones import backbone

NAMES = (
    "resnet10",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet50v1.5",
    "resnet101",
    "vgg16",
    "alexnet",
    "efficientnet_lite0",
)
BLOCKS = {name: (1, 2, 3, 4, 5) if name in ("vgg16", "alexnet") else (2, 3, 4, 5) for name in NAMES}


@functools.cache
def tapped(name):
    return backbone(name, (224, 224, 3), taps=BLOCKS[name])


def _count(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        # ResNet-18's, less the second block of each stage: two convolutions of C to C channels and their norms.
        ("resnet10", 11_176_512 - 73_984 - 295_424 - 1_180_672 - 4_720_640),
        # torchvision's, less the head of 512 or 9216 features.
        ("resnet18", 11_689_512 - 513 * 1000),
        ("resnet34", 21_797_672 - 513 * 1000),
        ("resnet50v1.5", 25_557_032 - 2049 * 1000),
        ("alexnet", 61_100_840 - 9217 * 4096 - 4097 * 4096 - 4097 * 1000),
        # keras.applications', less the head; of the ResNets' batch norms half is trained.
        ("resnet50", 25_636_712 - 2049 * 1000 - 53_120),
        ("resnet101", 44_707_176 - 2049 * 1000 - 105_344),
        ("vgg16", 138_357_544 - 25089 * 4096 - 4097 * 4096 - 4097 * 1000),
        # Google's, less the head.
        ("efficientnet_lite0", 4_652_008 - 1281 * 1000),
    ],
)
def test_parameters_are_the_published(name, published):
    assert _count(tapped(name).trainable_weights) == published


def test_resnet18_and_40_outputs_have_the_parameters_of_the_papers_baseline():
    assert _count(tapped("resnet18").trainable_weights) + 513 * 40 == 11_197_032


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("resnet10", [(56, 56, 64), (28, 28, 128), (14, 14, 256), (7, 7, 512), (7, 7, 512)]),
        ("resnet18", [(56, 56, 64), (28, 28, 128), (14, 14, 256), (7, 7, 512), (7, 7, 512)]),
        ("resnet34", [(56, 56, 64), (28, 28, 128), (14, 14, 256), (7, 7, 512), (7, 7, 512)]),
        ("resnet50", [(56, 56, 256), (28, 28, 512), (14, 14, 1024), (7, 7, 2048), (7, 7, 2048)]),
        ("resnet50v1.5", [(56, 56, 256), (28, 28, 512), (14, 14, 1024), (7, 7, 2048), (7, 7, 2048)]),
        ("resnet101", [(56, 56, 256), (28, 28, 512), (14, 14, 1024), (7, 7, 2048), (7, 7, 2048)]),
        ("vgg16", [(112, 112, 64), (56, 56, 128), (28, 28, 256), (14, 14, 512), (7, 7, 512), (7, 7, 512)]),
        ("alexnet", [(55, 55, 64), (27, 27, 192), (13, 13, 384), (13, 13, 256), (13, 13, 256), (6, 6, 256)]),
        ("efficientnet_lite0", [(56, 56, 24), (28, 28, 40), (14, 14, 112), (7, 7, 320), (7, 7, 1280)]),
    ],
)
def test_taps_have_the_sizes_of_the_papers(name, shapes):
    keys = [*(f"block{block}" for block in BLOCKS[name]), "last"]
    assert tapped(name).output_shape == {key: (None, *shape) for key, shape in zip(keys, shapes, strict=True)}


# Lite0's blocks end with sums or projections; tests/keras_models/test_pytorch_weights.py has what they are.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "efficientnet_lite0"])
def test_a_tap_is_the_end_of_its_block(name):
    """After the last ReLU of the block, or after VGG's pooling: the next layer belongs to another block."""
    for block in BLOCKS[name]:
        layer = tapped(name).output[f"block{block}"].node.layer
        kind = keras.layers.MaxPooling2D if name == "vgg16" else (keras.layers.ReLU, keras.layers.Activation)
        assert isinstance(layer, kind)
        assert layer.name.startswith(("block", "conv")[name != "vgg16"] + str(block))
        users = {node.outbound_layer.name for node in layer.outbound_nodes}
        assert not any(user.startswith((f"block{block}", f"conv{block}")) for user in users)


@pytest.mark.parametrize(("taps", "keys"), [((3,), {"block3", "last"}), ((4, 3), {"block3", "block4", "last"})])
def test_only_the_taps_wanted_are_given(taps, keys):
    assert backbone("resnet18", (32, 32, 3), width=4, taps=taps).output.keys() == keys


@pytest.mark.parametrize(("size", "expected"), [((64, 96), (2, 3)), ((33, 31), (2, 1)), ((1, 1), (1, 1))])
def test_features_are_a_32nd_of_the_image(size, expected):
    static = backbone("resnet18", (*size, 3), width=4)
    assert static.output_shape == (None, *expected, 32)
    unknown = backbone("resnet18", (None, None, 3), width=4)
    assert unknown(np.zeros((2, *size, 3), np.float32)).shape == (2, *expected, 32)


def test_mean_colour_is_zero_to_resnet18():
    """Without biases in the network, an image of ImageNet's mean colour has features of exactly 0; no other has."""
    model = backbone("resnet18", (32, 32, 3), width=4)
    mean = np.broadcast_to(np.array([123.675, 116.28, 103.53], np.float32), (1, 32, 32, 3))
    assert np.abs(model(mean)).max() == 0
    assert np.abs(model(mean[..., ::-1])).max() > 0


@pytest.mark.parametrize(
    ("name", "first"), [("resnet50", "conv1_pad"), ("resnet101", "conv1_pad"), ("vgg16", "block1_conv1")]
)
def test_networks_of_keras_see_bgr_less_the_mean(name, first):
    scaled = keras.Model(tapped(name).input, tapped(name).get_layer(first).input)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3)).astype(np.float32)
    np.testing.assert_allclose(scaled(pixels), pixels[..., ::-1] - np.float32([103.939, 116.779, 123.68]), rtol=1e-5)


@pytest.mark.parametrize("taps", [(), (2, 4)])
def test_weights_from_a_file(tmp_path, taps):
    """With taps or without: the order of weights in a file doesn't depend on them."""
    trained, path = backbone("resnet18", (32, 32, 3), width=4, taps=taps), f"{tmp_path}/trained.h5"
    trained.save_weights(path)
    for other_taps in ((), (3, 5)):
        restored = backbone("resnet18", (None, None, 3), width=4, weights=path, taps=other_taps)
        for one, other in zip(trained.layers, restored.layers, strict=True):
            assert one.name == other.name
            for ours, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_networks_of_keras_take_their_own_imagenet_weights_and_files(tmp_path, monkeypatch):
    path = f"{tmp_path}/vgg16_notop.h5"
    keras.applications.VGG16(include_top=False, weights=None).save_weights(path)
    from_file = backbone("vgg16", (None, None, 3), weights=path)

    asked_for = []
    monkeypatch.setattr(data_utils, "get_file", lambda name, *_, **__: asked_for.append(name) or path)
    from_keras = backbone("vgg16", (None, None, 3), weights="imagenet", taps=(3,))
    assert asked_for == ["vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"]
    for one, other in zip(from_file.get_weights(), from_keras.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_unknown_name():
    with pytest.raises(ValueError, match=rf"No backbone is called 'vgg19'\. There are: {', '.join(NAMES)}\."):
        backbone("vgg19", (32, 32, 3))


@pytest.mark.parametrize(
    ("name", "taps", "message"),
    [
        ("resnet18", (3, 6), r"resnet18 has the blocks 2, 3, 4, 5, received taps=\(3, 6\)"),
        ("resnet50", (1,), r"resnet50 has the blocks 2, 3, 4, 5, received taps=\(1,\)"),
        ("vgg16", (0,), r"vgg16 has the blocks 1, 2, 3, 4, 5, received taps=\(0,\)"),
        ("alexnet", ("block3",), r"alexnet has the blocks 1, 2, 3, 4, 5, received taps=\('block3',\)"),
    ],
)
def test_unknown_tap(name, taps, message):
    with pytest.raises(ValueError, match=message):
        backbone(name, (32, 32, 3), taps=taps)


@pytest.mark.parametrize("name", ["resnet50", "resnet101", "vgg16", "alexnet"])
def test_one_width_only(name):
    with pytest.raises(ValueError, match=f"{name} has the standard width of 64 only, received width=32"):
        backbone(name, (32, 32, 3), width=32)


def test_nobodys_weights():
    with pytest.raises(ValueError, match="No ImageNet weights of resnet10 are known: take resnet18"):
        backbone("resnet10", (32, 32, 3), weights="imagenet")


@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_imagenet_weights_have_one_width(name):
    with pytest.raises(ValueError, match=f"ImageNet weights of {name} are of width 64, received width=32"):
        backbone(name, (32, 32, 3), width=32, weights="imagenet")


@pytest.mark.parametrize("name", ["resnet18", "vgg16"])
def test_no_such_file(name):
    with pytest.raises(ValueError, match=f"{name}: no weights file 'image-net'.*None, 'imagenet' or the path"):
        backbone(name, (32, 32, 3), weights="image-net")


def test_torchvisions_weights_are_not_for_networks_of_keras(tmp_path):
    path = tmp_path / "vgg16.safetensors"
    path.touch()
    with pytest.raises(ValueError, match=r"vgg16 is keras\.applications' and takes Keras weights files, received .*"):
        backbone("vgg16", (32, 32, 3), weights=str(path))
