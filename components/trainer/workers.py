"""Training over several machines: TF_CONFIG names them, each runs `train`, and one of them is the chief.

https://www.tensorflow.org/guide/distributed_training#tf_config_environment_variable. A batch is shared out among all;
the chief alone writes checkpoints, logs and the model.
"""

from __future__ import annotations

import hashlib
import json
import os

import tensorflow as tf

from components.config import BaseTraining


def num_machines() -> int:
    """How many machines TF_CONFIG names, 1 without it; ValueError if it is no JSON of that kind."""
    told = os.environ.get("TF_CONFIG") or "{}"
    try:
        return max(1, sum(len(addresses) for addresses in json.loads(told).get("cluster", {}).values()))
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"TF_CONFIG is {told!r}, expected JSON with cluster and task: {error}") from error


def strategy_of(training: BaseTraining) -> tf.distribute.Strategy:
    """The experiment's own, or of several machines MultiWorkerMirroredStrategy; waits until they have all started.

    Before any other call of TensorFlow's.
    """
    if num_machines() > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    return training.strategy.build()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes what the training leaves: always, of one machine."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or resolver.task_type is None:
        return True
    first = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return (resolver.task_type, resolver.task_id) == (first, 0)


def check_alike(strategy: tf.distribute.Strategy, *what: str) -> None:
    """Raises ValueError if another machine was told to train something else: the strategy would wait for ever."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return
    own = int(hashlib.sha256("\n".join(what).encode()).hexdigest()[:6], 16)  # which a float32 holds
    most = strategy.reduce(tf.distribute.ReduceOp.MEAN, strategy.run(lambda: tf.constant(own, tf.float64)), axis=None)
    if float(most) != own:
        raise ValueError("The machines in TF_CONFIG were told to train different experiments: start them all again.")


def shared_out(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Batches of which each machine takes its part, whatever files they come from."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.with_options(options)
