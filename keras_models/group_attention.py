"""Group Attention Learning of MGG-Net (Section 3.2, Eq. 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow import keras

from keras_models.grouped_convolution import GroupedConv2D
from keras_models.normalization import batch_norm

layers = keras.layers


@keras.saving.register_keras_serializable("facetfx")
class GroupAttention(keras.layers.Layer):
    """K attention masks over a feature map, and the features pooled under each: M_i = φ(F), f_i = GAP(F · M_i).

    φ is a 1 x 1 convolution C -> C/2, a 3 x 3 one C/2 -> C/4 and a 1 x 1 one C/4 -> 1, each with batch norm and ReLU.
    The K modules of φ share nothing but their input, so they run as grouped convolutions.

    Args:
        groups: names of the K groups.
        mask_activation: "relu" as in the paper, or "sigmoid"; the last activation of φ.

    Call: features [batch, H, W, C] -> (group features [batch, K, C], masks [batch, H, W, K]).

    Raises:
        ValueError: for an unknown activation, or if C is not divisible by 4.
    """

    ACTIVATIONS = ("relu", "sigmoid")

    def __init__(self, groups: Sequence[str], mask_activation: str = "relu", **kwargs: Any):
        super().__init__(**kwargs)
        if mask_activation not in self.ACTIVATIONS:
            raise ValueError(f"mask_activation is one of {self.ACTIVATIONS}, received {mask_activation!r}.")
        self.groups = tuple(groups)
        self.mask_activation = mask_activation

    def build(self, input_shape):
        channels = input_shape[-1]
        if channels % 4:
            raise ValueError(f"Group attention quarters the channels of its input, received {channels} channels.")
        modules = len(self.groups)
        self._phi = keras.Sequential(
            [
                # All modules read the same input: together, their first convolutions are one.
                _convolution(modules * channels // 2, 1, groups=1, name="reduce"),
                batch_norm(name="reduce_bn"),
                layers.ReLU(name="reduce_relu"),
                _convolution(modules * channels // 4, 3, groups=modules, name="context"),
                batch_norm(name="context_bn"),
                layers.ReLU(name="context_relu"),
                _convolution(modules, 1, groups=modules, name="mask"),
                batch_norm(name="mask_bn"),
                layers.Activation(self.mask_activation, name="mask_activation"),
            ],
            name="phi",
        )
        self._phi.build(input_shape)
        super().build(input_shape)

    def call(self, features, training=False):
        masks = self._phi(features, training=training)
        area = tf.cast(tf.reduce_prod(tf.shape(features)[1:3]), features.dtype)
        return tf.einsum("bhwc,bhwk->bkc", features, masks) / area, masks

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "groups": self.groups, "mask_activation": self.mask_activation}


def _convolution(filters, kernel, groups, name):
    return GroupedConv2D(filters, kernel, groups, padding="same", kernel_initializer="he_normal", name=name)
