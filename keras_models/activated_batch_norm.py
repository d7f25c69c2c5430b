"""Activated batch norm (ABN): what DML-CSR has after its convolutions (In-Place ABN, Rota Bulò et al. 2018)."""

from __future__ import annotations

import tensorflow as tf
from tensorflow import keras

from keras_models.convolution import conv
from keras_models.normalization import batch_norm

layers = keras.layers


def activated_batch_norm(name: str) -> list[keras.layers.Layer]:
    """ABN: batch norm and LeakyReLU(0.01), the layers {name}_bn and {name}_leaky_relu, to be applied in turn."""
    return [batch_norm(f"{name}_bn"), layers.LeakyReLU(alpha=0.01, name=f"{name}_leaky_relu")]


def conv_abn(x: tf.Tensor, channels: int, kernel: int, name: str, strides: int = 1, dilation: int = 1) -> tf.Tensor:
    """Convolution without bias, then ABN: [batch, H, W, C] -> [batch, ⌈H / strides⌉, ⌈W / strides⌉, channels]."""
    x = conv(x, channels, kernel, name, strides, dilation)
    for layer in activated_batch_norm(name):
        x = layer(x)
    return x


def conv_bn_relu(x: tf.Tensor, channels: int, kernel: int, name: str, strides: int = 1, dilation: int = 1) -> tf.Tensor:
    """Convolution, ABN and ReLU. A leaky ReLU below a ReLU changes nothing, so it is left out."""
    x = batch_norm(f"{name}_bn")(conv(x, channels, kernel, name, strides, dilation))
    return layers.ReLU(name=f"{name}_relu")(x)
