"""The names of what a served model tells apart: checked against the network, served by signatures of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import tensorflow as tf
from tensorflow import keras

# By output of the network. Landmarks have numbers.
NAMES_SIGNATURES = {
    "parsing": "class_names",
    "emotion": "emotion_names",
    "attributes": "attribute_names",
    "clothing": "clothing_names",
}


def output_names(
    network: keras.Model, outputs: Iterable[str], names: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Those of `names` that belong to `outputs`; ValueError if one of them has not as many as the network's output."""
    found = {output: list(names.get(output, ())) for output in outputs if output in NAMES_SIGNATURES}
    for output, named in found.items():
        count = network.output[output].shape[-1]
        if count != len(named):
            raise ValueError(
                f"The network has {count} outputs for {output}, but the names are {len(named)}: {tuple(named)}."
            )
    return found


def names_signatures(names: Mapping[str, Sequence[str]]) -> dict[str, Callable]:
    """The signatures that give the names, by what they are called."""
    return {NAMES_SIGNATURES[output]: _constant(NAMES_SIGNATURES[output], named) for output, named in names.items()}


def _constant(name, values):
    """A function of nothing that gives `values` under `name`."""

    @tf.function(input_signature=[])
    def constant():
        return {name: tf.constant(values)}

    return constant
