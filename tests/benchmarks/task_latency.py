"""What three tasks cost in one call of iFAN, as a ratio to three networks of one task each, called one after another.

    python -m tests.benchmarks.task_latency [--size 128] [--repetitions 15] [--iterations 0 1 2]

The paper's widths on random weights, one image at a time on two threads, from a JPEG's bytes to the answers, as
served. In turn answer, for each number of iterations: one network of three tasks with task-wise batch
norm, one with a shared batch norm, and three networks of one task with as many iterations. The figures are ratios of
medians, of the time a call takes and of the processors' time.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from components.serving.module import ServingModule
from components.tasks.base import serving_of
from keras_models import IFAN
from keras_models.ifan import PAPER_TASKS
from tests.benchmarks.parsing_latency import THREADS, interleaved, jpeg_image, medians
from tests.support.tasks import bound_task

AIM = 0.6
SINGLE = "three networks of one task"
KINDS = {"parsing": "segmentation", "landmarks": "landmarks", "emotion": "classification"}


def answers(size: int, tasks: dict[str, int], **options):
    """A function of nothing that answers for an image."""
    network = IFAN((size, size, 3), tasks, **options)
    bound = [bound_task(task, KINDS[task], map(str, range(number))) for task, number in tasks.items()]
    served = ServingModule(network, (size, size), [serving_of(task) for task in bound], one_by_one=True)
    encoded = tf.constant([jpeg_image(size)])
    return lambda: served.from_images(encoded)


def contenders(size: int, iterations: int) -> dict:
    """By name, functions of nothing that answer for one image."""
    alone = [answers(size, {task: number}, iterations=iterations) for task, number in PAPER_TASKS.items()]
    return {
        "one network, task-wise batch norm": answers(size, PAPER_TASKS, iterations=iterations),
        "one network, shared batch norm": answers(size, PAPER_TASKS, iterations=iterations, task_batch_norm=False),
        SINGLE: lambda: [answer() for answer in alone],
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--iterations", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    calls = {
        (iterations, name): call
        for iterations in arguments.iterations
        for name, call in contenders(arguments.size, iterations).items()
    }
    times = interleaved(calls, arguments.repetitions)
    for (iterations, name), pairs in times.items():
        wall, cpu = medians(pairs)
        fewest = arguments.iterations[0]
        same, plain = (np.divide((wall, cpu), medians(times[i, SINGLE])) for i in (iterations, fewest))
        print(
            f"iterations {iterations}, {name:34}{wall:7.0f} ms, processors{cpu:7.0f} ms; over three networks with as "
            f"many iterations {same[0]:.2f} ({same[1]:.2f}), with {fewest} {plain[0]:.2f} ({plain[1]:.2f})"
        )
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"aim at most {AIM}; {arguments.size} x {arguments.size} pixels; load {load} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
