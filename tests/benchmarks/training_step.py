"""What MGG-Net's step of training costs, as a ratio to its baseline's at equal batch.

    python -m tests.benchmarks.training_step [--repetitions 20]

Both networks of the tiny experiments, forward, loss, backward and update, on the same random batch in memory. They take
turns, and the figure is the ratio of the medians; the paper adds 16 % parameters, the aim is at most 1.35.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from tensorflow import keras

from components.datasets.binding import bound_tasks
from components.tasks.base import learning_of
from components.trainer.optimizers import build_optimizer
from components.trainer.task_model import TaskModel
from pipeline import experiments

EXPERIMENTS = ("mgg_net/celeb_a-baseline-tiny", "mgg_net/celeb_a-gal-tiny", "mgg_net/celeb_a-tiny")
NUM_ATTRIBUTES = 40
AIM = 1.35


def trained_step(name: str):
    """A compiled step of the experiment on a random batch, as a function of nothing."""
    experiment = experiments.get(name)
    data, training = experiment.data, experiment.training
    keras.mixed_precision.set_global_policy(training.precision)
    network = experiment.model.build(input_shape=(*data.image_size, 3))
    tasks = {task.name: learning_of(task, data.image_size) for task in bound_tasks(experiment)}
    model = TaskModel(network, tasks, training.loss.build())
    model.compile(build_optimizer(training.optimizer, 1e-3), weighted_metrics=[])
    random = np.random.default_rng(0)
    images = tf.constant(random.integers(0, 256, (training.batch_size, *data.image_size, 3), np.uint8))
    labels = {"attributes": tf.constant(random.integers(0, 2, (training.batch_size, NUM_ATTRIBUTES)))}
    step = tf.function(lambda: model.train_step((images, labels)))
    step()  # traces
    return lambda: float(step()["loss"])


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=20)
    repetitions = parser.parse_args().repetitions
    steps = {name: trained_step(name) for name in EXPERIMENTS}
    times = {name: [] for name in EXPERIMENTS}
    for repetition in range(repetitions):
        # Who goes first changes, so that a drift of the machine favours nobody.
        for name in sorted(EXPERIMENTS, reverse=bool(repetition % 2)):
            started = time.perf_counter()
            steps[name]()
            times[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in times.items()}
    baseline = medians[EXPERIMENTS[0]]
    for name, values in times.items():
        ratio = medians[name] / baseline
        print(f"{name:32}{medians[name]:7.3f} s  ({min(values):.3f} to {max(values):.3f})  ratio {ratio:.3f}")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"aim {AIM}; load {load} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
