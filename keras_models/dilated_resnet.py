"""Dilated ResNet-101 with a deep stem: DML-CSR's backbone, whose deep features stay at 1/8 of the image."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tensorflow import keras

from keras_models.activated_batch_norm import conv_abn, conv_bn_relu
from keras_models.backbones import imagenet_rgb
from keras_models.pytorch_weights import imagenet_file, load_pytorch_weights

layers = keras.layers

# Of conv2_x to conv5_x: the deepest two keep the map's size; dilation keeps the receptive field.
_STRIDES = (1, 2, 1, 1)
_DILATIONS = (1, 1, 1, 2)
# Blocks and width of the network with ImageNet weights.
_IMAGENET_SIZE = ((3, 4, 23, 3), 64)


def dilated_resnet(
    input_shape: tuple[int | None, int | None, int],
    blocks: Sequence[int] = (3, 4, 23, 3),
    width: int = 64,
    weights: str | None = None,
) -> keras.Model:
    """ResNet of bottleneck blocks without its classification head (DML-CSR, Section 3.2; stem and ABN as released).

    Args:
        input_shape: (H, W, 3), RGB pixels in [0, 255]; H and W may be None.
        blocks: bottleneck blocks of conv2_x to conv5_x; the default is ResNet-101.
        width: inner channels of the blocks of conv2_x. They double from stage to stage.
        weights: None (random), "imagenet" (ResNet-101 of width 64 only; GluonCV's, fetched at first use), or a file: a
            state dict of these blocks and this width in timm's names, as .safetensors. The ImageNet weights are for
            initialisation, as in the paper, and not good features yet: the classifier that they come from had neither
            dilation nor a LeakyReLU before its sums. The authors' file, resnet101-imagenet.pth, is a pickle from
            another training run and can't be read.

    Returns:
        image -> {"C2": [batch, ⌈H/4⌉, ⌈W/4⌉, 4·width], "C3": [batch, ⌈H/8⌉, ⌈W/8⌉, 8·width], "C4" and "C5" of C3's
        size with 16·width and 32·width channels}.

    Raises:
        ValueError: for other than four stages of at least a block each, a width below 1, and weights that don't fit.
        OSError: if "imagenet" can't be fetched.
    """
    if len(blocks) != len(_STRIDES) or min(blocks) < 1:
        raise ValueError(f"The backbone has four stages of one block or more, received blocks={tuple(blocks)}.")
    if width < 1:
        raise ValueError(f"The backbone needs at least one channel, received width={width}.")
    if weights == "imagenet" and (tuple(blocks), width) != _IMAGENET_SIZE:
        raise ValueError(
            f"The ImageNet weights are of ResNet-101, blocks={_IMAGENET_SIZE[0]} and width={_IMAGENET_SIZE[1]}; "
            f"received blocks={tuple(blocks)}, width={width}."
        )
    path = imagenet_file("resnet101s") if weights == "imagenet" else weights
    if path is not None and not os.path.isfile(path):
        raise ValueError(f"No weights file {path!r}. Expected None, 'imagenet' or the path of a .safetensors file.")
    pixels = keras.Input(input_shape, name="image")
    x = imagenet_rgb(pixels)
    x = conv_bn_relu(x, width, 3, strides=2, name="stem1")
    x = conv_bn_relu(x, width, 3, name="stem2")
    x = conv_bn_relu(x, 2 * width, 3, name="stem3")
    # Zeros are as good as -inf here: nothing is below them after the ReLU.
    x = layers.ZeroPadding2D(1, name="pool_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool")(x)
    features = {}
    for stage, (count, strides, dilation) in enumerate(zip(blocks, _STRIDES, _DILATIONS, strict=True), start=2):
        channels = width * 2 ** (stage - 2)
        for block in range(1, count + 1):
            x = _bottleneck(x, channels, strides if block == 1 else 1, dilation, name=f"conv{stage}_block{block}")
        features[f"C{stage}"] = x
    model = keras.Model(pixels, features, name="dilated_resnet")
    if path is not None:
        load_pytorch_weights(model, path)
    return model


def _bottleneck(x, channels, strides, dilation, name):
    """1×1, 3×3, 1×1 and the shortcut: both sides of the sum come out of an ABN, and a ReLU follows it."""
    shortcut = x
    if strides > 1 or x.shape[-1] != 4 * channels:
        shortcut = conv_abn(x, 4 * channels, 1, strides=strides, name=f"{name}_shortcut")
    x = conv_bn_relu(x, channels, 1, name=f"{name}_1")
    x = conv_bn_relu(x, channels, 3, strides=strides, dilation=dilation, name=f"{name}_2")
    x = conv_abn(x, 4 * channels, 1, name=f"{name}_3")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_out")(x)
