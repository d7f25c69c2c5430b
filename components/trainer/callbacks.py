"""What a callback may need of the run beside its model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf
from tensorflow import keras


@dataclasses.dataclass(frozen=True)
class Run:
    """The data of a run, and its network.

    Attributes:
        epochs: of the whole run.
        strategy: that the network in training is under.
        new_network: makes another network like it, under the strategy in force.
        training: the batches of an epoch (counted from 0) as training sees them, augmented.
        validation: batches of the validation split.
    """

    epochs: int
    strategy: tf.distribute.Strategy
    new_network: Callable[[], keras.Model]
    training: Callable[[int], tf.data.Dataset]
    validation: tf.data.Dataset


class RunCallback(keras.callbacks.Callback):
    """A callback that is told of the run before a stopped one's state is restored."""

    def set_run(self, run: Run) -> None:
        """Called once, before training."""
        raise NotImplementedError
