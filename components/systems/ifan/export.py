"""What iFAN answers after each iteration, as a signature of the exported model."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from components.serving.module import ServingModule, images_and_crops
from keras_models.ifan import network_iterations

_SIGNATURE = "iterations_from_examples"


def iteration_signature(module: ServingModule) -> tuple[dict[str, Callable], dict[str, dict]]:
    """As from_examples, and "<output>_iter<I>" for each iteration from 0 on, the last of which is the answer.

    Returns:
        The signature and its contract, both by its name.
    """
    suffixes = [f"_iter{iteration}" for iteration in range(network_iterations(module.network) + 1)]
    last = suffixes[-1]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def iterations_from_examples(examples):
        outputs = module.predict(*images_and_crops(examples), suffixes)
        return outputs | {name.removesuffix(last): value for name, value in outputs.items() if name.endswith(last)}

    outputs = module.contract()["serving_default"]
    contract = {f"{name}{suffix}": outputs[name] for name in outputs for suffix in suffixes}
    for name, output in outputs.items():
        contract[name] = contract[f"{name}{last}"] = {**output, "equals": ["from_examples", name]}
    return {_SIGNATURE: iterations_from_examples}, {_SIGNATURE: contract}
