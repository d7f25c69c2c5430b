"""RunReport: the component that leaves something a person wants to look at."""

from __future__ import annotations

from typing import ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.experimental import simple_artifacts

from components.report.executor import Executor


def _channel(kind: type[types.Artifact], optional: bool = False) -> component_spec.ChannelParameter:
    return component_spec.ChannelParameter(type=kind, optional=optional)


class RunReportSpec(component_spec.ComponentSpec):
    """Parameters, inputs and outputs of RunReport."""

    PARAMETERS: ClassVar = {
        "name": component_spec.ExecutionParameter(type=str),
        "experiment": component_spec.ExecutionParameter(type=str),
        "destination": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
        "commit": component_spec.ExecutionParameter(type=str),
        "run": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {
        "examples": _channel(standard_artifacts.Examples),
        "ingestion": _channel(simple_artifacts.Metrics),
        "anomalies": _channel(standard_artifacts.ExampleAnomalies),
        "annotation": _channel(simple_artifacts.Metrics, optional=True),
        "soft_labels": _channel(simple_artifacts.Metrics, optional=True),
        "model": _channel(standard_artifacts.Model),
        "model_run": _channel(standard_artifacts.ModelRun),
        "evaluation": _channel(standard_artifacts.ModelEvaluation),
        "lite_evaluation": _channel(standard_artifacts.ModelEvaluation, optional=True),
        "blessing": _channel(standard_artifacts.ModelBlessing),
        "infra_blessing": _channel(standard_artifacts.InfraBlessing),
        "pushed_model": _channel(standard_artifacts.PushedModel),
    }
    OUTPUTS: ClassVar = {"report": _channel(simple_artifacts.File)}


class RunReport(base_component.BaseComponent):
    """Brings what a run left into one page (index.html), its figures (results.json) and cards of model and data.

    Args:
        name: the experiment's.
        experiment: as JSON.
        destination: folder or URI that also gets a copy, the latest report of this experiment.
        code_version: of the report's code.
        commit: of all code, with "-dirty" behind where it differs; "" if unknown.
        run: what tells this run from all others: data, experiment and code.
        **inputs: the channels of RunReportSpec.INPUTS; `annotation`, `soft_labels` and `lite_evaluation` may be
            None.
    """

    SPEC_CLASS = RunReportSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        name: str,
        experiment: str,
        destination: str,
        code_version: str,
        commit: str,
        run: str,
        **inputs: types.BaseChannel,
    ):
        super().__init__(
            RunReportSpec(
                name=name,
                experiment=experiment,
                destination=destination,
                code_version=code_version,
                commit=commit,
                run=run,
                **{key: channel for key, channel in inputs.items() if channel is not None},
                report=types.Channel(type=simple_artifacts.File),
            )
        )
