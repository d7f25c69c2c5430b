"""LiteEvaluator: the component that measures the file of TensorFlow Lite as Evaluator measures the served model.

The file takes the network's place between the served model's decoding and its tasks, and answers for the same records.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf
import tensorflow_model_analysis as tfma
from absl import logging
from tfx import types
from tfx.components import Evaluator
from tfx.components.evaluator import executor
from tfx.dsl.components.base import executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.config import from_json
from components.evaluator.config import SIGNATURE
from components.serving.export import read_states
from components.serving.lite import LITE, LITE_TASKS, lite_network
from components.serving.module import ServingModule
from components.tasks.base import serving_of


class Executor(executor.Executor):
    """Runs TFMA, if there is a file of TensorFlow Lite."""

    def Do(self, input_dict, output_dict, exec_properties) -> None:
        """As TFX's; leaves the evaluation empty for a network that TensorFlow Lite couldn't express."""
        folder = path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"]))
        if not fileio.exists(os.path.join(folder, LITE)):
            logging.warning("%s has no %s: there is nothing to evaluate.", folder, LITE)
            return
        super().Do(input_dict, output_dict, exec_properties)


class LiteEvaluator(Evaluator):
    """TFX's Evaluator for assets.extra/model.tflite; its blessing stays empty.

    Args:
        examples: face records.
        model: with the file.
        schema: of the records.
        eval_config: what is measured, without bars and slices.
        example_splits: of the records, those to measure on.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        schema: types.BaseChannel,
        eval_config: tfma.EvalConfig,
        example_splits: Sequence[str],
    ):
        super().__init__(
            examples=examples,
            model=model,
            schema=schema,
            eval_config=eval_config,
            example_splits=list(example_splits),
            module_path=__name__,
        )


def custom_eval_shared_model(
    eval_saved_model_path: str, model_name: str, eval_config: tfma.EvalConfig, **others
) -> tfma.EvalSharedModel:
    """What TFX looks up by name: TFMA's model, loaded by `load_served`."""
    loader = tfma.ModelLoader(functools.partial(load_served, eval_saved_model_path))
    return tfma.default_eval_shared_model(
        eval_saved_model_path, model_name=model_name, eval_config=eval_config, custom_model_loader=loader, **others
    )


@dataclasses.dataclass(frozen=True)
class Served:
    """A model as far as TFMA asks it.

    Attributes:
        module: whose variables and network the signatures use; TensorFlow doesn't keep it.
        signatures: by name.
    """

    module: ServingModule
    signatures: Mapping[str, Callable]


def load_served(folder: str) -> Served:
    """The SavedModel in `folder` with the file of TensorFlow Lite in the network's place, for face records."""
    with tf.io.gfile.GFile(os.path.join(folder, LITE_TASKS)) as file:
        servings = [serving_of(task) for task in from_json(file.read())]
    read_states(folder, {serving.task.name: serving for serving in servings})
    with tf.io.gfile.GFile(os.path.join(folder, LITE), "rb") as file:
        network = lite_network(file.read())
    module = ServingModule(network, network.input_shape[1:3], servings)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def answer(examples: tf.Tensor) -> Mapping[str, tf.Tensor]:
        return module.from_examples(examples)

    return Served(module, {SIGNATURE: answer.get_concrete_function()})
