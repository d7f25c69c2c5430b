"""Forty attention modules as grouped convolutions against a loop over forty modules, forward and backward.

    python -m tests.benchmarks.group_attention [--modules 40] [--repetitions 10]

Both sides are GroupAttention: one layer of K modules, and K layers of one module. They take turns on the features of
block 3 and block 4 of a ResNet-18 at 96 px, batch 64; the figure is the ratio of the medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from tensorflow import keras

from keras_models import GroupAttention

FEATURES = {"block 3": (64, 12, 12, 128), "block 4": (64, 6, 6, 256)}


def compiled(module, features, weights):
    """A step forward and backward, as a function of nothing."""

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch(features)
            loss = tf.reduce_sum(tf.square(tf.cast(module(features), tf.float32)))
        return tape.gradient(loss, [features, *weights])

    step()  # traces
    return lambda: step()[0].numpy()


def grouped(features, modules):
    """One layer of K modules."""
    layer = GroupAttention([str(k) for k in range(modules)])
    layer(features)
    return compiled(lambda x: layer(x, training=True)[0], features, layer.trainable_weights)


def loop(features, modules):
    """K layers of one module."""
    layers = [GroupAttention([str(k)]) for k in range(modules)]
    for layer in layers:
        layer(features)
    weights = [weight for layer in layers for weight in layer.trainable_weights]
    return compiled(lambda x: tf.concat([layer(x, training=True)[0] for layer in layers], 1), features, weights)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modules", type=int, default=40)
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--precision", default="float32", help="Keras mixed-precision policy")
    arguments = parser.parse_args()
    keras.mixed_precision.set_global_policy(arguments.precision)
    for block, shape in FEATURES.items():
        features = tf.cast(tf.random.normal(shape), keras.mixed_precision.global_policy().compute_dtype)
        steps = {kind.__name__: kind(features, arguments.modules) for kind in (grouped, loop)}
        times = {name: [] for name in steps}
        for _ in range(arguments.repetitions):
            for name, step in steps.items():
                started = time.perf_counter()
                step()
                times[name].append(time.perf_counter() - started)
        medians = {name: statistics.median(values) for name, values in times.items()}
        for name, median in medians.items():
            print(
                f"{block}, {arguments.modules} modules, {name:8}{median:8.3f} s  {median / medians['grouped']:6.2f}",
                flush=True,
            )
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{arguments.precision}; load {load} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
