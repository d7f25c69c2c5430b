"""What an evaluation found, as plain values: read from the folder that TFX's Evaluator or TFMA wrote."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.writers.eval_config_writer import load_eval_run

from components.evaluator.attribute_metrics import COUNTS, MEANS, mean_of_defined
from components.evaluator.config import DECISIONS, LANDMARKS, attributes_of, side

_VECTORS = {"mean_accuracy": "accuracy", "mean_balanced_accuracy": "balanced_accuracy", "mean_f1": "f1"}


@dataclasses.dataclass(frozen=True, eq=False)
class SliceResult:
    """Results on one slice. NaN stands for 0/0; arrays are [N], in the order of the attributes.

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
    nme: float | None = None
    failure_rate: float | None = None
    landmark_count: int = 0
    landmarks_skipped: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluationResult:
    """Results of one model.

    Attributes:
        attributes: names, in the order of every array.
        overall: on all records.
        slices: by slicing attribute, then by side: slices["Male"]["not Male"]. A side without records is absent.
    """

    attributes: tuple[str, ...]
    overall: SliceResult
    slices: dict[str, dict[str, SliceResult]]

    def gap(self, attribute: str, metric: str = "mean_balanced_accuracy") -> float:
        """How much higher `metric` is for the records with `attribute` than for those without.

        The means over attributes are compared over the attributes that are defined on both sides; the difference of the
        sides' own means would compare means over different attributes.

        Args:
            attribute: one that the evaluation was sliced by.
            metric: "mean_accuracy", "mean_balanced_accuracy", "mean_f1", "nme" or "failure_rate".

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
    attributes = attributes_of(eval_config)
    # A single model has no name in TFMA's results.
    name = model if len(eval_config.model_specs) > 1 else ""
    if model not in {tfma.CANDIDATE_KEY, *(spec.name for spec in eval_config.model_specs)}:
        raise ValueError(f"The evaluation under {uri!r} has no model {model!r}.")
    overall, slices = None, {}
    for metrics in tfma.load_metrics(uri):
        result = _slice_result(_values(metrics, name))
        keys = metrics.slice_key.single_slice_keys
        if keys:
            slices.setdefault(keys[0].column, {})[keys[0].bytes_value.decode()] = result
        else:
            overall = result
    if overall is None:
        raise ValueError(f"The evaluation under {uri!r} saw no record: are its example splits empty?")
    ordered = [spec.feature_keys[0] for spec in eval_config.slicing_specs if spec.feature_keys]
    return EvaluationResult(attributes, overall, {name: slices.get(name, {}) for name in ordered})


def read_blessing(uri: str) -> tuple[bool, list[str]]:
    """Whether the evaluated model passed, and if not, why, in sentences; `uri` as in `read_evaluation`."""
    validation = tfma.load_validation_result(uri)
    reasons = [_reason(failure) for part in validation.metric_validations_per_slice for failure in part.failures]
    if validation.missing_slices and not reasons:
        reasons.append("no record was evaluated")
    return validation.validation_ok, reasons


def _values(metrics: tfma.MetricsForSlice, model_name: str) -> dict[tuple[str, str], float | np.ndarray]:
    """Values of one model by output and metric name, without differences to the baseline."""
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


def _slice_result(values: dict[tuple[str, str], float | np.ndarray]) -> SliceResult:
    vectors = (*_VECTORS.values(), "positive_rate_true", "positive_rate_predicted")
    landmarks = {}
    if (LANDMARKS, "nme") in values:
        landmarks = {name: values[LANDMARKS, name] for name in ("nme", "failure_rate")} | {
            name: int(values[LANDMARKS, name]) for name in ("landmark_count", "landmarks_skipped")
        }
    return SliceResult(
        count=int(values[DECISIONS, "example_count"]),
        annotated=int(values[DECISIONS, "annotated"]),
        counts=np.stack([values[DECISIONS, name] for name in COUNTS]),
        **{name: values[DECISIONS, name] for name in (*MEANS, *vectors)},
        **landmarks,
    )


def _reason(failure) -> str:
    """A sentence on one missed threshold."""
    name, value = failure.metric_key.name, failure.metric_value.double_value.value
    if failure.message:
        return f"{name} can't be compared: {' '.join(failure.message.split())}"
    if math.isnan(value):
        return f"{name} is undefined: no attribute has annotated records of both classes"
    threshold = failure.metric_threshold
    if threshold.HasField("change_threshold"):
        return f"{name} is worse than the last blessed model's (difference {value:.3g})"
    bound = threshold.value_threshold
    if value < bound.lower_bound.value:
        return f"{name} {value:.6g} is below the bar {bound.lower_bound.value:.6g}"
    return f"{name} {value:.6g} is above the bar {bound.upper_bound.value:.6g}"
