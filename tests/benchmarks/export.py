"""What a SavedModel of ours costs to write and to load, as a ratio to one that holds the Keras network as well.

    python -m tests.benchmarks.export [EXPERIMENT ...] [--repetitions 3]

Both serve the same, with random weights. They take turns; the figures are the processors' seconds, medians, and the
ratio of the medians.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import statistics
import tempfile
import time

import tensorflow as tf

from components.datasets.binding import bound_tasks
from components.serving.module import ServingModule
from components.systems.base import system_of
from components.tasks.base import serving_of
from pipeline import experiments


def costs(experiment, with_keras: bool) -> dict[str, float]:
    """The processors' seconds that it takes to write a SavedModel and to load it."""
    network = experiment.model.build(input_shape=(*experiment.data.image_size, 3))
    servings = [serving_of(task) for task in bound_tasks(experiment)]
    module = ServingModule(network, experiment.data.image_size, servings, system_of(experiment).ONE_BY_ONE)
    if with_keras:
        module.keras_network = module.network
    with tempfile.TemporaryDirectory() as folder:
        times = [time.process_time()]
        tf.saved_model.save(module, folder, signatures=module.signatures())
        times.append(time.process_time())
        tf.saved_model.load(folder)
        times.append(time.process_time())
    return {"write": times[1] - times[0], "load": times[2] - times[1]}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", default=["dmm_cnn/synthetic", "ifan/3t-tiny"])
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    for name in arguments.experiments:
        found = {True: [], False: []}
        for _ in range(arguments.repetitions):
            for with_keras, each in found.items():
                each.append(costs(experiments.get(name), with_keras))
        for what in ("write", "load"):
            ours, keras = (statistics.median(each[what] for each in found[kind]) for kind in (False, True))
            print(f"{name}: {what} {ours:.1f} s, with the Keras network {keras:.1f} s: {ours / keras:.2f}", flush=True)


if __name__ == "__main__":
    main()
