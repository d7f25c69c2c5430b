"""Optimizers as the papers mean them."""

from __future__ import annotations

from typing import Any

from tensorflow import keras

from components.config import ObjectConfig

# By name, on each replica: scales and offsets of batch norm (TaskBatchNorm numbers them), and biases.
_NOT_DECAYED = [r"/((gamma|beta)(_\d+)?|bias)(/replica_\d+)?:"]


def sgd(
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    momentum: float,
    weight_decay: float,
    **options: Any,
) -> keras.optimizers.SGD:
    """SGD with momentum and the weight decay of Caffe and PyTorch, which is an L2 penalty.

    There the decay is a part of the gradient and goes through the momentum: a weight shrinks by rate · decay / (1 -
    momentum) a step. Keras takes rate · decay off the weight itself.

    Args:
        weight_decay: as papers state it.
        options: further ones of keras.optimizers.SGD.
    """
    return keras.optimizers.SGD(learning_rate, momentum, weight_decay=weight_decay / (1.0 - momentum), **options)


def build_optimizer(
    config: ObjectConfig, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """An experiment's optimizer; weight decay leaves batch norm and biases as they are.

    Decay moves towards 0 what has no reason to be there (a scale is 1 before training), and regularises nothing.
    """
    optimizer = config.build(learning_rate=learning_rate)
    if getattr(optimizer, "weight_decay", None):  # which Keras' legacy optimizers don't have
        optimizer.exclude_from_weight_decay(var_names=_NOT_DECAYED)
    return optimizer


def scaling_losses(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer, under the policy mixed_float16 behind Keras' scaling of losses, without which gradients vanish.

    `compile` does the same for a model's only optimizer.
    """
    if keras.mixed_precision.global_policy().name == "mixed_float16":
        return keras.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer
