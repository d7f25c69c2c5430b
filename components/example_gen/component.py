"""FacesExampleGen: the component."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.experimental import simple_artifacts

from components.example_gen.executor import Executor


class FacesExampleGenSpec(component_spec.ComponentSpec):
    """Parameters and outputs of FacesExampleGen."""

    PARAMETERS: ClassVar = {
        "dataset": component_spec.ExecutionParameter(type=str),
        "source": component_spec.ExecutionParameter(type=str),
        "options": component_spec.ExecutionParameter(type=str),
        "fingerprint": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {}
    OUTPUTS: ClassVar = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "ingestion": component_spec.ChannelParameter(type=simple_artifacts.Metrics),
    }


class FacesExampleGen(base_beam_component.BaseBeamComponent):
    """Reads a data set into face records (schemas/face_record.pbtxt), one TFRecord split per official split.

    Outputs: `examples`, and `ingestion`: counts.json ({split: {"read", "kept", "quarantined"}}) and the quarantine,
    JSON lines of {"id", "split", "reason"}. What is read is kept or quarantined, never lost.

    Args:
        dataset: a builder's name.
        source: folder of its official files; "" if it needs none.
        options: the builder's arguments.
        fingerprint: of the source's files; another value means that they changed.
        code_version: of the code that reads them; another value means that it changed.
    """

    SPEC_CLASS = FacesExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, dataset: str, source: str, options: dict[str, Any], fingerprint: str, code_version: str):
        super().__init__(
            FacesExampleGenSpec(
                dataset=dataset,
                source=source,
                options=json.dumps(options, sort_keys=True),
                fingerprint=fingerprint,
                code_version=code_version,
                examples=types.Channel(type=standard_artifacts.Examples),
                ingestion=types.Channel(type=simple_artifacts.Metrics),
            )
        )
