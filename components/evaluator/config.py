"""The evaluation's configuration: what is measured of each task, on which slices, and the bars that a model must pass.

A model is blessed if it passes every task's bar, and there is one at all. A task is measured on the records that have
its label: they may come from several data sets, each with its own labels. The evaluation.py of a task's kind offers
- specs(task, iteration): what is measured of its outputs (components.tasks.summed_metric.metrics_spec), where they are
  served (None) or after an iteration of task interaction,
- figures(task, values): the scalars among what was measured, with their names,
- gap_specs(task, slice_by, max_gaps), if its labels have two sides: bars on the widest gaps between them, of GAPS,
- frequencies(values), if its labels have names: how common each is,
- mistakes(task, values of each slice), if it knows several kinds, MISTAKES: figures that compare the slices,
- shared_errors(metric, values of each slice), if it can tell: standard errors of a mean over what all of them define,
- slices(task's name, names), if its labels divide records: by slice key the place in the label, and the slice by
  what stands there,
- MEANS: by the metrics that are means over what may be undefined, a function of the values that gives its parts,
- UNDEFINED: why a bar's metric has no value, for a sentence.
"""

from __future__ import annotations

import collections
import importlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType

import tensorflow_model_analysis as tfma

from components import tasks as task_kinds
from components.tasks.annotation import BoundTask
from components.tasks.base import labels_of

SIGNATURE = "from_examples"
JOINTLY = ":"  # between labels that divide records together
ITERATIONS_SIGNATURE = "iterations_from_examples"  # gives what SIGNATURE gives, and the same after each iteration


def eval_config(
    tasks: Sequence[BoundTask],
    slice_by: Sequence[str] = (),
    iterations: int = 0,
    max_gaps: Mapping[str, float] | None = None,
) -> tfma.EvalConfig:
    """The configuration of TFX's Evaluator.

    Args:
        tasks: what the model does.
        slice_by: what records are divided by, of what the tasks' kinds offer, or several of it joined by ":"; on each
            slice everything is measured.
        iterations: of task interaction, if the model has that. What it answers after each, from 0 (before any) on, is
            measured too, without a bar.
        max_gaps: as of components.config.Evaluation.

    Raises:
        ValueError: if there is no task, a task can't be measured as configured, or `slice_by` can't be sliced by.
    """
    if not tasks:
        raise ValueError("There is nothing to evaluate: expected at least one task.")
    specs, label_keys = [], {}
    for iteration in (None, *(range(iterations + 1) if iterations else ())):
        for task in tasks:
            module = task_kinds.role(task.kind, "evaluation")
            found = module.specs(task if iteration is None else task.learnt, iteration)
            feature = labels_of(task.name, task.annotation).feature
            label_keys.update({output: feature for spec in found for output in spec.output_names})
            specs += found
    if max_gaps:
        gaps = [
            spec
            for task in tasks
            if hasattr(module := task_kinds.role(task.kind, "evaluation"), "gap_specs")
            for spec in module.gap_specs(task, slice_by, max_gaps)
        ]
        if not gaps:
            raise ValueError(
                f"Bars on gaps are between the sides of yes-or-no labels; received {', '.join(slice_by) or 'none'}."
            )
        specs += gaps
    config = tfma.EvalConfig(
        # tf_generic: the signature alone is used. Otherwise TFMA tries to load each model with Keras first.
        model_specs=[
            tfma.ModelSpec(
                signature_name=ITERATIONS_SIGNATURE if iterations else SIGNATURE,
                model_type=tfma.TF_GENERIC,
                label_keys=label_keys,
            )
        ],
        slicing_specs=[tfma.SlicingSpec(), *(tfma.SlicingSpec(feature_keys=[key]) for key in slice_by)],
        metrics_specs=[tfma.MetricsSpec(metrics=[tfma.MetricConfig(class_name="ExampleCount")]), *specs],
        options=tfma.Options(include_default_metrics={"value": False}),
    )
    _check_slices(slice_by, slice_keys(config))
    return config


# Of a label: the record's feature, the place in it, and the slice by what stands there.
Division = tuple[str, int, dict[int, str]]


def measured(config: tfma.EvalConfig) -> dict[str, tuple[ModuleType, dict]]:
    """By output: the evaluation module of its task's kind, and what the metric was configured with."""
    return {
        output: (importlib.import_module(metric.module), json.loads(metric.config))
        for spec in config.metrics_specs
        for metric in spec.metrics
        for output in spec.output_names
    }


def slice_keys(config: tfma.EvalConfig) -> dict[str, Division]:
    """What records can be sliced by."""
    features = config.model_specs[0].label_keys
    return {
        key: (features[output], *where)
        for output, (module, settings) in measured(config).items()
        if hasattr(module, "slices")
        for key, where in module.slices(settings["task"], settings["names"]).items()
    }


def divisions(config: tfma.EvalConfig) -> dict[str, tuple[Division, ...]]:
    """What records are sliced by: of each slicing key the labels that divide them together."""
    keys = slice_keys(config)
    used = (key for spec in config.slicing_specs for key in spec.feature_keys)
    return {key: tuple(keys[label] for label in _labels(key)) for key in used}


def joint_name(names: Iterable[str]) -> str:
    """Of the slice in which all these slices of single labels meet."""
    return " & ".join(names)


def slice_names(labels: Sequence[Division]) -> list[str]:
    """The slices by a key of `divisions`, in order."""
    return [joint_name(names) for names in itertools.product(*(slices.values() for _, _, slices in labels))]


def _labels(key):
    return key.split(JOINTLY)


def _check_slices(slice_by, keys):
    if unknown := [key for key in slice_by if not keys.keys() >= set(_labels(key))]:
        there = ", ".join(keys) or "none"
        raise ValueError(f"evaluation.slice_by: can't slice by {', '.join(map(repr, unknown))}. There are: {there}.")
    if alike := [key for key in slice_by if len(set(_labels(key))) < len(_labels(key))]:
        raise ValueError(f"evaluation.slice_by: {', '.join(alike)} joins a label with itself; join different ones.")
    joined = collections.Counter(frozenset(_labels(key)) for key in slice_by)
    if repeated := [JOINTLY.join(sorted(labels)) for labels, count in joined.items() if count > 1]:
        raise ValueError(f"evaluation.slice_by: {', '.join(repeated)} is there twice; say it once.")
    names = (name for key in slice_by for name in slice_names([keys[label] for label in _labels(key)]))
    slices = collections.Counter(names)
    if twice := [name for name, count in slices.items() if count > 1]:
        raise ValueError(
            f"Slicing by {', '.join(slice_by)} gives several slices the name {', '.join(twice)}: their results could "
            "not be told apart. Leave one out."
        )
