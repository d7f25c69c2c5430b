"""What a training runs on, in words."""

from __future__ import annotations

import collections
import os

import tensorflow as tf

from components.trainer.workers import num_machines


def devices(strategy: tf.distribute.Strategy) -> str:
    """What a strategy trains on: `2 processors, no GPU`, `4 GPUs (NVIDIA A100)` or `1 of 4 GPUs (NVIDIA A100)`.

    With ` on each of 3 machines` behind it if TF_CONFIG names several.
    """
    machines = num_machines()
    return f"{_here(strategy, machines)}{f' on each of {machines} machines' if machines > 1 else ''}"


def _here(strategy, machines):
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        count = len(os.sched_getaffinity(0))
        return f"{count} processor{'s' * (count > 1)}, no GPU"
    names = collections.Counter(
        tf.config.experimental.get_device_details(gpu).get("device_name", "of unknown make") for gpu in gpus
    )
    used = min(strategy.num_replicas_in_sync // machines, len(gpus))
    of_all = "" if used == len(gpus) else f"{used} of "
    return f"{of_all}{len(gpus)} GPU{'s' * (len(gpus) > 1)} ({', '.join(names)})"


def has_gpu() -> bool:
    """Whether TensorFlow finds one."""
    return bool(tf.config.list_physical_devices("GPU"))
