"""What a batch of images costs a served model, as a ratio to the network's own time and decoding.

    python -m tests.benchmarks.serving_batch [--batch 32] [--repetitions 7]

DMM-CNN with ResNet-50 at 224 px on random weights, from JPEGs of CelebA's size, on all cores. Three take turns: the
exported model's serving_default, its network on the images decoded beforehand, and the decoding of the batch alone. The
figures are medians; the aim is that serving takes no more than 1.1 times the network and the decoding together.
"""

from __future__ import annotations

import argparse
import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from components.serving.export import export
from components.serving.reception import receive, whole
from components.systems.base import System
from components.tasks.base import learning_of
from keras_models import DMMCNN
from keras_models.attributes import CELEBA_ATTRIBUTES
from tests.benchmarks.parsing_latency import interleaved, jpeg_image, medians
from tests.support.tasks import bound_task

AIM = 1.1
SIZE = (224, 224)
SERVED, NETWORK, DECODING = "served", "network", "decoding"


def calls(batch: int) -> dict:
    """By name, functions of nothing."""
    network = DMMCNN((*SIZE, 3), num_landmarks=0)
    tasks = {"attributes": learning_of(bound_task("attributes", "multi_label", CELEBA_ATTRIBUTES), SIZE)}
    encoded = tf.constant([jpeg_image(218)] * batch)
    with tempfile.TemporaryDirectory() as folder:
        served = export(network, tasks, SIZE, System(), folder, [jpeg_image(218)]).network
        serve = tf.saved_model.load(folder).signatures["serving_default"]
    decode = tf.function(lambda: receive(encoded, whole(encoded), SIZE)[0])
    images = tf.cast(decode(), tf.float32)
    return {
        SERVED: lambda: serve(encoded),
        NETWORK: tf.function(lambda: served(images, training=False)),
        DECODING: decode,
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repetitions", type=int, default=7)
    arguments = parser.parse_args()
    times = {name: medians(pairs) for name, pairs in interleaved(calls(arguments.batch), arguments.repetitions).items()}
    for name, (wall, cpu) in times.items():
        print(f"{name:10}{wall:7.0f} ms, processors{cpu:7.0f} ms")
    ratios = np.divide(times[SERVED], np.add(times[NETWORK], times[DECODING]))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"{SERVED} over {NETWORK} and {DECODING}: {ratios[0]:.2f} ({ratios[1]:.2f} of the processors' time), aim {AIM}"
    )
    print(f"a batch of {arguments.batch}; load {load} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
