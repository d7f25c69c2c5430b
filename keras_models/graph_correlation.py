"""Graph Correlation Learning of MGG-Net (Section 3.2, Eq. 2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras


@keras.saving.register_keras_serializable("facetfx")
class GraphCorrelation(keras.layers.Layer):
    """One step of a directed graph network over groups: every group receives messages from the K - 1 others.

    e'_ij = w_e_iᵀ ReLU(W_g_i f_j);  e_ij = softmax over j ≠ i of e'_ij;
    f'_i = ReLU((1 - α) f_i + α Σ_j e_ij W_g_i f_j).

    Args:
        alpha: α, the share of the messages; the paper calls it a constant and doesn't state it.

    Call: group features [batch, K, C] -> (refined features [batch, K, C], affinities [batch, K, K]). Row i of the
        affinities weights the messages to group i: it sums to 1, with 0 on the diagonal.

    Raises:
        ValueError: for fewer than two groups, or α outside [0, 1].
    """

    def __init__(self, alpha: float = 0.5, **kwargs: Any):
        super().__init__(**kwargs)
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha is a share in [0, 1], received {alpha}.")
        self.alpha = alpha

    def build(self, input_shape):
        groups, channels = input_shape[1:]
        if groups < 2:
            raise ValueError(f"A graph needs at least two groups, received {groups}.")
        # The initializers count the first axis as a part of the receptive field: `scale` undoes that.
        glorot = keras.initializers.VarianceScaling(groups, "fan_avg", "uniform")
        self.transfer = self.add_weight("transfer", [groups, channels, channels], initializer=glorot)
        self.edge = self.add_weight("edge", [groups, channels], initializer="glorot_uniform")
        super().build(input_shape)

    def call(self, features):
        messages = tf.einsum("bjc,icd->bijd", features, self.transfer)
        scores = tf.einsum("bijd,id->bij", tf.nn.relu(messages), self.edge)
        # In float32: a softmax of half-precision scores is coarse.
        own = np.eye(scores.shape[-1], dtype=bool)  # XLA can't compile the gradient of set_diag
        scores = tf.where(own, float("-inf"), tf.cast(scores, tf.float32))
        affinities = tf.nn.softmax(scores)
        received = tf.einsum("bij,bijd->bid", tf.cast(affinities, features.dtype), messages)
        return tf.nn.relu((1 - self.alpha) * features + self.alpha * received), affinities

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}
