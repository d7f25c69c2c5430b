"""Batch normalisation with the constants that all our networks share."""

from __future__ import annotations

import tensorflow as tf
from tensorflow import keras

layers = keras.layers

# PyTorch's constants: its momentum of 0.1 is what Keras counts as 0.9.
MOMENTUM = 0.9
EPSILON = 1e-5


def batch_norm(name: str, momentum: float = MOMENTUM, epsilon: float = EPSILON) -> keras.layers.BatchNormalization:
    """Batch norm, with PyTorch's constants where nothing else is said.

    Under a strategy of several replicas the statistics are those of the whole batch, so that mirrored training computes
    what one device computes. Otherwise it is the plain layer, whose fused kernel is faster.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return layers.BatchNormalization(momentum=momentum, epsilon=epsilon, synchronized=replicas > 1, name=name)
