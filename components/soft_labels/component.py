"""SoftLabeler: examples in, the same examples with the soft labels of trained networks out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.experimental import simple_artifacts

from components.config import Teacher, to_json
from components.soft_labels.executor import Executor, model_input


class SoftLabelerSpec(component_spec.ComponentSpec):
    """Parameters, inputs and outputs of SoftLabeler; its teachers' models are inputs of `spec_with_teachers`."""

    PARAMETERS: ClassVar = {
        name: component_spec.ExecutionParameter(type=str) for name in ("teachers", "lengths", "splits", "code_version")
    }
    INPUTS: ClassVar = {"examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}
    OUTPUTS: ClassVar = {
        "labelled_examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "counts": component_spec.ChannelParameter(type=simple_artifacts.Metrics),
    }


def spec_with_teachers(tasks: Iterable[str]) -> type[SoftLabelerSpec]:
    """SoftLabelerSpec with an input for the model of each task's teacher: TFX has no input of a variable number."""
    # Optional, because a look-up that finds no blessed model still runs the step, which then says what to do.
    models = {
        model_input(t): component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True) for t in tasks
    }
    return type(SoftLabelerSpec.__name__, (SoftLabelerSpec,), {"INPUTS": {**SoftLabelerSpec.INPUTS, **models}})


class SoftLabeler(base_beam_component.BaseBeamComponent):
    """Gives every training record that lacks a label the prediction of a trained network, its teacher.

    Outputs:
        labelled_examples: the splits of `examples`. A record that lacks a label has the scores of its teacher, [N] in
            [0, 1], as "<label>/soft". One that lacks none is byte for byte as it was, as are the other splits' files.
        counts: a folder with soft_labels.json: {split: {label: {"labelled": n, "annotated": n}}}.

    Args:
        examples: face records.
        teachers: who answers for which task, at most one a task.
        models: of the teachers, by task. That there is none yet shows when the step runs.
        lengths: how many attributes or classes there are, by task.
        splits: those of `examples` to label: what is trained on.
        code_version: of this component.

    Raises:
        ValueError: at run time, if there is no model of a teacher, or it answers with something else than `lengths`
            probabilities.
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
        super().__init__(
            spec_with_teachers(models)(
                examples=examples,
                **{model_input(task): model for task, model in models.items()},
                teachers=to_json(teachers),
                lengths=json.dumps(lengths),
                splits=json.dumps(list(splits)),
                code_version=code_version,
                labelled_examples=types.Channel(type=standard_artifacts.Examples),
                counts=types.Channel(type=simple_artifacts.Metrics),
            )
        )
