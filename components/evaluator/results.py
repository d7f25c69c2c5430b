"""What an evaluation found, as plain values: read from the folder that TFX's Evaluator or TFMA wrote."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.writers.eval_config_writer import load_eval_run

from components.evaluator.attribute_metrics import COUNTS, MEANS
from components.evaluator.config import (
    CLOTHING,
    DECISIONS,
    EMOTION,
    LANDMARKS,
    PARSING,
    SCORES,
    attributes_of,
    iteration_output,
    output_and_iteration,
    settings_of,
    side,
)
from components.tasks.ratios import mean_of_defined

_VECTORS = {"mean_accuracy": "accuracy", "mean_balanced_accuracy": "balanced_accuracy", "mean_f1": "f1"}
_UNDEFINED = {
    DECISIONS: "no attribute has annotated records of both classes",
    LANDMARKS: "no record has landmarks that can be measured, or a predicted point is not a number",
    PARSING: "no pixel that was counted is anything but background, in truth or by prediction",
    EMOTION: "no record has an emotion",
    CLOTHING: "no record has a category of clothing",
}

_Values = dict[tuple[str, str], "float | np.ndarray"]  # by output and metric name


@dataclasses.dataclass(frozen=True, eq=False)
class SliceResult:
    """Results of the attributes on one slice. NaN stands for 0/0; arrays are [N], in the order of the attributes.

    Attributes:
        count: records in the slice.
        annotated: those with attribute labels, on which everything but the landmark figures rests.
        mean_accuracy: mean over attributes.
        mean_balanced_accuracy: mean over the attributes of which the slice has both classes.
        mean_f1: mean over the attributes that have a positive label or decision.
        accuracy: [N].
        balanced_accuracy: [N].
        f1: [N].
        positive_rate_true: [N] share of positive labels.
        positive_rate_predicted: [N] share of positive decisions.
        counts: [4, N] true positives, false positives, false negatives, true negatives.
        top_10_recall: share of the positive labels that are among their record's ten highest scores; None if the scores
            were not evaluated.
        nme: normalised mean error of the landmarks; None if they were not evaluated.
        failure_rate: share of records with an NME above landmark_metrics.FAILURE_THRESHOLD; None likewise.
        landmark_count: records that the two rest on.
        landmarks_skipped: records whose annotated eyes coincide.
    """

    count: int
    annotated: int
    mean_accuracy: float
    mean_balanced_accuracy: float
    mean_f1: float
    accuracy: np.ndarray
    balanced_accuracy: np.ndarray
    f1: np.ndarray
    positive_rate_true: np.ndarray
    positive_rate_predicted: np.ndarray
    counts: np.ndarray
    top_10_recall: float | None = None
    nme: float | None = None
    failure_rate: float | None = None
    landmark_count: int = 0
    landmarks_skipped: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class ParsingResult:
    """Results of face parsing on all records, from pixel counts. NaN stands for 0/0; arrays are in the classes' order.

    Attributes:
        classes: C names, background first.
        annotated: records with a label map, on which everything rests.
        mean_f1: mean over the classes that occur in truth or prediction, background left out.
        mean_iou: mean over the classes that occur, background included.
        pixel_accuracy: share of the pixels that got their class.
        overall_f1: Helen's, over `merged_parts`; None if there are none.
        merged_parts: the classes that are counted as one, by the part's name.
        f1: [C] float64.
        iou: [C] float64.
        confusion: [C, C] int64 pixels; the row is the true class, the column the predicted one.
        part_f1: F1 of each of `merged_parts`.
    """

    classes: tuple[str, ...]
    annotated: int
    mean_f1: float
    mean_iou: float
    pixel_accuracy: float
    overall_f1: float | None
    merged_parts: dict[str, tuple[str, ...]]
    f1: np.ndarray
    iou: np.ndarray
    confusion: np.ndarray
    part_f1: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkResult:
    """Results of the landmarks on all records. NaN stands for 0/0; arrays are [L], in the order of the mark-up.

    Attributes:
        nme: normalised mean error, a fraction of the inter-ocular distance.
        failure_rate: share of records with an NME above landmark_metrics.FAILURE_THRESHOLD.
        count: records that everything but `skipped` rests on.
        skipped: records whose annotated eyes coincide.
        point_nme: [L] mean error of a point, likewise a fraction; their mean is `nme`.
        point_failure_rate: [L] share of records in which the point's error is above that threshold.
    """

    nme: float
    failure_rate: float
    count: int
    skipped: int
    point_nme: np.ndarray
    point_failure_rate: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class ClassResult:
    """Results of a choice among classes on all records. NaN stands for 0/0; arrays are in the classes' order.

    Attributes:
        classes: C names.
        annotated: records with a class, on which everything rests.
        accuracy: share of them that got their class.
        mean_recall: balanced accuracy, the mean over the classes that occur in truth.
        recall: [C] float64.
        f1: [C] float64.
        confusion: [C, C] int64 records; the row is the true class, the column the predicted one.
        top_3, top_5: share of the records whose class is among so many likeliest; None for what was not evaluated.
    """

    classes: tuple[str, ...]
    annotated: int
    accuracy: float
    mean_recall: float
    recall: np.ndarray
    f1: np.ndarray
    confusion: np.ndarray
    top_3: float | None = None
    top_5: float | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class IterationResult:
    """Results, on all records, of what the model answered at one iteration of task interaction.

    Attributes:
        iteration: its number; 0 is before any interaction.
        attributes, landmarks, parsing, emotion: None for what was not evaluated.
    """

    iteration: int
    attributes: SliceResult | None
    landmarks: LandmarkResult | None
    parsing: ParsingResult | None
    emotion: ClassResult | None


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluationResult:
    """Results of one model.

    Attributes:
        count: records that were evaluated.
        attributes: names, in the order of every array of a SliceResult; empty if attributes were not evaluated.
        overall: the attributes on all records; None likewise.
        slices: by slicing attribute, then by side: slices["Male"]["not Male"]. A side without records is absent.
        parsing, landmarks, emotion, clothing: on all records; None for what was not evaluated.
        iterations: in their order; empty if they were not evaluated one by one.
    """

    count: int
    attributes: tuple[str, ...]
    overall: SliceResult | None
    slices: dict[str, dict[str, SliceResult]]
    parsing: ParsingResult | None
    landmarks: LandmarkResult | None = None
    emotion: ClassResult | None = None
    clothing: ClassResult | None = None
    iterations: tuple[IterationResult, ...] = ()

    def gap(self, attribute: str, metric: str = "mean_balanced_accuracy") -> float:
        """How much higher `metric` is for the records with `attribute` than for those without.

        The means over attributes are compared over the attributes that are defined on both sides; the difference of the
        sides' own means would compare means over different attributes.

        Args:
            attribute: one that the evaluation was sliced by.
            metric: "mean_accuracy", "mean_balanced_accuracy", "mean_f1", "top_10_recall", "nme" or "failure_rate".

        Returns:
            The difference; NaN if a side has no record or nothing is measured on both.
        """
        sides = self.slices[attribute]
        if len(sides) < 2:
            return math.nan
        name = _VECTORS.get(metric, metric)
        having, lacking = (np.array(getattr(sides[side(attribute, label)], name), np.float64) for label in (1, 0))
        return mean_of_defined(np.atleast_1d(having - lacking))


def read_evaluation(uri: str, model: str = tfma.CANDIDATE_KEY) -> EvaluationResult:
    """Reads the metrics under `uri`.

    Args:
        uri: the ModelEvaluation artifact's, or TFMA's output_path.
        model: "candidate"; or "baseline", the last blessed model, if the evaluation had one.

    Raises:
        ValueError: if there is no evaluation there, or no record or no such model was evaluated.
    """
    eval_config = load_eval_run(uri)[0]
    if eval_config is None:
        raise ValueError(f"{uri!r} holds no evaluation: expected the folder that the Evaluator wrote.")
    # A single model has no name in TFMA's results.
    name = model if len(eval_config.model_specs) > 1 else ""
    if model not in {tfma.CANDIDATE_KEY, *(spec.name for spec in eval_config.model_specs)}:
        raise ValueError(f"The evaluation under {uri!r} has no model {model!r}.")
    overall, slices = None, {}
    for metrics in tfma.load_metrics(uri):
        values = _values(metrics, name)
        keys = metrics.slice_key.single_slice_keys
        if keys:
            slices.setdefault(keys[0].column, {})[keys[0].bytes_value.decode()] = _slice_result(values)
        else:
            overall = values
    if overall is None:
        raise ValueError(f"The evaluation under {uri!r} saw no record: are its example splits empty?")
    tasks = _task_results(overall, eval_config)
    iterations = {output_and_iteration(output)[1] for output, _ in overall} - {None}
    ordered = [spec.feature_keys[0] for spec in eval_config.slicing_specs if spec.feature_keys]
    return EvaluationResult(
        count=_count(overall),
        attributes=attributes_of(eval_config),
        overall=tasks["attributes"],
        slices={name: slices.get(name, {}) for name in ordered},
        parsing=tasks["parsing"],
        landmarks=tasks["landmarks"],
        emotion=tasks["emotion"],
        clothing=_class_result(overall, CLOTHING, eval_config) if (CLOTHING, "accuracy") in overall else None,
        iterations=tuple(
            IterationResult(number, **_task_results(_at_iteration(overall, number), eval_config))
            for number in sorted(iterations)
        ),
    )


def read_blessing(uri: str) -> tuple[bool, list[str]]:
    """Whether the evaluated model passed, and if not, why, in sentences; `uri` as in `read_evaluation`."""
    validation = tfma.load_validation_result(uri)
    reasons = [_reason(failure) for part in validation.metric_validations_per_slice for failure in part.failures]
    if not validation.validation_ok and not reasons:
        reasons.append("no record was evaluated" if validation.missing_slices else "no task has a bar to pass")
    return validation.validation_ok, list(dict.fromkeys(reasons))  # an undefined metric misses both its conditions


def _values(metrics: tfma.MetricsForSlice, model_name: str) -> _Values:
    """Values of one model, without differences to the baseline."""
    return {
        (item.key.output_name, item.key.name): _value(item.value)
        for item in metrics.metric_keys_and_values
        if item.key.model_name == model_name and not item.key.is_diff
    }


def _value(value) -> float | np.ndarray:
    if value.WhichOneof("type") == "double_value":
        return value.double_value.value
    array = value.array_value
    kind = array.DataType.Name(array.data_type).lower()
    return np.array(getattr(array, f"{kind}_values"), kind).reshape(array.shape)


def _at_iteration(values: _Values, iteration: int) -> _Values:
    """Values of what the model answered at an iteration, under the plain names of the outputs."""
    suffix = iteration_output("", iteration)
    numbered = {key: value for key, value in values.items() if key[0].endswith(suffix)}
    plain = {(output.removesuffix(suffix), name): value for (output, name), value in numbered.items()}
    return {("", "example_count"): values["", "example_count"], **plain}


def _count(values: _Values) -> int:
    return int(values["", "example_count"])


def _task_results(values: _Values, eval_config: tfma.EvalConfig) -> dict:
    """By the names of IterationResult: the result of each task, None for those that `values` say nothing of."""
    readers = {
        "attributes": (DECISIONS, _slice_result, ()),
        "landmarks": (LANDMARKS, _landmark_result, ()),
        "parsing": (PARSING, _parsing_result, (settings_of(eval_config, PARSING),)),
        "emotion": (EMOTION, _class_result, (EMOTION, eval_config)),
    }
    measured = {output for output, _ in values}
    return {task: read(values, *more) if output in measured else None for task, (output, read, more) in readers.items()}


def _slice_result(values: _Values) -> SliceResult:
    vectors = (*_VECTORS.values(), "positive_rate_true", "positive_rate_predicted")
    landmarks = {}
    if (LANDMARKS, "nme") in values:
        landmarks = {name: values[LANDMARKS, name] for name in ("nme", "failure_rate")} | {
            name: int(values[LANDMARKS, name]) for name in ("landmark_count", "landmarks_skipped")
        }
    return SliceResult(
        count=_count(values),
        annotated=int(values[DECISIONS, "annotated"]),
        counts=np.stack([values[DECISIONS, name] for name in COUNTS]),
        top_10_recall=values.get((SCORES, "top_10_recall")),
        **{name: values[DECISIONS, name] for name in (*MEANS, *vectors)},
        **landmarks,
    )


def _landmark_result(values: _Values) -> LandmarkResult:
    as_emitted = ("nme", "failure_rate", "point_nme", "point_failure_rate")
    return LandmarkResult(
        count=int(values[LANDMARKS, "landmark_count"]),
        skipped=int(values[LANDMARKS, "landmarks_skipped"]),
        **{name: values[LANDMARKS, name] for name in as_emitted},
    )


def _parsing_result(values: _Values, settings) -> ParsingResult:
    as_emitted = ("mean_f1", "mean_iou", "pixel_accuracy", "f1", "iou", "confusion")
    merged_parts = {part: tuple(names) for part, names in settings["merged_parts"].items()}
    of_parts = map(float, values.get((PARSING, "part_f1"), ()))
    return ParsingResult(
        classes=tuple(settings["classes"]),
        annotated=int(values[PARSING, "annotated"]),
        overall_f1=values.get((PARSING, "overall_f1")),
        merged_parts=merged_parts,
        part_f1=dict(zip(merged_parts, of_parts, strict=True)),
        **{name: values[PARSING, name] for name in as_emitted},
    )


def _class_result(values: _Values, output: str, eval_config: tfma.EvalConfig) -> ClassResult:
    as_emitted = ("accuracy", "mean_recall", "recall", "f1", "confusion")
    return ClassResult(
        classes=tuple(settings_of(eval_config, output)["classes"]),
        annotated=int(values[output, "annotated"]),
        top_3=values.get((output, "top_3_accuracy")),
        top_5=values.get((output, "top_5_accuracy")),
        **{name: values[output, name] for name in as_emitted},
    )


def _reason(failure) -> str:
    """A sentence on one missed threshold."""
    key, value = failure.metric_key, failure.metric_value.double_value.value
    of_classes = key.output_name in (EMOTION, CLOTHING)
    name = f"{key.output_name} {key.name}" if of_classes else key.name  # an accuracy alone wouldn't say of what
    if failure.message:
        return f"{name} can't be compared: {' '.join(failure.message.split())}"
    if math.isnan(value):
        return f"{name} is undefined: {_UNDEFINED[key.output_name]}"
    threshold = failure.metric_threshold
    if threshold.HasField("change_threshold"):
        return f"{name} is worse than the last blessed model's (difference {value:.3g})"
    bound = threshold.value_threshold
    if value < bound.lower_bound.value:
        return f"{name} {value:.6g} is below the bar {bound.lower_bound.value:.6g}"
    return f"{name} {value:.6g} is above the bar {bound.upper_bound.value:.6g}"
