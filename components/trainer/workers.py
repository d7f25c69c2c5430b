"""Training over several machines: TF_CONFIG names them, each runs `train`, and one of them is the chief.

https://www.tensorflow.org/guide/distributed_training#tf_config_environment_variable. A batch is shared out among all;
the chief alone writes checkpoints, logs and the model.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os

import tensorflow as tf

from components.code_version import code_version
from components.config import BaseTraining


def _told():
    """The machines' addresses by what they are called, and this one's place: (name, index)."""
    told = os.environ.get("TF_CONFIG") or "{}"
    try:
        config = json.loads(told)
        cluster = config.get("cluster", {})
        if not all(isinstance(addresses, list) for addresses in cluster.values()):
            raise ValueError("a cluster has lists of addresses")
        task = config.get("task", {})
        return cluster, (task.get("type"), int(task.get("index", 0)))
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"TF_CONFIG is {told!r}, expected JSON with cluster and task: {error}") from error


def num_machines() -> int:
    """How many machines TF_CONFIG names, 1 without it; ValueError if it is no JSON of that kind."""
    return max(1, sum(map(len, _told()[0].values())))


def told_chief() -> bool:
    """Whether this process writes what a training leaves: always, of one machine."""
    cluster, place = _told()
    return num_machines() == 1 or place == ("chief" if "chief" in cluster else "worker", 0)


def strategy_of(training: BaseTraining) -> tf.distribute.Strategy:
    """The experiment's own, or of several machines MultiWorkerMirroredStrategy; waits until they have all started.

    Before any other call of TensorFlow's.
    """
    if num_machines() > 1:
        return _over_all_machines()
    return training.strategy.build()


@functools.cache
def _over_all_machines():
    """One for all trainings of a process: another one resets connections, and a machine that still waits fails."""
    return tf.distribute.MultiWorkerMirroredStrategy()


def check_alike(strategy: tf.distribute.Strategy, *what: str) -> None:
    """Raises ValueError if another machine was told to train something else: the strategy would wait for ever."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return
    code = code_version("components", "keras_models")
    own = int(hashlib.sha256("\n".join([code, *what]).encode()).hexdigest()[:12], 16)  # which a float64 holds
    mean = strategy.reduce(tf.distribute.ReduceOp.MEAN, strategy.run(lambda: tf.constant(own, tf.float64)), axis=None)
    if float(mean) != own:
        raise ValueError(
            "The machines in TF_CONFIG were told to train different things, or have different code: start all again."
        )


def shared_out(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Batches of which each machine takes its part, whatever files they come from."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.with_options(options)
