"""Backbones: networks that turn pictures into features, each with the input scaling it was made for.

Every backbone takes RGB pixels in [0, 255] as float32 [batch, H, W, 3]. keras.applications is used where it has the
network; ResNet-18 and ResNet-34 follow torchvision's layout: symmetric padding, batch-norm epsilon 1e-5, no bias.
"""

from __future__ import annotations

import tensorflow as tf
from tensorflow import keras

layers = keras.layers

_BASIC_BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}


def backbone(
    name: str, input_shape: tuple[int | None, int | None, int], width: int = 64, weights: str | None = None
) -> keras.Model:
    """A backbone without its classification head.

    Args:
        name: "resnet18", "resnet34" or "resnet50".
        input_shape: (H, W, 3); H and W may be None.
        width: channels of the first stage of ResNet-18 and ResNet-34; ResNet-50 has the standard 64 only.
        weights: None (random), "imagenet" (ResNet-50: keras.applications' own), or the path of a Keras weights file.

    Returns:
        A functional model: [batch, H, W, 3] pixels in [0, 255] -> [batch, H/32, W/32, C] features.

    Raises:
        ValueError: for an unknown name, or weights or a width that the network doesn't come with.
    """
    if name == "resnet50":
        if width != 64:
            raise ValueError(f"resnet50 has the standard width of 64 only, received width={width}.")
        model = _resnet50(input_shape, weights)
    elif name in _BASIC_BLOCKS:
        model = _basic_resnet(name, input_shape, width)
        if weights == "imagenet":
            raise ValueError(
                f"{name} has no ImageNet weights in keras.applications. Use weights=None, a Keras weights file, "
                "or backbone='resnet50'."
            )
        if weights is not None:
            model.load_weights(weights)
    else:
        raise ValueError(f"No backbone is called {name!r}. There are: {', '.join([*_BASIC_BLOCKS, 'resnet50'])}.")
    return model


def _resnet50(input_shape, weights):
    pixels = keras.Input(input_shape, name="image")
    # keras.applications' ResNet-50 was trained on BGR pixels less the ImageNet mean.
    x = keras.applications.resnet.preprocess_input(pixels)
    body = keras.applications.ResNet50(include_top=False, weights=weights, input_shape=input_shape)
    return keras.Model(pixels, body(x), name="resnet50")


def _basic_resnet(name, input_shape, width):
    """ResNet of basic blocks (He et al. 2016, Table 1), in torchvision's layout."""
    pixels = keras.Input(input_shape, name="image")
    x = layers.Normalization(
        mean=(123.675, 116.28, 103.53), variance=(58.395**2, 57.12**2, 57.375**2), name="imagenet_rgb"
    )(pixels)
    x = _conv_bn(x, width, kernel=7, strides=2, name="conv1")
    x = layers.ReLU(name="conv1_relu")(x)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    for stage, blocks in enumerate(_BASIC_BLOCKS[name], start=2):
        for block in range(1, blocks + 1):
            strides = 2 if stage > 2 and block == 1 else 1
            x = _basic_block(x, width * 2 ** (stage - 2), strides, name=f"conv{stage}_block{block}")
    return keras.Model(pixels, x, name=name)


def _basic_block(x, channels, strides, name):
    shortcut = x
    if strides > 1 or x.shape[-1] != channels:
        shortcut = _conv_bn(x, channels, kernel=1, strides=strides, name=f"{name}_shortcut")
    x = _conv_bn(x, channels, kernel=3, strides=strides, name=f"{name}_1")
    x = layers.ReLU(name=f"{name}_1_relu")(x)
    x = _conv_bn(x, channels, kernel=3, strides=1, name=f"{name}_2")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_out")(x)


def _conv_bn(x, channels, kernel, strides, name):
    padding = "same"
    if strides > 1 and kernel > 1:
        # "same" would pad even sizes on one side only.
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
        padding = "valid"
    x = layers.Conv2D(
        channels,
        kernel,
        strides,
        padding,
        use_bias=False,
        kernel_initializer=tf.keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        name=f"{name}_conv",
    )(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
