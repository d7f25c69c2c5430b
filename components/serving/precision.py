"""Networks in bfloat16, and whether they answer as well as in float32."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

import tensorflow as tf
from tensorflow import keras

from components.serving.module import served_network
from components.tasks.base import Learning

TOLERANCE = 0.001  # of shares; of other figures relative


@contextlib.contextmanager
def keras_policy(policy: str) -> Iterator[None]:
    """Networks are built under a Keras policy, and under float32 again afterwards."""
    keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy("float32")


def in_bfloat16(network: keras.Model, build: Callable[[], keras.Model], tasks: Mapping[str, Learning]) -> keras.Model:
    """What is served of a network, in bfloat16: its weights are as well, which halves what is read of them.

    Args:
        network: in float32.
        build: builds its like under the Keras policy in force, with weights of its own.
        tasks: by name.
    """
    with keras_policy("bfloat16"):
        fast = served_network(build(), tasks)
    fast.set_weights(served_network(network, tasks).get_weights())
    return fast


def figures(
    network: Callable[..., Mapping[str, tf.Tensor]], tasks: Mapping[str, Learning], batches: tf.data.Dataset
) -> dict[str, float]:
    """What the tasks measure of a network on a validation split, by the figures' names.

    Args:
        network: called as Keras' are.
        batches: (image [batch, H, W, 3], labels).
    """

    @tf.function
    def update(image, labels):
        outputs = network(image, training=False)
        for name, task in tasks.items():
            task.update(labels, outputs[name], task.loss(labels, outputs[name]))

    for task in tasks.values():
        task.metric.reset_state()
    for image, labels in batches:
        update(image, labels)
    return {task.figure: float(task.metric.result()) for task in tasks.values()}


def alike(exact: Mapping[str, float], others: Mapping[str, float]) -> bool:
    """Whether figures differ by no more than `TOLERANCE` from those of `exact`."""
    return all(abs(others[name] - value) <= TOLERANCE * max(1.0, abs(value)) for name, value in exact.items())
