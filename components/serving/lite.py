"""A network as TensorFlow Lite has it, for phones and single-board computers."""

from __future__ import annotations

import os
import threading

import numpy as np
import tensorflow as tf
from tensorflow import keras

LITE = os.path.join("assets.extra", "model.tflite")
LITE_TASKS = os.path.join("assets.extra", "tasks.json")  # what its outputs are
_SIGNATURE = "serving_default"


def convert(network: keras.Model, image_size: tuple[int, int], precision: str) -> bytes:
    """The network as a file of TensorFlow Lite: image [1, H, W, 3] float32 in [0, 255] -> its outputs, by name.

    Args:
        network: image -> dict of outputs.
        image_size: (H, W), fixed in the file.
        precision: of its weights, one of components.config.LITE_PRECISIONS. With int8 it computes in it where it can,
            with the range of each image's own features.

    Raises:
        ValueError: if TensorFlow Lite lacks an operation.
    """

    @tf.function(input_signature=[tf.TensorSpec([1, *image_size, 3], tf.float32, name="image")])
    def answer(image):
        return network(image, training=False)

    module = tf.Module()
    module.network, module.answer = network, answer
    converter = tf.lite.TFLiteConverter.from_concrete_functions([answer.get_concrete_function()], module)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    try:
        return converter.convert()
    except Exception as error:  # TensorFlow documents no class
        first = next(iter(str(error).split("\n")), "") or repr(error)
        raise ValueError(f"TensorFlow Lite can't express this network: {first}") from error


def lite_network(model: bytes) -> keras.Model:
    """A file of `convert` in the form of a network: image [batch, H, W, 3] in [0, 255] -> its outputs by name.

    It is asked for one image after the other, on this machine's processors, and can't be saved.
    """
    layer = _Interpreted(model)
    image = keras.Input(layer.image_shape, name="image")
    return keras.Model(image, layer(image))


class _Interpreted(keras.layers.Layer):
    """[batch, H, W, 3] -> outputs by name, [batch, ...] float32."""

    def __init__(self, model):
        super().__init__(name="interpreter")
        interpreter = tf.lite.Interpreter(model_content=model, num_threads=os.cpu_count())
        self._answer = interpreter.get_signature_runner(_SIGNATURE)
        self._shapes = {name: each["shape"][1:] for name, each in self._answer.get_output_details().items()}
        self._one_at_a_time = threading.Lock()  # it is asked by Beam's threads

    @property
    def image_shape(self):
        return tuple(self._answer.get_input_details()["image"]["shape"][1:])

    def call(self, image):
        found = tf.numpy_function(self._run, [tf.cast(image, tf.float32)], [tf.float32] * len(self._shapes))
        return {
            name: tf.ensure_shape(values, [None, *shape])
            for (name, shape), values in zip(self._shapes.items(), tf.nest.flatten(found), strict=True)
        }

    def _run(self, images):
        with self._one_at_a_time:
            answers = [self._answer(image=image[np.newaxis]) for image in images]
        return [np.concatenate([answer[name] for answer in answers]) for name in self._shapes]
