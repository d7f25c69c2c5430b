"""Grouped convolution without XLA."""

from __future__ import annotations

from typing import Any

from tensorflow import keras


@keras.saving.register_keras_serializable("facetfx")
class GroupedConv2D(keras.layers.Conv2D):
    """Conv2D, without bias unless asked for, whose groups run in TensorFlow's own kernels, forward and backward.

    Keras 2 compiles a convolution of several groups with XLA, which on a CPU made a step of MGG-Net's training twelve
    times as long (BUILD.md).

    Args: those of keras.layers.Conv2D.
    """

    def __init__(self, filters: int, kernel_size: int, groups: int, **kwargs: Any):
        super().__init__(filters, kernel_size, groups=groups, **{"use_bias": False, **kwargs})

    def call(self, inputs):
        outputs = self.convolution_op(inputs, self.kernel)
        return outputs + self.bias if self.use_bias else outputs
