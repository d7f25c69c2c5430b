"""RecordSchemaGen: the schema of a run's face records out, nothing in."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.config import Data, to_json
from components.schema_gen.executor import Executor


class RecordSchemaGenSpec(component_spec.ComponentSpec):
    """Parameters and output of RecordSchemaGen."""

    PARAMETERS: ClassVar = {
        "data": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {}
    OUTPUTS: ClassVar = {"schema": component_spec.ChannelParameter(type=standard_artifacts.Schema)}


class RecordSchemaGen(base_component.BaseComponent):
    """Writes the schema that the records of a run's data are held to.

    Outputs: `schema`, with schema.pbtxt.

    Args:
        data: the experiment's.
        code_version: of what says what labels are; another value means that it changed.
    """

    SPEC_CLASS = RecordSchemaGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, data: Data, code_version: str):
        super().__init__(
            RecordSchemaGenSpec(
                # What images are brought to says nothing of records: another size must not compose the schema anew.
                data=to_json(dataclasses.replace(data, image_size=Data.image_size)),
                code_version=code_version,
                schema=types.Channel(type=standard_artifacts.Schema),
            )
        )
