"""FacesExampleGen: the component."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.experimental import simple_artifacts

from components.config import DatasetConfig, to_json
from components.datasets import build_dataset
from components.example_gen.executor import Executor


class FacesExampleGenSpec(component_spec.ComponentSpec):
    """Parameters and outputs of FacesExampleGen."""

    PARAMETERS: ClassVar = {
        "datasets": component_spec.ExecutionParameter(type=str),
        "data_dir": component_spec.ExecutionParameter(type=str),
        "fingerprint": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {}
    OUTPUTS: ClassVar = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "ingestion": component_spec.ChannelParameter(type=simple_artifacts.Metrics),
    }


class FacesExampleGen(base_beam_component.BaseBeamComponent):
    """Reads data sets into face records (components/record.py), one TFRecord split per official split.

    Splits have the names that components.config.Data.splits gives them: of several data sets
    <data set>_train and so on. A record has those of its labels that its data set's configuration keeps.

    Outputs: `examples`, and `ingestion`: counts.json ({split: {"read", "kept", "quarantined"}}) and the quarantine,
    JSON lines of {"id", "split", "reason"}. What is read is kept or quarantined, never lost; rows of no split are
    counted as if theirs were called "no split".

    Args:
        datasets: the data sets.
        data_dir: where their official files lie, as components.datasets.build_datasets has it; "" if they need none.
        fingerprint: of the files; another value means that they changed.
        code_version: of the code that reads them; another value means that it changed.

    Raises:
        ValueError: for a label that a data set should keep and doesn't have.
    """

    SPEC_CLASS = FacesExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, datasets: Sequence[DatasetConfig], data_dir: str, fingerprint: str, code_version: str):
        _check(datasets)
        super().__init__(
            FacesExampleGenSpec(
                datasets=to_json(datasets),
                data_dir=data_dir,
                fingerprint=fingerprint,
                code_version=code_version,
                examples=types.Channel(type=standard_artifacts.Examples),
                ingestion=types.Channel(type=simple_artifacts.Metrics),
            )
        )


def _check(datasets):
    for dataset in datasets:
        there = build_dataset(dataset, None).annotations
        if unknown := sorted({*(dataset.labels or ())} - {*there}):
            raise ValueError(
                f"Data set {dataset.name!r} should keep {', '.join(unknown)}; its labels: {', '.join(there) or 'none'}."
            )
