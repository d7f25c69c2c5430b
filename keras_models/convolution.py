"""The convolution of our own networks, padded and initialised as in PyTorch."""

from __future__ import annotations

import tensorflow as tf
from tensorflow import keras

layers = keras.layers


def conv(x: tf.Tensor, channels: int, kernel: int, name: str, strides: int = 1, dilation: int = 1) -> tf.Tensor:
    """Convolution without bias, layer {name}_conv, padded symmetrically."""
    padding = "same"
    if strides > 1 and kernel > 1:
        # "same" would pad even sizes on one side only.
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
        padding = "valid"
    return layers.Conv2D(
        channels,
        kernel,
        strides,
        padding,
        dilation_rate=dilation,
        use_bias=False,
        # As torchvision draws them. An initializer for each: one for all would draw the same numbers each time.
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        name=f"{name}_conv",
    )(x)
