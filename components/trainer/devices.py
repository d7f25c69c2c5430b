"""What a training runs on, in words."""

from __future__ import annotations

import collections
import os

import tensorflow as tf


def devices(strategy: tf.distribute.Strategy) -> str:
    """What a strategy trains on: `2 processors, no GPU`, `4 GPUs (NVIDIA A100)` or `1 of 4 GPUs (NVIDIA A100)`."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        count = len(os.sched_getaffinity(0))
        return f"{count} processor{'s' * (count > 1)}, no GPU"
    names = collections.Counter(
        tf.config.experimental.get_device_details(gpu).get("device_name", "of unknown make") for gpu in gpus
    )
    used = min(strategy.num_replicas_in_sync, len(gpus))
    of_all = "" if used == len(gpus) else f"{used} of "
    return f"{of_all}{len(gpus)} GPU{'s' * (len(gpus) > 1)} ({', '.join(names)})"


def has_gpu() -> bool:
    """Whether TensorFlow finds one."""
    return bool(tf.config.list_physical_devices("GPU"))
