"""Batch normalisation that keeps scale, offset and statistics for each task (iFAN, Section 3.3)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow import keras

from keras_models.normalization import EPSILON, MOMENTUM


@keras.saving.register_keras_serializable("facetfx")
class TaskBatchNorm(keras.layers.Layer):
    """Task-wise batch norm: tasks' data sets differ, so that the statistics of one are wrong for another's images.

    Args:
        num_tasks: T.
        momentum, epsilon: as in keras.layers.BatchNormalization.

    Call: features [batch, H, W, C], task [batch] int32 in [0, T) -> [batch, H, W, C]. In training all images
        of a batch are of one task, that of the first: they are normalised by the batch's statistics, over all replicas,
        which update the moving statistics of that task alone. At inference each image is normalised by the moving
        statistics of its own task, and a batch may mix tasks.

    Raises:
        ValueError: for fewer than one task.
    """

    def __init__(self, num_tasks: int, momentum: float = MOMENTUM, epsilon: float = EPSILON, **kwargs: Any):
        super().__init__(**kwargs)
        if num_tasks < 1:
            raise ValueError(f"A network has at least one task, received num_tasks={num_tasks}.")
        self.num_tasks = num_tasks
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, input_shape):
        channels = input_shape[-1]

        def weight(name, shape, initializer, **options):
            # In float32 under any policy, like the fused kernel's arguments.
            return self.add_weight(name, shape, tf.float32, initializer, experimental_autocast=False, **options)

        # A variable for each task: an update of one task must not touch another's, not even through an optimizer's
        # momentum.
        self.gammas = [weight(f"gamma_{task}", [channels], "ones") for task in range(self.num_tasks)]
        self.betas = [weight(f"beta_{task}", [channels], "zeros") for task in range(self.num_tasks)]
        moving = {
            "trainable": False,
            "synchronization": tf.VariableSynchronization.ON_READ,
            "aggregation": tf.VariableAggregation.MEAN,
        }
        self.moving_mean = weight("moving_mean", [self.num_tasks, channels], "zeros", **moving)
        self.moving_variance = weight("moving_variance", [self.num_tasks, channels], "ones", **moving)
        super().build(input_shape)

    def task_weights(self, task: int) -> list[tf.Variable]:
        """The scale and the offset of one task."""
        return [self.gammas[task], self.betas[task]]

    def call(self, features, task, training=None):
        if training:
            return self._normalised_by_batch(features, task[0])
        scale = tf.stack(self.gammas) * tf.math.rsqrt(self.moving_variance + self.epsilon)
        offset = tf.stack(self.betas) - self.moving_mean * scale
        # Reshaped, since slices would double the ops of a network that has dozens of these layers.
        scale, offset = (tf.reshape(tf.gather(x, task), [-1, 1, 1, x.shape[-1]]) for x in (scale, offset))
        # In float32, as the fused kernel of training: rounded to bfloat16 in between, large means would not cancel.
        return tf.cast(tf.cast(features, tf.float32) * scale + offset, features.dtype)

    def _normalised_by_batch(self, features, task):
        gamma, beta = tf.gather(tf.stack(self.gammas), task), tf.gather(tf.stack(self.betas), task)
        replicas = tf.distribute.get_replica_context()
        if replicas and replicas.num_replicas_in_sync > 1:
            values = tf.cast(features, tf.float32)
            moments = tf.stack([tf.reduce_mean(values, [0, 1, 2]), tf.reduce_mean(tf.square(values), [0, 1, 2])])
            mean, square = tf.unstack(replicas.all_reduce(tf.distribute.ReduceOp.MEAN, moments))
            variance = square - tf.square(mean)
            normalised = tf.nn.batch_normalization(values, mean, variance, beta, gamma, self.epsilon)
            normalised = tf.cast(normalised, features.dtype)
        else:
            normalised, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                features, gamma, beta, epsilon=self.epsilon, is_training=True
            )
        this = tf.expand_dims(tf.one_hot(task, self.num_tasks), 1)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign_add((1.0 - self.momentum) * this * (batch - moving))
        return normalised

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
        }
