"""TFMA metrics that are sums over records: the Beam side and the configuration, shared by every kind of task."""

from __future__ import annotations

import itertools
import json
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
    "components/tasks/*/evaluation.py",
    "components/tasks/*/markup.py",
    "components/tasks/*/label_maps.py",
)
_TOLERANCE = 1e-10  # keeps a model that is as good as the last blessed one from failing by a rounding error


class SummedMetric(tfma.metrics.Metric):
    """A metric whose values follow from a sum over the annotated records.

    TFMA measures a record once and hands the small array, not the record, to every slice the record is in.

    Args:
        measure: (label, prediction, features) of one annotated record -> array to be added. Picklable.
        zero: what the sum starts from; also fixes its shape and type.
        summarize: the sum -> values by name. Picklable.
        name: the value that a bar applies to (TFMA matches a threshold with the metric's name); "" for none.
        **config: what else the metric was configured with, as in `metrics_spec`.

    Raises:
        ValueError: if no such value is measured.
    """

    def __init__(self, measure: Measure, zero: np.ndarray, summarize: Summarize, name: str = "", **config):
        self._measure, self._zero, self._summarize = measure, zero, summarize
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
            combiner = SumFn(self._zero, self._summarize, *path)
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
            yield self._measure(label, prediction, extracts[tfma.FEATURES_KEY])


class SumFn(beam.CombineFn):
    """Adds arrays. Integer sums are exact in any order, so results don't depend on bundles, shards or workers."""

    def __init__(self, zero: np.ndarray, summarize: Summarize, model_name: str, output_name: str):
        self._zero, self._summarize = zero, summarize
        self._path = {"model_name": model_name, "output_name": output_name}

    @property
    def keys(self) -> list[tfma.metrics.MetricKey]:
        """One key a value of `summarize`."""
        return [tfma.metrics.MetricKey(name, **self._path) for name in self._summarize(self._zero)]

    def create_accumulator(self) -> np.ndarray:
        """The sum over no record."""
        return self._zero

    def add_input(self, accumulator: np.ndarray, element: np.ndarray) -> np.ndarray:
        """The sum with one more record's array."""
        return accumulator + element

    def merge_accumulators(self, accumulators: Iterable[np.ndarray]) -> np.ndarray:
        """The sum of partial sums."""
        return sum(accumulators, self._zero)

    def extract_output(self, accumulator: np.ndarray) -> dict[tfma.metrics.MetricKey, float | np.ndarray]:
        """The values that follow from the sum, by TFMA's keys."""
        return dict(zip(self.keys, self._summarize(accumulator).values(), strict=True))
