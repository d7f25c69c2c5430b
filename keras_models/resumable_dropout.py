"""Dropout whose random state is part of checkpoints, so that a stopped run continues exactly."""

from __future__ import annotations

import random
from typing import Any

import tensorflow as tf
from tensorflow import keras


@keras.saving.register_keras_serializable("facetfx")
class ResumableDropout(keras.layers.Layer):
    """Like keras.layers.Dropout, whose random stream restarts with every process; this one's doesn't.

    The generator's state is not a weight: tf.train.Checkpoint saves it, get_weights doesn't return it. Its seed derives
    from keras.utils.set_random_seed. Each replica has its own stream.

    Args:
        rate: share of the values that are set to 0 in training.

    Call: [batch, ...] -> the same shape; in training what remains is divided by 1 - rate.
    """

    def __init__(self, rate: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate = rate

    def build(self, input_shape):
        self.generator = tf.random.Generator.from_seed(random.getrandbits(63))
        super().build(input_shape)

    def call(self, x, training=None):
        if not training:
            return x
        return tf.nn.experimental.stateless_dropout(x, self.rate, seed=self.generator.make_seeds()[:, 0])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}
