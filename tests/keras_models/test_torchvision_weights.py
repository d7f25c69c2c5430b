"""torchvision's weights: our networks against a plain NumPy forward pass of torchvision's, what is read, and errors."""

import hashlib
import math
import re

import numpy as np
import pytest
from safetensors.numpy import save_file

from keras_models import torchvision_weights
from keras_models.backbones import backbone
from keras_models.torchvision_weights import RemoteFile, imagenet_file, load_torchvision_weights, torchvision_module

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
ALEXNET_CONVOLUTIONS = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
ALEXNET_LINEAR = {1: (4096, 9216), 4: (4096, 4096), 6: (1000, 4096)}


# The state dicts of torchvision, by its source.


def resnet_shapes(name, width=64):
    """Names and shapes of torchvision's state dict of a ResNet of basic blocks."""

    def batch_norm(module, channels):
        return {
            **{f"{module}.{each}": (channels,) for each in ("weight", "bias", "running_mean", "running_var")},
            f"{module}.num_batches_tracked": (),
        }

    shapes = {"conv1.weight": (width, 3, 7, 7), **batch_norm("bn1", width)}
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


def alexnet_shapes():
    shapes = {}
    for layer, (out, channels, kernel) in ALEXNET_CONVOLUTIONS.items():
        shapes |= {f"features.{layer}.weight": (out, channels, kernel, kernel), f"features.{layer}.bias": (out,)}
    for layer, (out, units) in ALEXNET_LINEAR.items():
        shapes |= {f"classifier.{layer}.weight": (out, units), f"classifier.{layer}.bias": (out,)}
    return shapes


def is_read(name):
    return not name.startswith(("fc.", "classifier.")) and not name.endswith("num_batches_tracked")


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


def windows(x, kernel, stride, padding, fill):
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=fill)
    return np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(2, 3))[:, :, ::stride, ::stride]


def conv2d(x, weight, stride, padding):
    patches = windows(x, weight.shape[-1], stride, padding, fill=0)
    return np.einsum("bchwij,ocij->bohw", patches, weight, optimize=True)


def max_pool2d(x, kernel, stride, padding=0):
    return windows(x, kernel, stride, padding, fill=-np.inf).max((-2, -1))


