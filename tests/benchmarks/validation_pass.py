"""What AdaptiveThresholds and DynamicWeights add to the time of one plain validation pass.

    .venv/bin/python -m tests.benchmarks.validation_pass [--images 1000] [--repetitions 5]

Plain is `model.evaluate` of the same network compiled the ordinary Keras way with the same losses, nothing counted per
attribute. Ours is `TaskModel.evaluate` with both callbacks. Both read the same batches of random images from memory.
They take turns, and the figure is the ratio of the medians; the aim is at most 1.05. On a machine that does other work,
the ratio of the CPU times says more than that of the wall times.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import numpy as np
import tensorflow as tf
from tensorflow import keras

from components.datasets.binding import bound_tasks
from components.systems.dmm_cnn.adaptive import AdaptiveThresholds, DynamicWeights
from components.tasks.base import learning_of
from components.trainer.task_model import TaskModel
from keras_models.losses.attributes import attribute_mse, landmark_mse
from pipeline import experiments

EXPERIMENT = "dmm_cnn/celeb_a-tiny"
AIM = 1.05


def random_split(count: int, image_size: tuple[int, int], num_attributes: int, num_landmarks: int, batch_size: int):
    """Batches of random images with random labels, in memory."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, *image_size, 3), np.uint8)
    labels = {
        "attributes": random.integers(0, 2, (count, num_attributes)),
        "landmarks": random.random((count, 2 * num_landmarks), np.float32),
    }
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(batch_size).cache().prefetch(tf.data.AUTOTUNE)


def plain_model(network: keras.Model, beta: float) -> keras.Model:
    """The network as anyone would compile it."""
    model = keras.Model(network.input, network.output)

    def attributes(labels, scores):
        return tf.reduce_sum(tf.math.divide_no_nan(*attribute_mse(tf.cast(labels, tf.int64), scores)))

    def landmarks(points, predictions):
        return tf.math.divide_no_nan(*landmark_mse(points, predictions))

    model.compile(
        keras.optimizers.SGD(),
        loss={"attributes": attributes, "landmarks": landmarks},
        loss_weights={"attributes": 1.0, "landmarks": beta},
    )
    return model


def seconds(function) -> np.ndarray:
    """Wall time and this process's CPU time of a call."""
    start = np.array([time.perf_counter(), time.process_time()])
    function()
    return np.array([time.perf_counter(), time.process_time()]) - start


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()

    experiment = experiments.get(EXPERIMENT)
    data, training = experiment.data, experiment.training
    keras.mixed_precision.set_global_policy(training.precision)
    network = experiment.model.build(input_shape=(*data.image_size, 3))
    num_attributes = network.output["attributes"].shape[-1]
    tasks = {task.name: learning_of(task, data.image_size) for task in bound_tasks(experiment)}
    num_landmarks = tasks["landmarks"].channels // 2
    split = random_split(arguments.images, data.image_size, num_attributes, num_landmarks, training.batch_size)

    plain = plain_model(network, training.loss.kwargs["beta"])
    ours = TaskModel(network, tasks, training.loss.build())
    ours.compile(keras.optimizers.SGD(), weighted_metrics=[])
    callbacks = [AdaptiveThresholds(), DynamicWeights()]
    passes = {
        "plain": lambda: plain.evaluate(split, verbose=0),
        "ours": lambda: ours.evaluate(split, verbose=0, callbacks=callbacks),
    }
    for one_pass in passes.values():
        one_pass()  # traces, fills the cache
    times = {name: [] for name in passes}
    for repetition in range(arguments.repetitions):
        # Who goes first changes, so that a drift of the machine favours neither.
        for name in sorted(passes, reverse=bool(repetition % 2)):
            times[name].append(seconds(passes[name]))

    size = "x".join(map(str, data.image_size))
    print(f"{EXPERIMENT}, {arguments.images:,} images of {size}, {arguments.repetitions} passes each in turn")
    for kind, clock in enumerate(("wall", "CPU")):
        taken = {name: [measured[kind] for measured in values] for name, values in times.items()}
        medians = {name: statistics.median(values) for name, values in taken.items()}
        for name, values in taken.items():
            print(f"  {clock:5}{name:6}{medians[name]:8.3f} s  ({min(values):.3f} to {max(values):.3f})")
        print(f"  {clock:5}ratio {medians['ours'] / medians['plain']:8.3f}    (aim {AIM})")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"  load {load} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
