"""What the tests of all kinds' learning do alike."""

import numpy as np
import tensorflow as tf

from components.tasks.base import Learning


def logits(*odds) -> tf.Tensor:
    """Logits of which e to the power is `odds`."""
    return tf.math.log(tf.constant(odds, tf.float32))


def mean_of_batches(learning: Learning, *batches: np.ndarray) -> np.ndarray:
    """The mean of `learning.mean_target` over what is annotated, as components.systems.ifan.training takes it."""
    from components.systems.ifan.training import mean_target

    name = learning.task.name
    spec = {name: tf.TensorSpec([None, *batches[0].shape[1:]], batches[0].dtype)}
    elements = tf.data.Dataset.from_generator(
        lambda: ((0, {name: batch}) for batch in batches), output_signature=(tf.TensorSpec([], tf.int32), spec)
    )
    mean = mean_target(learning, elements)
    assert mean.dtype == np.float32
    return mean


def assert_counts_nowhere(learning: Learning, truth: tf.Tensor, output: tf.Tensor) -> None:
    """That a batch without annotation costs nothing, has no gradient and is measured nowhere."""
    labels, output = {learning.task.name: truth}, tf.Variable(output)
    with tf.GradientTape() as tape:
        total, count = learning.loss(labels, output)
    assert not np.any(total) and not np.any(count)
    np.testing.assert_array_equal(tape.gradient(total, output), np.zeros(output.shape))
    learning.update(labels, output, (total, count))
    assert not any(np.any(variable) for variable in learning.metric.variables)
    values, annotated = learning.mean_target(labels)
    assert not np.any(annotated) and not np.any(values * annotated)
    assert annotated.shape[1:] == output.shape[1:]
