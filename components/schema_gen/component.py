"""RecordSchemaGen: face records in, their schema out."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.config import Data, to_json
from components.schema_gen.executor import Executor


class RecordSchemaGenSpec(component_spec.ComponentSpec):
    """Parameters, input and output of RecordSchemaGen."""

    PARAMETERS: ClassVar = {
        "data": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {"examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}
    OUTPUTS: ClassVar = {
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
        "statistics_schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
    }


class RecordSchemaGen(base_component.BaseComponent):
    """Writes the schema that the records of a run's data are held to.

    It also says where their images have a face, if dlib finds any (components/schema_gen/frames.py).

    Outputs: `schema`, with schema.pbtxt, and `statistics_schema`, of the features that have statistics: all but encoded
    images and label maps, of which ingestion has decoded each.

    Args:
        examples: the records.
        data: the experiment's.
        code_version: of what says what labels are; another value means that it changed.
    """

    SPEC_CLASS = RecordSchemaGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, examples: types.BaseChannel, data: Data, code_version: str):
        super().__init__(
            RecordSchemaGenSpec(
                examples=examples,
                # What images are brought to says nothing of records: another size must not compose the schema anew.
                data=to_json(dataclasses.replace(data, image_size=Data.image_size)),
                code_version=code_version,
                schema=types.Channel(type=standard_artifacts.Schema),
                statistics_schema=types.Channel(type=standard_artifacts.Schema),
            )
        )
