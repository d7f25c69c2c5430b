"""What an image costs the exported DML-CSR, as a ratio to the training graph with its edge branches.

    python -m tests.benchmarks.parsing_latency [--size 473] [--repetitions 5]

The network of the paper, ResNet-101 with 19 classes, on random weights, one image at a time on two threads. Four take
turns: the exported model as it is served (a JPEG's bytes to its label map), the same with export.precision bfloat16,
the network in the exported model, and a forward pass of the training graph with all of its outputs, these two on the
image decoded beforehand. The figures are ratios of medians, of the time a pass takes and of the processors' time, which
other work beside it changes less. Most of the minutes it takes are the export's.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from PIL import Image

from components.images.decoding import decode
from components.serving.export import export
from components.serving.precision import in_bfloat16
from components.systems.base import System
from components.tasks.base import learning_of
from components.tasks.segmentation.label_maps import CELEBAMASK_PARTS
from keras_models import DMLCSR
from tests.support.tasks import bound_task

THREADS = 2
TRAINING = "training graph"


def jpeg_image(size: int) -> bytes:
    """A JPEG of size x size pixels of smooth random colours."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def passes(size: int) -> dict:
    """By name, functions of nothing that take an image through one of the four."""

    def build():
        return DMLCSR((size, size, 3), len(CELEBAMASK_PARTS))

    network, jpeg = build(), jpeg_image(size)
    tasks = {"parsing": learning_of(bound_task("parsing", "segmentation", CELEBAMASK_PARTS), (size, size))}
    fast = in_bfloat16(network, build, tasks)
    models = {}
    for precision in ("float32", "bfloat16"):
        with tempfile.TemporaryDirectory() as folder:
            precise = {"fast": fast} if precision == "bfloat16" else {}
            served = export(network, tasks, (size, size), System(), folder, [jpeg], **precise).network
            models[precision] = tf.saved_model.load(folder)
    encoded = tf.constant([jpeg])
    image = tf.cast(decode(encoded[0]), tf.float32)[tf.newaxis]
    exported_network = tf.function(lambda: served(image, training=False))
    training_graph = tf.function(lambda: network(image, training=False))
    serve = {precision: model.signatures["serving_default"] for precision, model in models.items()}
    return {
        "exported, JPEG to label map": lambda: serve["float32"](encoded),
        "the same in bfloat16": lambda: serve["bfloat16"](encoded),
        "exported, network only": exported_network,
        TRAINING: training_graph,
    }


def interleaved(calls: dict, repetitions: int) -> dict[object, list[tuple[float, float]]]:
    """By name, the milliseconds and the processors' milliseconds of each repetition of functions that take turns."""
    for call in calls.values():
        call()  # traces
    times = {name: [] for name in calls}
    for repetition in range(repetitions):
        # Who goes first changes, so that a drift of the machine favours nobody.
        for name in sorted(calls, reverse=bool(repetition % 2)):
            started = time.perf_counter(), time.process_time()
            calls[name]()
            times[name].append((1000 * (time.perf_counter() - started[0]), 1000 * (time.process_time() - started[1])))
    return times


def medians(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """Of each of the two."""
    first, second = map(statistics.median, zip(*pairs, strict=True))
    return first, second


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=473)
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    taken = passes(arguments.size)
    times = interleaved(taken, arguments.repetitions)
    baseline = medians(times[TRAINING])
    for name, pairs in times.items():
        (wall, cpu), (wall_ratio, cpu_ratio) = medians(pairs), np.divide(medians(pairs), baseline)
        print(f"{name:28}{wall:7.0f} ms, ratio {wall_ratio:.3f};  processors{cpu:7.0f} ms, ratio {cpu_ratio:.3f}")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{arguments.size} x {arguments.size} pixels; load {load} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
