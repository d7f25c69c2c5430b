"""Grouped convolution without XLA."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf
from tensorflow import keras


@keras.saving.register_keras_serializable("facetfx")
class GroupedConv2D(keras.layers.Conv2D):
    """Conv2D, without bias unless asked for, whose groups run in TensorFlow's own kernels, forward and backward.

    Keras 2 compiles a convolution of several groups with XLA, which on a CPU made a step of MGG-Net's training twelve
    times as long (BUILD.md). On CPUs where those kernels have no gradient of several groups, each group is a
    convolution of its own.

    Args: those of keras.layers.Conv2D.
    """

    def __init__(self, filters: int, kernel_size: int, groups: int, **kwargs: Any):
        super().__init__(filters, kernel_size, groups=groups, **{"use_bias": False, **kwargs})

    def call(self, inputs):
        if self.groups == 1 or _kernels_have_the_gradient(inputs.dtype):
            outputs = self.convolution_op(inputs, self.kernel)
        else:
            parts = (tf.split(x, self.groups, axis=-1) for x in (inputs, self.kernel))
            outputs = tf.concat([self.convolution_op(x, kernel) for x, kernel in zip(*parts, strict=True)], axis=-1)
        return outputs + self.bias if self.use_bias else outputs


@functools.cache
def _kernels_have_the_gradient(dtype: tf.DType) -> bool:
    """Whether a convolution of several groups can be trained as one op: on a CPU only with oneDNN.

    TensorFlow uses oneDNN as its settings, the processor and the type say, and has no public way to ask: so this tries.
    """
    with tf.init_scope():  # eagerly, whatever is being traced; no tape records in it
        try:
            tf.raw_ops.Conv2DBackpropFilter(
                input=tf.ones([1, 3, 3, 4], dtype),
                filter_sizes=[3, 3, 2, 2],
                out_backprop=tf.ones([1, 3, 3, 2], dtype),
                strides=[1, 1, 1, 1],
                padding="SAME",
            )
        except tf.errors.OpError:
            return False
    return True
