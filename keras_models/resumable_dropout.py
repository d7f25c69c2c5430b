"""Dropout that a stopped run continues: its randomness is part of a checkpoint."""

from __future__ import annotations

import random

import tensorflow as tf
from tensorflow import keras


@keras.saving.register_keras_serializable("facetfx")
class ResumableDropout(keras.layers.Layer):
    """Dropout like Keras', which however draws from a stream that begins anew with every process.

    The generator's state is no weight: tf.train.Checkpoint keeps it, get_weights doesn't show it. Its seed follows from
    keras.utils.set_random_seed. Replicas draw from streams of their own.

    Args:
        rate: share of the values that become 0 in training.

    Call: [batch, ...] -> the same shape; in training what remains is divided by 1 - rate.
    """

    def __init__(self, rate: float, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def build(self, input_shape):
        self.generator = tf.random.Generator.from_seed(random.getrandbits(63))
        super().build(input_shape)

    def call(self, x, training=None):
        if not training:
            return x
        return tf.nn.experimental.stateless_dropout(x, self.rate, seed=self.generator.make_seeds()[:, 0])

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}
