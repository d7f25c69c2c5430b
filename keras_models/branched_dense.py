"""Parallel fully connected layers."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow import keras


@keras.saving.register_keras_serializable("facetfx")
class BranchedDense(keras.layers.Layer):
    """A Dense layer for each branch, computed as one batched product.

    Args:
        units: outputs of each branch.
        branches: c, the number of branches.
        shared: whether every branch reads the whole input; otherwise each reads its own c-th part.
        use_bias: whether there is a bias; batch norm after the layer makes it redundant, until it is folded.

    Call: [batch, n], or [batch, c·n] unless shared -> [batch, c·units].
    """

    def __init__(self, units: int, branches: int, shared: bool, use_bias: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units
        self.branches = branches
        self.shared = shared
        self.use_bias = use_bias

    def build(self, input_shape):
        inputs = input_shape[-1] if self.shared else input_shape[-1] // self.branches

        def initial(shape, dtype=None, **kwargs):
            # Each branch is initialised as a layer of its own: one initializer would count the branches as inputs, and
            # calling it again would repeat its values.
            return tf.stack([keras.initializers.HeNormal()(shape[1:], dtype, **kwargs) for _ in range(shape[0])])

        self.kernel = self.add_weight("kernel", [self.branches, inputs, self.units], initializer=initial)
        if self.use_bias:
            self.bias = self.add_weight("bias", [self.branches * self.units], initializer="zeros")
        super().build(input_shape)

    def call(self, x):
        outputs = self._alone(x) if self.branches == 1 else self._side_by_side(x)
        return outputs + self.bias if self.use_bias else outputs

    def _alone(self, x):
        # As a batched product of one, fc6 of VGG-16 takes three times as long for one image.
        return tf.matmul(x, tf.reshape(self.kernel, self.kernel.shape[1:]))

    def _side_by_side(self, x):
        if self.shared:
            inputs = x[tf.newaxis]
        else:
            inputs = tf.transpose(tf.reshape(x, [-1, self.branches, self.kernel.shape[1]]), [1, 0, 2])
        outputs = tf.transpose(tf.matmul(inputs, self.kernel), [1, 0, 2])
        return tf.reshape(outputs, [-1, self.branches * self.units])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "branches": self.branches,
            "shared": self.shared,
            "use_bias": self.use_bias,
        }
