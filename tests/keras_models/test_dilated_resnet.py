"""The backbone's sizes and its details: symmetric padding, dilation, and activations on both sides of the sum."""

import numpy as np
import pytest
from tensorflow import keras

from keras_models.activated_batch_norm import activated_batch_norm, conv, conv_abn, conv_bn_relu
from keras_models.dilated_resnet import dilated_resnet

TINY = {"blocks": (1, 1, 1, 1), "width": 4}


@pytest.fixture(scope="module")
def tiny():
    """One block a stage; batch norm shifts at random, so that both signs occur."""
    model = dilated_resnet((None, None, 3), (2, 1, 1, 1), width=4)
    random = np.random.default_rng(0)
    for weight in model.weights:
        if "beta" in weight.name:
            weight.assign(random.normal(size=weight.shape))
    return model


def _pixels(height, width):
    return np.random.default_rng(0).uniform(0, 255, (1, height, width, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("size", "c2", "deeper"),
    [((473, 128), (119, 32), (60, 16)), ((33, 50), (9, 13), (5, 7))],
)
def test_sizes(size, c2, deeper):
    shapes = {name: x.shape for name, x in dilated_resnet((*size, 3), **TINY).output.items()}
    assert shapes == {
        "C2": (None, *c2, 16),
        "C3": (None, *deeper, 32),
        "C4": (None, *deeper, 64),
        "C5": (None, *deeper, 128),
    }


def test_sizes_known_at_run_time(tiny):
    assert [tiny(_pixels(33, 50))[name].shape for name in ("C2", "C5")] == [(1, 9, 13, 16), (1, 5, 7, 128)]


def test_blocks_and_strides(tiny):
    sums = [layer.name for layer in tiny.layers if isinstance(layer, keras.layers.Add)]
    assert sums == [f"conv{block}_add" for block in ("2_block1", "2_block2", "3_block1", "4_block1", "5_block1")]
    # The 3 x 3 convolution takes the stride, not the one before it.
    assert tiny.get_layer("conv3_block1_1_conv").strides == (1, 1)
    assert (
        tiny.get_layer("conv3_block1_2_conv").strides == tiny.get_layer("conv3_block1_shortcut_conv").strides == (2, 2)
    )
    dilated = [layer.name for layer in tiny.layers if getattr(layer, "dilation_rate", (1, 1)) != (1, 1)]
    assert dilated == ["conv5_block1_2_conv"] and tiny.get_layer(*dilated).dilation_rate == (2, 2)
    assert not any(getattr(layer, "use_bias", False) for layer in tiny.layers)


def test_a_block_sums_what_two_abns_give(tiny):
    names = [f"conv2_block1_{part}" for part in ("shortcut_bn", "3_bn", "out")]
    shortcut, deep, out = keras.Model(tiny.input, [tiny.get_layer(name).output for name in names])(_pixels(24, 24))
    shortcut, deep = (np.where(x > 0, x, 0.01 * x) for x in (shortcut.numpy(), deep.numpy()))
    np.testing.assert_allclose(out, np.maximum(shortcut + deep, 0), atol=1e-5)
    assert (shortcut < 0).any() and (deep < 0).any()
    # The second block's shortcut is its input.
    names = [f"conv2_block{part}" for part in ("1_out", "2_3_bn", "2_out")]
    before, deep, out = keras.Model(tiny.input, [tiny.get_layer(name).output for name in names])(_pixels(24, 24))
    np.testing.assert_allclose(out, np.maximum(before + np.where(deep > 0, deep, 0.01 * deep), 0), atol=1e-5)


def test_pixels_are_scaled_by_imagenet(tiny):
    scaled = keras.Model(tiny.input, tiny.get_layer("imagenet_rgb").output)(np.full((1, 8, 8, 3), 255, np.float32))
    np.testing.assert_allclose(scaled[0, 0, 0], [2.2489, 2.4286, 2.64], rtol=1e-4)


def test_convolutions_of_one_shape_start_apart(tiny):
    first, second = (tiny.get_layer(f"conv2_block{block}_3_conv").kernel.numpy() for block in (1, 2))
    assert first.shape == second.shape and np.abs(first - second).max() > 0.1


def test_the_deep_stem(tiny):
    convolutions = [layer for layer in tiny.layers if layer.name in ("stem1_conv", "stem2_conv", "stem3_conv")]
    assert [(layer.filters, layer.strides[0]) for layer in convolutions] == [(4, 2), (4, 1), (8, 1)]
    assert tiny.get_layer("pool").output_shape[-1] == 8


def test_strided_convolutions_pad_alike_on_both_sides():
    image = keras.Input((4, 4, 1))
    model = keras.Model(image, conv(image, 1, 3, strides=2, name="conv"))
    model.set_weights([np.ones((3, 3, 1, 1), np.float32)])
    # Rows and columns 0 and 1, then 1 to 3; "same" would sum 0 to 2, then 2 and 3.
    rows = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    assert model(rows)[0, :, :, 0].numpy().tolist() == [[0 + 1 + 4 + 5, 24], [51, 90]]


def test_activated_batch_norm_worked_by_hand():
    x = np.array([-4.0, 0.0, 4.0], np.float32).reshape(1, 1, 3, 1)
    normalized, activation = activated_batch_norm("abn")
    # Mean 0 and variance 1 before any training: the shift of 1 is all, and 0.01 of what is below 0.
    out = activation(normalized(x))
    np.testing.assert_allclose(np.ravel(out), [-0.04, 0, 4], rtol=1e-4)
    normalized.beta.assign([1.0])
    np.testing.assert_allclose(np.ravel(activation(normalized(x))), [-0.03, 1, 5], rtol=1e-4)
    assert (normalized.epsilon, normalized.momentum) == (1e-5, 0.9)
    assert (normalized.name, activation.name) == ("abn_bn", "abn_leaky_relu")


def test_a_leaky_relu_below_a_relu_changes_nothing():
    image = keras.Input((5, 5, 2))
    with_relu = keras.Model(image, conv_bn_relu(image, 3, 3, dilation=2, name="x"))
    leaky = keras.Model(image, conv_abn(image, 3, 3, dilation=2, name="x"))
    leaky.set_weights(with_relu.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 2)).astype(np.float32)
    assert (leaky(x).numpy() < 0).any()
    np.testing.assert_array_equal(with_relu(x), np.maximum(leaky(x), 0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"blocks": (3, 4, 6)}, r"received blocks=\(3, 4, 6\)"),
        ({"blocks": (3, 0, 6, 3)}, r"received blocks=\(3, 0, 6, 3\)"),
        ({"width": 0}, "received width=0"),
        ({"weights": "imagenet", "width": 32}, r"blocks=\(3, 4, 23, 3\) and width=64; received .*, width=32"),
        ({"weights": "imagenet", "blocks": [3, 4, 6, 3]}, r"received blocks=\(3, 4, 6, 3\), width=64"),
        ({"weights": "imagnet"}, "No weights file 'imagnet'"),
    ],
)
def test_errors_quote_what_was_received(arguments, message):
    with pytest.raises(ValueError, match=message):
        dilated_resnet((32, 32, 3), **arguments)
