"""What an iFAN answers at each iteration, as a signature of its own."""

from __future__ import annotations

import tensorflow as tf

from components.evaluator.config import ITERATIONS_SIGNATURE
from components.images.status import STATUS
from components.serving.module import ServingModule, images_and_crops
from keras_models.ifan import network_iterations


def iteration_signature(module: ServingModule) -> tuple[dict, dict]:
    """Serialized face records -> as `from_examples`, and "<output>_iter<I>" for each iteration from 0 on."""
    suffixes = [f"_iter{iteration}" for iteration in range(network_iterations(module.network) + 1)]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def iterations_from_examples(examples):
        outputs = module.predict(*images_and_crops(examples), suffixes)
        last = suffixes[-1]
        return outputs | {name.removesuffix(last): value for name, value in outputs.items() if name.endswith(last)}

    served = module.contract()["from_examples"]
    of_tasks = {name: each for name, each in served.items() if name != STATUS}
    contract = {f"{name}{suffix}": each for name, each in of_tasks.items() for suffix in suffixes}
    contract[STATUS] = served[STATUS]
    for name, each in of_tasks.items():
        # The last iteration is what is served.
        contract[name] = contract[f"{name}{suffixes[-1]}"] = {**each, "same_as": name}
    return {ITERATIONS_SIGNATURE: iterations_from_examples}, {ITERATIONS_SIGNATURE: contract}