def batch_norm2d(x, state, module):
    weight, bias, mean, variance = (
        state[f"{module}.{each}"][:, None, None] for each in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias


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
            y = relu(batch_norm2d(conv2d(x, state[f"{module}.conv1.weight"], stride, 1), state, f"{module}.bn1"))
            y = batch_norm2d(conv2d(y, state[f"{module}.conv2.weight"], 1, 1), state, f"{module}.bn2")
            if f"{module}.downsample.0.weight" in state:
                x = conv2d(x, state[f"{module}.downsample.0.weight"], stride, 0)
                x = batch_norm2d(x, state, f"{module}.downsample.1")
            x = relu(y + x)
        features[f"block{layer + 1}"] = x
    return features | {"last": x}


def torchvision_alexnet(state, pixels):
    x, features = torchvision_input(pixels), {}
    for conv, layer in enumerate(ALEXNET_CONVOLUTIONS, start=1):
        stride, padding = {1: (4, 2), 2: (1, 2)}.get(conv, (1, 1))
        x = conv2d(x, state[f"features.{layer}.weight"], stride, padding)
        features[f"block{conv}"] = x = relu(x + state[f"features.{layer}.bias"][:, None, None])
        if conv in (1, 2, 5):
            x = max_pool2d(x, 3, stride=2)
    return features | {"last": x}


def assert_same_features(model, pixels, expected):
    features = model(pixels)
    assert features.keys() == expected.keys()
    for name, theirs in expected.items():
        assert 0.5 < np.abs(theirs).max() < 100
        np.testing.assert_allclose(features[name], theirs.transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("shapes", "published"),
    [(resnet_shapes("resnet18"), 11_689_512), (resnet_shapes("resnet34"), 21_797_672), (alexnet_shapes(), 61_100_840)],
)
def test_the_state_dicts_here_have_torchvisions_parameters(shapes, published):
    buffers = re.compile(r"running_mean|running_var|num_batches_tracked")
    assert sum(math.prod(shape) for name, shape in shapes.items() if not buffers.search(name)) == published


@pytest.mark.parametrize("size", [(40, 36), (47, 33)])
@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_resnet_computes_what_torchvisions_does(name, size, tmp_path):
    state = random_state(resnet_shapes(name, width=8))
    pixels = np.random.default_rng(1).integers(0, 256, (2, *size, 3)).astype(np.float32)
    model = backbone(name, (None, None, 3), width=8, weights=saved(state, tmp_path), taps=(2, 3, 4, 5))
    assert_same_features(model, pixels, torchvision_resnet(name, state, pixels))


@pytest.mark.parametrize("size", [(64, 70), (67, 95)])
def test_alexnet_computes_what_torchvisions_does(size, tmp_path):
    state = random_state(alexnet_shapes())
    pixels = np.random.default_rng(1).integers(0, 256, (2, *size, 3)).astype(np.float32)
    model = backbone("alexnet", (None, None, 3), weights=saved(state, tmp_path), taps=(1, 2, 3, 4, 5))
    assert_same_features(model, pixels, torchvision_alexnet(state, pixels))


@pytest.mark.parametrize(
    ("name", "width", "tensors"), [("resnet18", 4, 20 * 5), ("resnet34", 4, 36 * 5), ("alexnet", 64, 5 * 2)]
)
def test_every_weight_is_set_from_a_tensor_of_its_own(name, width, tensors, tmp_path):
    model = backbone(name, (None, None, 3), width=width)
    before = model.get_weights()
    state = random_state(alexnet_shapes() if name == "alexnet" else resnet_shapes(name, width))
    load_torchvision_weights(model, saved(state, tmp_path))
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
    assert torchvision_module("conv1_conv") == "conv1"
    assert torchvision_module("conv1_bn") == "bn1"
    assert torchvision_module("conv2_block3_1_conv") == "layer1.2.conv1"
    assert torchvision_module("conv3_block1_2_bn") == "layer2.0.bn2"
    assert torchvision_module("conv5_block1_shortcut_conv") == "layer4.0.downsample.0"
    assert torchvision_module("conv5_block1_shortcut_bn") == "layer4.0.downsample.1"
    assert torchvision_module("conv4") == "features.8"


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
        load_torchvision_weights(model, path)
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


# "imagenet"


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Publishes bytes as the ImageNet weights of a network, to a Keras whose cache is empty."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home/.keras").mkdir(parents=True)  # Keras makes it when it is imported

    def _publish(name, content, sha256=None):
        origin = tmp_path / "origin.safetensors"
        origin.write_bytes(content)
        remote = RemoteFile(origin.as_uri(), sha256 or hashlib.sha256(content).hexdigest())
        monkeypatch.setitem(torchvision_weights.IMAGENET, name, remote)
        return origin

    return _publish


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "alexnet"])
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


def test_a_file_with_another_checksum_is_refused(publish):
    publish("resnet18", b"something else", sha256="0" * 64)
    with pytest.raises(OSError, match="hash does not match"):
        imagenet_file("resnet18")


def test_without_a_network_the_error_says_what_to_do(publish, tmp_path):
    origin = publish("resnet34", b"weights")
    remote = torchvision_weights.IMAGENET["resnet34"]
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


def test_published_files_have_a_whole_checksum_each():
    assert list(torchvision_weights.IMAGENET) == ["resnet18", "resnet34", "alexnet"]
    for remote in torchvision_weights.IMAGENET.values():
        assert re.fullmatch(r"https://huggingface\.co/.+\.safetensors", remote.url)
        assert re.fullmatch(r"[0-9a-f]{64}", remote.sha256)
