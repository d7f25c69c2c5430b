"""ServingCheck: the component that tries the exported model in a clean process before anything is pushed."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from typing import ClassVar

from absl import logging
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import io_utils, path_utils

from components.serving import replay

SECONDS = 1800  # of a large network of several images on a busy processor, ten times over


class Executor(base_executor.BaseExecutor):
    """Runs components/serving/replay.py and writes the blessing that Pusher looks for."""

    def Do(self, input_dict, output_dict, exec_properties) -> None:
        saved_model = path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"]))
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        uris = [artifact_utils.get_split_uri([examples], split) for split in json.loads(exec_properties["splits"])]
        files = [sorted(fileio.glob(io_utils.all_files_pattern(uri))) for uri in uris]
        in_turn = [file for turn in itertools.zip_longest(*files) for file in turn if file]
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])

        command = [sys.executable, "-S", replay.__file__, sysconfig.get_path("purelib"), saved_model, *in_turn]
        served, message = run(command)
        (logging.info if served else logging.error)("Serving check: %s", message)

        file_name = "INFRA_BLESSED" if served else "INFRA_NOT_BLESSED"
        io_utils.write_string_file(os.path.join(blessing.uri, file_name), message)
        blessing.set_int_custom_property("blessed", int(served))
        blessing.set_string_custom_property("message", message)


def run(command: Sequence[str], seconds: float = SECONDS) -> tuple[bool, str]:
    """Whether a process exited with 0, and the last line that it printed; it is killed at the time limit."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, cwd=os.sep, env=environment, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return False, f"the process that serves the model had not ended after {seconds:.0f} seconds"
    if process.returncode < 0:  # what it said last is no reason
        return False, f"the process was ended by signal {-process.returncode}"
    served = process.returncode == 0
    lines = (process.stdout if served else process.stderr).strip().splitlines()
    return served, lines[-1] if lines else f"the process ended with {process.returncode} and without a word"


class ServingCheckSpec(component_spec.ComponentSpec):
    """Parameters, inputs and outputs of ServingCheck."""

    PARAMETERS: ClassVar = {
        "splits": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS: ClassVar = {"blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing)}


class ServingCheck(base_component.BaseComponent):
    """Blesses a model that a clean process, with nothing of this project on its path, can serve.

    It loads the SavedModel, replays the warm-up requests, holds every answer of every signature to the contract that
    was exported with it, and finds the same answers for a record by both signatures (shown the whole image), and for an
    image alone and in a batch.
    TFX's InfraValidator does this with Docker or Kubernetes, which a laptop may lack.

    Args:
        model: to be tried.
        examples: face records.
        splits: of them, to take a few from each.
        code_version: of this check.
    """

    SPEC_CLASS = ServingCheckSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, model: types.BaseChannel, examples: types.BaseChannel, splits: Sequence[str], code_version: str):
        super().__init__(
            ServingCheckSpec(
                model=model,
                examples=examples,
                splits=json.dumps(list(splits)),
                code_version=code_version,
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
