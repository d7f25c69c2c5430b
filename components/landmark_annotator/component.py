"""LandmarkAnnotator: examples in, the same examples with 68 landmarks out."""

from __future__ import annotations

from typing import ClassVar

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.experimental import simple_artifacts

from components.faces.dlib_models import require_extra
from components.landmark_annotator.executor import Executor


class LandmarkAnnotatorSpec(types.ComponentSpec):
    """What LandmarkAnnotator takes and gives."""

    PARAMETERS: ClassVar = {name: component_spec.ExecutionParameter(type=str) for name in ("label", "code_version")}
    INPUTS: ClassVar = {"examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}
    OUTPUTS: ClassVar = {
        "annotated_examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        # Metrics is a folder for LocalDagRunner and a type that the Kubeflow compiler knows.
        "counts": component_spec.ChannelParameter(type=simple_artifacts.Metrics),
    }


class LandmarkAnnotator(base_beam_component.BaseBeamComponent):
    """Gives every record without landmarks those that dlib predicts; one without a face stays without.

    Outputs:
        annotated_examples: the splits of `examples`. A record that has landmarks is byte for byte as it was.
        counts: a folder with annotation.json: {split: {"annotated": n, "had_landmarks": n, "not_found": n}}.

    Args:
        examples: face records.
        label: the name of the label that the points become.
        code_version: a hash of this component's code, so that a change of it runs the step again.

    Raises:
        ModuleNotFoundError: dlib or its models are missing; raised when the pipeline is built, before any step runs.
    """

    SPEC_CLASS = LandmarkAnnotatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, examples: types.BaseChannel, label: str, code_version: str):
        require_extra()
        super().__init__(
            LandmarkAnnotatorSpec(
                examples=examples,
                label=label,
                code_version=code_version,
                annotated_examples=types.Channel(type=standard_artifacts.Examples),
                counts=types.Channel(type=simple_artifacts.Metrics),
            )
        )
