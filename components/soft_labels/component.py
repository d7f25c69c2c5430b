"""SoftLabeler: examples in, the same examples with the soft labels of trained networks out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import ClassVar

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.experimental import simple_artifacts

from components.config import BINARY_LABELS, Teacher, to_json
from components.soft_labels.executor import Executor


class SoftLabelerSpec(component_spec.ComponentSpec):
    """Parameters, inputs and outputs of SoftLabeler."""

    PARAMETERS: ClassVar = {
        name: component_spec.ExecutionParameter(type=str) for name in ("teachers", "lengths", "splits", "code_version")
    }
    INPUTS: ClassVar = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        **{
            f"{label}_teacher": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True)
            for label in BINARY_LABELS
        },
    }
    OUTPUTS: ClassVar = {
        "labelled_examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "counts": component_spec.ChannelParameter(type=simple_artifacts.Metrics),
    }


class SoftLabeler(base_beam_component.BaseBeamComponent):
    """Gives every training record that lacks a label what a trained network, its teacher, says of the picture.

    Outputs:
        labelled_examples: the splits of `examples`. A record that lacks a label has the scores of its teacher, [N] in
            [0, 1], as "<label>/soft". One that lacks none is byte for byte as it was, as are the other splits' files.
        counts: a folder with soft_labels.json: {split: {label: {"labelled": n, "annotated": n}}}.

    Args:
        examples: records of schemas/face_record.pbtxt.
        teachers: who answers for which label, at most one a label.
        models: of the teachers, by label. That there is none yet shows when the step runs.
        lengths: how many attributes or categories there are, by label.
        splits: those of `examples` to label: what is trained on.
        code_version: of this component.

    Raises:
        ValueError: for a label that no teacher can give, and for several teachers of one; at run time if there is no
            model of a teacher, or it answers with something else than `lengths` probabilities.
    """

    SPEC_CLASS = SoftLabelerSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        teachers: Sequence[Teacher],
        models: Mapping[str, types.BaseChannel],
        lengths: Mapping[str, int],
        splits: Sequence[str],
        code_version: str,
    ):
        _check(teachers)
        super().__init__(
            SoftLabelerSpec(
                examples=examples,
                **{f"{label}_teacher": model for label, model in models.items()},
                teachers=to_json(teachers),
                lengths=json.dumps(lengths),
                splits=json.dumps(list(splits)),
                code_version=code_version,
                labelled_examples=types.Channel(type=standard_artifacts.Examples),
                counts=types.Channel(type=simple_artifacts.Metrics),
            )
        )


def _check(teachers):
    for teacher in teachers:
        if teacher.label not in BINARY_LABELS:
            raise ValueError(
                f"{teacher.experiment!r} should teach {teacher.label!r}. A teacher's label is one of: "
                f"{', '.join(BINARY_LABELS)}."
            )
        if sum(other.label == teacher.label for other in teachers) > 1:
            names = ", ".join(other.experiment for other in teachers if other.label == teacher.label)
            raise ValueError(f"{teacher.label!r} has several teachers in data.teachers: {names}. Keep one.")
