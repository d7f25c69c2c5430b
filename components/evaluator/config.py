"""The evaluation's configuration: what is measured, on which slices, and the bars that a model must pass.

It is composed of tasks, one for an output of the model:

    eval_config([attribute_metrics(attributes, 0.75), landmark_metrics(68)], slice_by=["Male"])

A task with a bar must reach it on all records, and must not be worse than the last blessed model there (without such a
model the second condition does not apply). A model is blessed if it passes every task's bar, and there is one at all. A
task is measured on the records that have its label: they may come from several data sets, each with its own labels.

What a model answers at each iteration of task interaction (iFAN) is measured on outputs that bear its number:

    tasks = [landmark_metrics(5, 0.2), emotion_metrics(emotions, 0.4)]
    eval_config([*tasks, *(per_iteration(task, range(3)) for task in tasks)], signature=ITERATIONS_SIGNATURE)
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence

import tensorflow_model_analysis as tfma

from components.tasks.landmarks import markup as landmark_markup
from components.tasks.segmentation import label_maps

SIGNATURE = "from_examples"
ITERATIONS_SIGNATURE = "iterations_from_examples"  # gives what SIGNATURE gives, and the same at each iteration
DECISIONS, SCORES, LANDMARKS, PARSING = "decisions", "attributes", "landmarks", "parsing"
EMOTION, CLOTHING = "emotion", "clothing"
# By output: a record's feature.
LABELS = {
    DECISIONS: "attributes",
    SCORES: "attributes",
    LANDMARKS: "landmarks",
    PARSING: "parsing/encoded",
    EMOTION: "emotion",
    CLOTHING: "clothing",
}

CLOTHING_TOP = (3, 5)  # the k of its top-k accuracies (Lu et al. 2017, Table 2)
_TOLERANCE = 1e-10  # keeps a model that is as good as the last blessed one from failing by a rounding error


def attribute_metrics(attributes: Sequence[str], min_balanced_accuracy: float) -> tfma.MetricsSpec:
    """The task of deciding attributes.

    Args:
        attributes: names in the order of the records' `attributes`.
        min_balanced_accuracy: the bar, above 0, for the mean over attributes. 0.5 is what a constant answer scores.
    """
    return _task(
        DECISIONS,
        "attribute_metrics.AttributeMetrics",
        _at_least(min_balanced_accuracy),
        name="mean_balanced_accuracy",
        attributes=list(attributes),
    )


def score_metrics(attributes: Sequence[str]) -> tfma.MetricsSpec:
    """The same task's top-10 recall, which rests on the scores and not on the decisions; no bar applies to it.

    Args:
        attributes: as of `attribute_metrics`.
    """
    return _task(SCORES, "score_metrics.ScoreMetrics", name="top_10_recall", attributes=list(attributes))


def landmark_metrics(num_landmarks: int, max_nme: float | None = None) -> tfma.MetricsSpec:
    """The task of predicting landmarks.

    Args:
        num_landmarks: points of the mark-up.
        max_nme: the bar, above 0, for the normalised mean error, which must not be higher; None for no bar.
    """
    bars = () if max_nme is None else (_at_most(max_nme),)
    return _task(LANDMARKS, "landmark_metrics.LandmarkMetrics", *bars, name="nme", num_landmarks=num_landmarks)


def parsing_metrics(
    classes: Sequence[str], merged_parts: Mapping[str, Sequence[str]], min_mean_f1: float
) -> tfma.MetricsSpec:
    """The task of giving each pixel its class.

    Args:
        classes: names in the order of the labels, background first.
        merged_parts: the classes of each part of Helen's overall F1; empty for none.
        min_mean_f1: the bar, above 0, for the mean over classes, background left out.
    """
    return _task(
        PARSING,
        "parsing_metrics.ParsingMetrics",
        _at_least(min_mean_f1),
        name="mean_f1",
        classes=list(classes),
        merged_parts={part: list(names) for part, names in merged_parts.items()},
    )


def emotion_metrics(classes: Sequence[str], min_accuracy: float) -> tfma.MetricsSpec:
    """The task of recognising emotions.

    Args:
        classes: names in the order of the scores, which the records' `emotion` is an index in.
        min_accuracy: the bar, above 0, for the share that is recognised. The share of the commonest class is what a
            constant answer scores.
    """
    return _task(EMOTION, "class_metrics.ClassMetrics", _at_least(min_accuracy), name="accuracy", classes=list(classes))


def clothing_metrics(classes: Sequence[str], min_top3: float) -> tfma.MetricsSpec:
    """The task of telling the category of clothing.

    Args:
        classes: names in the order of the scores, which the records' `clothing` is an index in. Top-5 accuracy is
            measured too, where there are more than five.
        min_top3: the bar, above 0, for top-3 accuracy. The share of the three commonest is what a constant answer
            scores.

    Raises:
        ValueError: for three classes or fewer, of which top-3 accuracy is always 1.
    """
    if len(classes) <= 3:
        raise ValueError(
            f"The bar for clothing applies to top-3 accuracy, which is 1 whatever a model answers where the categories "
            f"are no more than three; received {len(classes)}: {', '.join(classes)}."
        )
    return _task(
        CLOTHING,
        "class_metrics.ClassMetrics",
        _at_least(min_top3),
        name="top_3_accuracy",
        classes=list(classes),
        top=[k for k in CLOTHING_TOP if k < len(classes)],
    )


def per_iteration(task: tfma.MetricsSpec, iterations: Iterable[int]) -> tfma.MetricsSpec:
    """The same task on what the model answers at each of `iterations`, at least one; no bar applies to that."""
    numbered = [iteration_output(output, number) for number in iterations for output in task.output_names]
    if not numbered:
        raise ValueError("There is no iteration to measure: expected the number of at least one.")
    metrics = [
        tfma.MetricConfig(class_name=metric.class_name, module=metric.module, config=metric.config)
        for metric in task.metrics
    ]
    return tfma.MetricsSpec(output_names=numbered, metrics=metrics)


def iteration_output(output: str, iteration: int) -> str:
    """Name of the output that holds what `output` was at an iteration."""
    return f"{output}_iter{iteration}"


def output_and_iteration(name: str) -> tuple[str, int | None]:
    """Inverse of `iteration_output`; the name itself and None for an output that bears no iteration's number."""
    numbered = re.fullmatch(r"(.+)_iter(\d+)", name)
    return (numbered[1], int(numbered[2])) if numbered else (name, None)


