"""Backbones: parameters of the published networks, sizes, the input scaling each was made for, and errors."""

import numpy as np
import pytest

from keras_models.backbones import backbone


def _trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def test_resnet18_has_the_published_parameters():
    # torchvision's 11,689,512 less its head of 513·1000; with 40 outputs it would be 11,197,032.
    parameters = _trainable(backbone("resnet18", (None, None, 3)))
    assert parameters == 11_689_512 - 513 * 1000 == 11_197_032 - 40 * 513 == 11_176_512


def test_resnet34_has_the_published_parameters():
    assert _trainable(backbone("resnet34", (64, 64, 3))) == 21_797_672 - 513 * 1000


@pytest.mark.parametrize(("size", "expected"), [((64, 96), (2, 3)), ((33, 31), (2, 1)), ((1, 1), (1, 1))])
def test_features_are_a_32nd_of_the_image(size, expected):
    static = backbone("resnet18", (*size, 3), width=4)
    assert static.output_shape == (None, *expected, 32)
    unknown = backbone("resnet18", (None, None, 3), width=4)
    assert unknown(np.zeros((2, *size, 3), np.float32)).shape == (2, *expected, 32)


def test_mean_colour_is_zero_to_resnet18():
    """Without biases in the network, a picture of ImageNet's mean colour has features of exactly 0; no other has."""
    model = backbone("resnet18", (32, 32, 3), width=4)
    mean = np.broadcast_to(np.array([123.675, 116.28, 103.53], np.float32), (1, 32, 32, 3))
    assert np.abs(model(mean)).max() == 0
    assert np.abs(model(mean[..., ::-1])).max() > 0


def test_weights_from_a_file(tmp_path):
    trained, path = backbone("resnet18", (32, 32, 3), width=4), f"{tmp_path}/trained.h5"
    trained.save_weights(path)
    restored = backbone("resnet18", (None, None, 3), width=4, weights=path)
    for one, other in zip(trained.get_weights(), restored.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_unknown_name():
    with pytest.raises(ValueError, match=r"No backbone is called 'vgg16'\. There are: resnet18, resnet34, resnet50\."):
        backbone("vgg16", (32, 32, 3))


@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_imagenet_only_where_keras_has_it(name):
    with pytest.raises(ValueError, match=f"{name} has no ImageNet weights .*backbone='resnet50'"):
        backbone(name, (32, 32, 3), width=4, weights="imagenet")


def test_resnet50_has_one_width():
    with pytest.raises(ValueError, match="standard width of 64 only, received width=32"):
        backbone("resnet50", (32, 32, 3), width=32)
