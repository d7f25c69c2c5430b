"""The evaluation's configuration: what is measured, on which slices, and the bar that a model must pass."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Sequence

import tensorflow_model_analysis as tfma

from components import landmark_markup

SIGNATURE = "from_examples"
DECISIONS, LABELS = "decisions", "attributes"
LANDMARKS = "landmarks"
BLESSING_METRIC = "mean_balanced_accuracy"


def attribute_eval_config(
    attributes: Sequence[str],
    slice_by: Sequence[str] = ("Male", "Young"),
    min_balanced_accuracy: float = 0.5,
    landmarks: bool = False,
) -> tfma.EvalConfig:
    """Configuration for a model that decides attributes and may predict landmarks.

    A model is blessed if its mean balanced accuracy over all records reaches the bar and is not below that of the last
    blessed model on the same records (without such a model the second condition does not apply).

    Args:
        attributes: names in the order of the records' `attributes`.
        slice_by: attributes for whose two sides everything is measured separately.
        min_balanced_accuracy: the bar. 0.5 is what a constant answer scores.
        landmarks: whether the model has an output `landmarks` that is to be measured.

    Raises:
        ValueError: if `slice_by` names something that is not among `attributes`.
    """
    unknown = [name for name in slice_by if name not in attributes]
    if unknown:
        raise ValueError(f"Can't slice by {', '.join(unknown)}. The attributes are: {', '.join(attributes)}.")
    label_keys = {DECISIONS: LABELS, **({LANDMARKS: LANDMARKS} if landmarks else {})}
    metrics_specs = [
        tfma.MetricsSpec(
            output_names=[DECISIONS],
            metrics=[
                tfma.MetricConfig(class_name="ExampleCount"),
                _metric(
                    "attribute_metrics.AttributeMetrics",
                    _bar(min_balanced_accuracy),
                    name=BLESSING_METRIC,
                    attributes=list(attributes),
                ),
            ],
        )
    ]
    if landmarks:
        metric = _metric("landmark_metrics.LandmarkMetrics", name="nme")
        metrics_specs.append(tfma.MetricsSpec(output_names=[LANDMARKS], metrics=[metric]))
    return tfma.EvalConfig(
        # tf_generic: the signature alone is used. Otherwise TFMA tries to load each model with Keras first.
        model_specs=[tfma.ModelSpec(signature_name=SIGNATURE, model_type=tfma.TF_GENERIC, label_keys=label_keys)],
        slicing_specs=[tfma.SlicingSpec(), *(tfma.SlicingSpec(feature_keys=[name]) for name in slice_by)],
        metrics_specs=metrics_specs,
        options=tfma.Options(include_default_metrics={"value": False}),
    )


def attributes_of(eval_config: tfma.EvalConfig) -> tuple[str, ...]:
    """The attribute names that `attribute_eval_config` put into the configuration; ValueError if it has none."""
    for spec in eval_config.metrics_specs:
        for metric in spec.metrics:
            if metric.class_name == "AttributeMetrics":
                return tuple(json.loads(metric.config)["attributes"])
    raise ValueError("The evaluation's configuration has no AttributeMetrics: make it with attribute_eval_config.")


def side(attribute: str, label: int) -> str:
    """Name of the slice of records that have, or don't have, an attribute."""
    return attribute if label > 0 else f"not {attribute}"


def _bar(lower_bound: float) -> tfma.PerSliceMetricThreshold:
    # The tolerance keeps a model that is as good as the last one from failing by a rounding error.
    threshold = tfma.MetricThreshold(
        value_threshold=tfma.GenericValueThreshold(lower_bound={"value": lower_bound}),
        change_threshold=tfma.GenericChangeThreshold(
            direction=tfma.MetricDirection.HIGHER_IS_BETTER, absolute={"value": -1e-10}
        ),
    )
    return tfma.PerSliceMetricThreshold(slicing_specs=[tfma.SlicingSpec()], threshold=threshold)


def _metric(path: str, *thresholds: tfma.PerSliceMetricThreshold, **config) -> tfma.MetricConfig:
    module, class_name = path.split(".")
    return tfma.MetricConfig(
        class_name=class_name,
        module=f"components.evaluator.{module}",
        config=json.dumps({**config, "code": _code_hash()}),
        per_slice_thresholds=thresholds,
    )


def _code_hash() -> str:
    """Changes with the metrics' code: TFX caches an evaluation by its configuration and does not look at the code."""
    files = [*pathlib.Path(__file__).parent.glob("*.py"), pathlib.Path(landmark_markup.__file__)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()[:16]
