"""TFMA metrics that are sums over records: the Beam side, shared by every metric of this package."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.utils.util import StandardExtracts

Measure = Callable[[np.ndarray, np.ndarray, Mapping[str, Any]], np.ndarray]
Summarize = Callable[[np.ndarray], dict[str, "float | np.ndarray"]]


def summed_metric(
    measure: Measure,
    zero: np.ndarray,
    summarize: Summarize,
    model_names: Sequence[str],
    output_names: Sequence[str],
) -> list[tfma.metrics.MetricComputation]:
    """The computations of a metric whose values follow from a sum over the annotated records.

    TFMA measures a record once and hands the small array, not the record, to every slice the record is in.

    Args:
        measure: (label, prediction, features) of one annotated record -> array to be added. Picklable.
        zero: what the sum starts from; also fixes its shape and type.
        summarize: the sum -> metric values by name. Picklable.
        model_names: as TFMA gives them; "" where there is one model only.
        output_names: outputs of the model, one computation for each.
    """
    computations = []
    for model_name, output_name in itertools.product(model_names, output_names):
        combiner = SumFn(zero, summarize, model_name, output_name)
        measurement = _Measurement(measure, model_name, output_name)
        computations.append(tfma.metrics.MetricComputation(combiner.keys, [measurement], combiner))
    return computations


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
