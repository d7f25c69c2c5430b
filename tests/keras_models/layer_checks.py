"""What every custom layer owes to Keras, checked in one place."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow import keras


def check_layer(
    layer: keras.layers.Layer,
    inputs,
    any_size: bool = False,
    formats: Sequence[str] = (".keras", ""),
    half_precision: str | Sequence[str] = "bfloat16",
) -> None:
    """Checks the configuration, saving and loading, and mixed precision of a layer, with the weights that it has.

    - `from_config` of `get_config` gives a layer of the same configuration, which with the same weights has the same
      outputs.
    - A model with the layer in it, saved and loaded without `custom_objects`, has the same configuration and outputs.
    - Under mixed_bfloat16 the outputs are finite and of the types expected, and the weights stay float32.

    Args:
        layer: built or not.
        inputs: an array, or a list of the arrays that the layer is called with in turn.
        any_size: the saved model leaves height and width of its maps open.
        formats: suffixes of the saved files; "" is a SavedModel.
        half_precision: names of the outputs' types under mixed_bfloat16, or one name for all.
    """
    inputs = [tf.convert_to_tensor(x) for x in (inputs if isinstance(inputs, list) else [inputs])]
    expected = tf.nest.flatten(layer(*inputs))
    config = layer.get_config()

    again = type(layer).from_config(config)
    assert again.get_config() == config
    _build_like(again, layer, inputs)
    _assert_equal(again(*inputs), expected)

    arguments = [keras.Input(_shape(x, any_size), dtype=x.dtype) for x in inputs]
    model = keras.Model(arguments, layer(*arguments))
    for suffix in formats:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / f"model{suffix}")
            model.save(path)
            loaded = keras.models.load_model(path)
        assert type(loaded.get_layer(layer.name)) is type(layer), suffix
        assert _plain(loaded.get_layer(layer.name).get_config()) == _plain(config), suffix
        _assert_equal(loaded(inputs), expected)

    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        half = type(layer).from_config({**config, "dtype": "mixed_bfloat16"})
        _build_like(half, layer, inputs)
        outputs = tf.nest.flatten(half(*inputs))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    types = [half_precision] * len(outputs) if isinstance(half_precision, str) else list(half_precision)
    assert [output.dtype.name for output in outputs] == types
    assert {weight.dtype.name for weight in half.weights} <= {"float32"}
    assert all(np.isfinite(output.numpy().astype(np.float32)).all() for output in outputs)


def _build_like(layer, other, inputs):
    """Builds a layer and gives it the weights of the other."""
    layer(*inputs)
    layer.set_weights(other.get_weights())


def _shape(x, any_size):
    """Shape of an input without the batch axis."""
    shape = tuple(x.shape[1:])
    return (None, None, *shape[2:]) if any_size and len(shape) == 3 else shape


def _assert_equal(outputs, expected):
    for output, other in zip(tf.nest.flatten(outputs), expected, strict=True):
        np.testing.assert_array_equal(output, other)


def _plain(value):
    """Lists for tuples, plain dicts for Keras' own: what a file can tell apart."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
