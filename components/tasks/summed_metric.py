"""TFMA metrics that are sums over records: the Beam side and the configuration, shared by every kind of task."""

from __future__ import annotations

import dataclasses
import itertools
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.utils.util import StandardExtracts

from components.code_version import code_version
from components.config import Bar
from components.tasks.annotation import BoundTask

Measure = Callable[[np.ndarray, np.ndarray, Mapping[str, Any]], np.ndarray]
Summarize = Callable[[np.ndarray], dict[str, "float | np.ndarray"]]

# TFX caches an evaluation by its configuration and does not look at the code.
_CODE = (
    "components/evaluator",
    "components/tasks/summed_metric.py",
    "components/tasks/ratios.py",
    "components/tasks/scores.py",
    "components/tasks/*/evaluation.py",
    "components/tasks/*/markup.py",
    "components/tasks/*/label_maps.py",
)
PARTS = 20  # that the records are divided into, by their ids, to see how much figures depend on single records
_ERROR = "_standard_error"  # behind the name of a value
_TOLERANCE = 1e-10  # keeps a model that is as good as the last blessed one from failing by a rounding error


class SummedMetric(tfma.metrics.Metric):
    """A metric whose values follow from a sum over the annotated records.

    TFMA measures a record once and hands the small array, not the record, to every slice the record is in. Numbers come
    with standard errors. TFMA's own jackknife would evaluate 20 times in one graph: on two cores that doubled the time
    of an evaluation of some hundred images.

    Args:
        measure: (label, prediction, features) of one annotated record -> array to be added. Picklable.
        zero: what the sum starts from; also fixes its shape and type.
        summarize: the sum -> values by name. Picklable.
        name: the value that a bar applies to (TFMA matches a threshold with the metric's name); "" for none.
        keep_parts: whether the parts' sums are a value as well, "parts" [PARTS, ...]: for what follows from several
            slices.
        **config: what else the metric was configured with, as in `metrics_spec`.

    Raises:
        ValueError: if no such value is measured.
    """

    def __init__(
        self,
        measure: Measure,
        zero: np.ndarray,
        summarize: Summarize,
        name: str = "",
        keep_parts: bool = False,
        **config,
    ):
        self._measure, self._zero, self._summarize, self._keep_parts = measure, zero, summarize, keep_parts
        numbers = [value for value, measured in summarize(zero).items() if np.ndim(measured) == 0]
        if name and name not in numbers:
            raise ValueError(
                f"The bar of task {config['task']!r} applies to {name!r}, which isn't measured of its labels. Measured "
                f"are: {', '.join(numbers)}."
            )
        super().__init__(self._computations, name=name, **config)

    def _computations(self, model_names, output_names, **config):
        computations = []
        for path in itertools.product(model_names, output_names):
            combiner = SumFn(self._zero, self._summarize, *path, self._keep_parts)
            measurement = _Measurement(self._measure, *path)
            computations.append(tfma.metrics.MetricComputation(combiner.keys, [measurement], combiner))
        return computations


def metrics_spec(
    task: BoundTask,
    output: str,
    metric: type[SummedMetric],
    iteration: int | None = None,
    compared: bool = True,
    **settings,
) -> tfma.MetricsSpec:
    """How TFMA is told to measure an output.

    The task's bar must be reached on all records, and there a model must not be worse than the last blessed one if it
    is `compared` (without such a model the second condition does not apply).

    Args:
        task: whose output it is.
        output: its name.
        metric: what is measured.
        iteration: of task interaction, after which the output is measured; None for what is served.
        compared: with the last blessed model.
        **settings: arguments of `metric`, as JSON has them.

    Raises:
        ValueError: for what can't be measured.
    """
    bar = task.task.bar
    config = {
        "task": task.name,
        "iteration": iteration,
        "names": list(task.names),
        "name": bar.metric if bar else "",
        "code": code_version(*_CODE),
        **settings,
    }
    metric(**config)  # fails here, before anything runs
    return tfma.MetricsSpec(
        output_names=[output if iteration is None else f"{output}_iter{iteration}"],
        metrics=[
            tfma.MetricConfig(
                class_name=metric.__name__,
                module=metric.__module__,
                config=json.dumps(config),
                per_slice_thresholds=[_threshold(bar, compared)] if bar else [],
            )
        ],
    )


def _threshold(bar: Bar, compared: bool):
    if bar.at_most is None:
        bound, direction, tolerance = "lower_bound", tfma.MetricDirection.HIGHER_IS_BETTER, -_TOLERANCE
    else:
        bound, direction, tolerance = "upper_bound", tfma.MetricDirection.LOWER_IS_BETTER, _TOLERANCE
    threshold = tfma.MetricThreshold(value_threshold=tfma.GenericValueThreshold(**{bound: {"value": bar.bound}}))
    if compared:
        change = tfma.GenericChangeThreshold(direction=direction, absolute={"value": tolerance})
        threshold.change_threshold.CopyFrom(change)
    return tfma.PerSliceMetricThreshold(slicing_specs=[tfma.SlicingSpec()], threshold=threshold)


