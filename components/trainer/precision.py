"""The precision that a training is done in here: bfloat16 only where this machine is faster in it."""

from __future__ import annotations

import sys
import time

import tensorflow as tf

_FEATURES, _KERNEL = (8, 24, 24, 64), (3, 3, 64, 64)  # of the convolution that is timed, with its gradient
_REPETITIONS = 3


def precision_here(asked: str) -> str:
    """The Keras policy to train under: what the experiment asks for, but float32 where bfloat16 would slow it down.

    Processors without instructions for bfloat16 compute its gradients ten times slower, and those of grouped
    convolutions not at all. Variables are float32 under either policy: a stopped run goes on on another machine.

    Args:
        asked: one of components.config.PRECISIONS.
    """
    if asked != "mixed_bfloat16":
        return asked
    seconds = {dtype: _seconds(dtype) for dtype in (tf.float32, tf.bfloat16)}
    ratio = seconds[tf.bfloat16] / seconds[tf.float32]
    if ratio <= 1:
        return asked
    print(f"  Training in float32: in bfloat16 this machine takes {ratio:.1f} times as long.", file=sys.stderr)
    return "float32"


def _seconds(dtype: tf.DType) -> float:
    """The shortest of several times that a convolution and its gradients take."""
    features = tf.cast(tf.random.stateless_uniform(_FEATURES, seed=[0, 0]), dtype)
    kernel = tf.cast(tf.random.stateless_uniform(_KERNEL, seed=[0, 1]), dtype)

    @tf.function
    def gradients(features, kernel):
        with tf.GradientTape() as tape:
            tape.watch([features, kernel])
            convolved = tf.nn.conv2d(features, kernel, 1, "SAME")
        # Their sums have to come back: what runs on another device has ended then.
        return [tf.reduce_sum(gradient) for gradient in tape.gradient(convolved, [features, kernel])]

    def timed():
        start = time.perf_counter()
        for gradient in gradients(features, kernel):
            gradient.numpy()
        return time.perf_counter() - start

    timed()  # traces and sets up
    return min(timed() for _ in range(_REPETITIONS))
