"""FacesExampleGen: the component."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import ClassVar

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.experimental import simple_artifacts

from components.config import LABELS, Source, to_json
from components.example_gen.executor import Executor


class FacesExampleGenSpec(component_spec.ComponentSpec):
    """Parameters and outputs of FacesExampleGen."""

    PARAMETERS: ClassVar = {
        "sources": component_spec.ExecutionParameter(type=str),
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
    """Reads data sets into face records (schemas/face_record.pbtxt), one TFRecord split per official split.

    Splits have the names that components.config.Data.splits gives them: of several data sets <source>_train and so on.
    A record's data set is its source's name, and it has those of its labels that the source keeps.

    Outputs: `examples`, and `ingestion`: counts.json ({split: {"read", "kept", "quarantined"}}) and the quarantine,
    JSON lines of {"id", "split", "reason"}. What is read is kept or quarantined, never lost; rows of no split are
    counted as if theirs were called "no split".

    Args:
        sources: the data sets.
        data_dir: where their official files lie, as components.datasets.build_sources has it; "" if they need none.
        fingerprint: of the files; another value means that they changed.
        code_version: of the code that reads them; another value means that it changed.

    Raises:
        ValueError: for a name that two data sets have, and labels that there are not or, of several, that are not said.
    """

    SPEC_CLASS = FacesExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, sources: Sequence[Source], data_dir: str, fingerprint: str, code_version: str):
        _check(sources)
        super().__init__(
            FacesExampleGenSpec(
                sources=to_json(sources),
                data_dir=data_dir,
                fingerprint=fingerprint,
                code_version=code_version,
                examples=types.Channel(type=standard_artifacts.Examples),
                ingestion=types.Channel(type=simple_artifacts.Metrics),
            )
        )


def _check(sources):
    for name, count in collections.Counter(source.name for source in sources).items():
        if count > 1:
            raise ValueError(
                f"{count} data sets are called {name!r}. Give each a name of its own, and its `builder` by name."
            )
    for source in sources:
        if source.labels is None and len(sources) > 1:
            raise ValueError(
                f"Data set {source.name!r} is one of several and doesn't say which labels it gives: set its `labels`."
            )
        if unknown := set(source.labels or ()) - set(LABELS):
            raise ValueError(
                f"Data set {source.name!r} should give {', '.join(sorted(unknown))}. There are: {', '.join(LABELS)}."
            )