def eval_config(
    tasks: Iterable[tfma.MetricsSpec], slice_by: Sequence[str] = (), signature: str = SIGNATURE
) -> tfma.EvalConfig:
    """Configuration for a model that does `tasks`.

    Args:
        tasks: what the functions above give, each at most once.
        slice_by: attributes of `attribute_metrics` for whose two sides everything is measured separately.
        signature: of the model, which gives every output that is measured.

    Raises:
        ValueError: if there is no task, or `slice_by` names something that is not among the attributes.
    """
    tasks = list(tasks)
    if not tasks:
        raise ValueError("There is nothing to evaluate: expected at least one task, such as attribute_metrics(...).")
    config = tfma.EvalConfig(
        # tf_generic: the signature alone is used. Otherwise TFMA tries to load each model with Keras first.
        model_specs=[
            tfma.ModelSpec(
                signature_name=signature,
                model_type=tfma.TF_GENERIC,
                label_keys={
                    name: LABELS[output_and_iteration(name)[0]] for task in tasks for name in task.output_names
                },
            )
        ],
        slicing_specs=[tfma.SlicingSpec(), *(tfma.SlicingSpec(feature_keys=[name]) for name in slice_by)],
        metrics_specs=[tfma.MetricsSpec(metrics=[tfma.MetricConfig(class_name="ExampleCount")]), *tasks],
        options=tfma.Options(include_default_metrics={"value": False}),
    )
    attributes = attributes_of(config)
    if unknown := [name for name in slice_by if name not in attributes]:
        measured = ", ".join(attributes) or "none"
        raise ValueError(f"Can't slice by {', '.join(unknown)}. The attributes that are measured: {measured}.")
    return config


def attributes_of(config: tfma.EvalConfig) -> tuple[str, ...]:
    """Names of the attributes that are decided; none without `attribute_metrics`."""
    return tuple(settings_of(config, DECISIONS).get("attributes", ()))


def settings_of(config: tfma.EvalConfig, output: str) -> dict:
    """The arguments that the metric of an output was configured with, at any iteration; empty if it isn't measured."""
    for spec in config.metrics_specs:
        if output in {output_and_iteration(name)[0] for name in spec.output_names}:
            return json.loads(spec.metrics[0].config)
    return {}


def side(attribute: str, label: int) -> str:
    """Name of the slice of records that have, or don't have, an attribute."""
    return attribute if label > 0 else f"not {attribute}"


def _task(output: str, path: str, *bars: tfma.PerSliceMetricThreshold, **arguments) -> tfma.MetricsSpec:
    module, class_name = path.split(".")
    metric = tfma.MetricConfig(
        class_name=class_name,
        module=f"components.evaluator.{module}",
        config=json.dumps({**arguments, "code": _code_hash()}),
        per_slice_thresholds=bars,
    )
    return tfma.MetricsSpec(output_names=[output], metrics=[metric])


def _at_least(bound: float) -> tfma.PerSliceMetricThreshold:
    return _bar(bound, "lower_bound", tfma.MetricDirection.HIGHER_IS_BETTER, -_TOLERANCE)


def _at_most(bound: float) -> tfma.PerSliceMetricThreshold:
    return _bar(bound, "upper_bound", tfma.MetricDirection.LOWER_IS_BETTER, _TOLERANCE)


def _bar(bound, side, direction, tolerance):
    # Where the last blessed model scored 0, TFMA divides by it and finds every other model worse. (An error of 0 is no
    # trained model's.)
    if bound is None or bound <= 0:
        raise ValueError(f"A task that has a bar needs one above 0; received {bound!r}.")
    threshold = tfma.MetricThreshold(
        value_threshold=tfma.GenericValueThreshold(**{side: {"value": bound}}),
        change_threshold=tfma.GenericChangeThreshold(direction=direction, absolute={"value": tolerance}),
    )
    return tfma.PerSliceMetricThreshold(slicing_specs=[tfma.SlicingSpec()], threshold=threshold)


def _code_hash() -> str:
    """Changes with the metrics' code: TFX caches an evaluation by its configuration and does not look at the code."""
    used = (landmark_markup, label_maps)
    files = [*pathlib.Path(__file__).parent.glob("*.py"), *(pathlib.Path(module.__file__) for module in used)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()[:16]
