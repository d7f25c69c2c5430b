"""Which precision a processor is faster in, found out where a model is loaded."""

from __future__ import annotations

import tensorflow as tf

_CONVOLUTION = (1, 64, 64, 128)  # what is timed: its features, in and out; 0.6 billion multiply-adds
_REPETITIONS = 4


class FasterInBFloat16(tf.saved_model.experimental.TrackableResource):
    """Whether this processor computes faster in bfloat16 than in float32: a convolution says, when the model is loaded.

    A processor without instructions for bfloat16 has to convert at every step, and which processor will serve isn't
    known when a model is written.
    """

    def __init__(self):
        super().__init__()
        self._initialize()

    def __call__(self) -> tf.Tensor:
        """Scalar bool."""
        return tf.raw_ops.ReadVariableOp(resource=self.resource_handle, dtype=tf.bool)

    def _create_resource(self):
        return tf.raw_ops.VarHandleOp(dtype=tf.bool, shape=[], shared_name="facetfx_faster_in_bfloat16")

    def _initialize(self):
        faster = _seconds(tf.bfloat16) < _seconds(tf.float32)
        tf.raw_ops.AssignVariableOp(resource=self.resource_handle, value=faster)


@tf.function
def _seconds(dtype):
    """Of a convolution, the shortest of several: scalar float64."""
    channels = _CONVOLUTION[-1]
    # Random, so that nothing can be computed in advance.
    features = tf.cast(tf.random.uniform(_CONVOLUTION), dtype)
    kernel = tf.cast(tf.random.uniform([3, 3, channels, channels]) / (9.0 * channels), dtype)
    times = []
    for _ in range(_REPETITIONS):
        with tf.control_dependencies([features, kernel]):
            start = tf.timestamp()
        with tf.control_dependencies([start]):
            features = tf.nn.conv2d(features, kernel, 1, "SAME")
        with tf.control_dependencies([features]):
            times.append(tf.timestamp() - start)
    # What comes out has to be used, or TensorFlow leaves the convolutions out. The first one is slower: it is set up.
    finite = tf.math.is_finite(tf.reduce_sum(tf.cast(features, tf.float32)))
    return tf.where(finite, tf.reduce_min(times[1:]), float("inf"))