class _Measurement(tfma.metrics.Preprocessor):
    """Extracts of a record -> its array; nothing for a record that has no label for this output."""

    def __init__(self, measure: Measure, model_name: str, output_name: str):
        # TFMA tells preprocessors apart by name.
        super().__init__(name=f"{measure}/{model_name}/{output_name}")
        self._measure, self._model_name, self._output_name = measure, model_name, output_name

    def process(self, extracts: tfma.Extracts) -> Iterator[np.ndarray]:
        standard = StandardExtracts(extracts)
        path = self._model_name or None, self._output_name
        label = standard.get_labels(*path)
        # A batch without any annotated record has None for the label or no entry at all (then the lookup stops at the
        # dict); in a mixed batch the label of a record that is not annotated is empty.
        if isinstance(label, np.ndarray) and label.size:
            prediction = standard.get_predictions(*path)
            if not isinstance(prediction, np.ndarray):
                raise ValueError(
                    f"The {self._model_name or tfma.CANDIDATE_KEY} model has no output {self._output_name!r}; "
                    f"its signature gives {sorted(prediction)}."
                )
            features = extracts[tfma.FEATURES_KEY]
            yield zlib.crc32(features["image/id"][0]) % PARTS, self._measure(label, prediction, features)


@dataclasses.dataclass
class Sums:
    """Of each part of the records: how many there are [PARTS], and the sum of their arrays [PARTS, ...]."""

    counts: np.ndarray
    totals: np.ndarray


class SumFn(beam.CombineFn):
    """Adds arrays. Integer sums are exact in any order, so results don't depend on bundles, shards or workers."""

    def __init__(
        self, zero: np.ndarray, summarize: Summarize, model_name: str, output_name: str, keep_parts: bool = False
    ):
        self._zero, self._summarize, self._keep_parts = zero, summarize, keep_parts
        self._path = {"model_name": model_name, "output_name": output_name}

    @property
    def keys(self) -> list[tfma.metrics.MetricKey]:
        """One key a value of `summarize`, and one for each error."""
        return list(self.extract_output(self.create_accumulator()))

    def create_accumulator(self) -> Sums:
        """The sums over no record."""
        return Sums(np.zeros(PARTS, np.int64), np.zeros((PARTS, *self._zero.shape), self._zero.dtype))

    def add_input(self, accumulator: Sums, element: tuple[int, np.ndarray]) -> Sums:
        """The sums with one more record's part and array, in place."""
        part, array = element
        accumulator.counts[part] += 1
        accumulator.totals[part] += array
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Sums]) -> Sums:
        """The sums of partial sums."""
        merged = self.create_accumulator()
        for sums in accumulators:
            merged.counts += sums.counts
            merged.totals += sums.totals
        return merged

    def extract_output(self, accumulator: Sums) -> dict[tfma.metrics.MetricKey, float | np.ndarray]:
        """The values that follow from the sum over all parts, and the numbers' standard errors, by TFMA's keys."""
        values = self._summarize(accumulator.totals.sum(axis=0))
        errors = standard_errors(accumulator, self._summarize)
        named = {**values, **{f"{name}{_ERROR}": error for name, error in errors.items()}}
        if self._keep_parts:
            named["parts"] = accumulator.totals
        return {tfma.metrics.MetricKey(name, **self._path): value for name, value in named.items()}


def standard_errors(sums: Sums, summarize: Summarize) -> dict[str, float]:
    """How far numbers would lie apart on other records of the kind, by the jackknife (Efron and Stein 1981).

    With θ_i the number over all of n parts but the i-th, it is √((n - 1) / n Σ_i (θ_i - mean θ)²). A part without
    records is none.

    Returns:
        By the numbers among what `summarize` gives; NaN for fewer records than parts, and where all θ_i are one number,
        such as 0 mistakes: of how far apart others would be that says nothing.
    """
    total, parts = sums.totals.sum(axis=0), sums.totals[sums.counts > 0]
    enough = sums.counts.sum() >= len(sums.counts)
    without = [summarize(total - part) for part in parts] if enough else []
    errors = {}
    for name, value in summarize(total).items():
        if np.ndim(value) == 0:
            variance = np.var([values[name] for values in without]) if without else 0.0
            errors[name] = float(np.sqrt((len(parts) - 1) * variance)) if variance != 0 else float("nan")
    return errors


def error_of(name: str) -> str | None:
    """The value whose error is called `name`; None if that isn't an error."""
    return name.removesuffix(_ERROR) if name.endswith(_ERROR) else None
