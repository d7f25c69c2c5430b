"""New images against those that a model was validated on: how far apart they are, and whether by more than chance."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from scipy import stats
from tensorflow_metadata.proto.v0 import schema_pb2

from components.drift.reference import LABEL, Values

SIGNIFICANCE = 0.01  # how often, over all comparisons, images of one kind may be called different
THRESHOLDS = pathlib.Path(__file__).parents[2] / "schemas" / "drift.pbtxt"
_NUMBER, _CATEGORY = "number", "category"  # its entries
_YES_NO = ("no", "yes")
_LEAST_EXPECTED = 5  # of a class, for the χ² test


@dataclasses.dataclass(frozen=True, eq=False)
class Drift:
    """One statistic of a model's validation images and of new ones.

    Attributes:
        name: what was compared.
        known, new: [N] of the validation images and of the new ones; of categories their indices.
        categories: their names; empty for a number.
        distance: TFDV's: Jensen-Shannon divergence of a number, L-infinity norm of categories.
        threshold: the distance above which it counts.
        p_value: corrected for the number of comparisons.
    """

    name: str
    known: np.ndarray
    new: np.ndarray
    categories: tuple[str, ...]
    distance: float
    threshold: float
    p_value: float

    @property
    def is_of_labels(self) -> bool:
        """Whether it is what images are annotated with, of which there may be other numbers than of answers."""
        return self.name.startswith(LABEL)

    @property
    def significant(self) -> bool:
        """Whether the two differ by more than chance."""
        return self.p_value < SIGNIFICANCE

    @property
    def drifted(self) -> bool:
        """Whether they do, and by more than the threshold."""
        return self.significant and self.distance > self.threshold

    def sentence(self) -> str:
        """`image brightness: 0.21 ± 0.05 instead of 0.483 ± 0.11`, `emotion: happy 12.0 % instead of 40.0 %`."""
        if not self.categories:
            new, known = (f"{values.mean():.3g} ± {values.std():.2g}" for values in (self.new, self.known))
            return f"{self.name}: {new} instead of {known}"
        known, new = (shares(values, len(self.categories)) for values in (self.known, self.new))
        index = 1 if self.categories == _YES_NO else int(np.abs(new - known).argmax())
        return f"{self.name}: {self.categories[index]} {100 * new[index]:.1f} % instead of {100 * known[index]:.1f} %"


def shares(indices: np.ndarray, count: int) -> np.ndarray:
    """[count]: the share of `indices` that each index has."""
    return np.bincount(indices.astype(int), minlength=count) / max(len(indices), 1)


def find_drift(
    known: Mapping[str, Values],
    new: Mapping[str, Values],
    categories: Mapping[str, Sequence[str]],
    thresholds: Mapping[str, schema_pb2.Feature],
) -> dict[str, list[Drift]]:
    """What both have, by data set: first what drifted, then by how much the distance is above its threshold.

    Numbers are compared by the two-sample Kolmogorov-Smirnov test, yes and no by Fisher's exact one, classes by the χ²
    test of homogeneity; the p-values have Holm's correction for all comparisons together.

    Args:
        known, new: by data set, values of at least one image.
        categories: as of components.prediction.answers.categories.
        thresholds: of `read_thresholds`.
    """
    compared = [(dataset, name) for dataset in new for name in new[dataset] if name in known[dataset]]
    p_values = holm(
        [p_value(known[dataset][name], new[dataset][name], categories.get(name, ())) for dataset, name in compared]
    )
    found: dict[str, list[Drift]] = {dataset: [] for dataset in new}
    distances = {dataset: _distances(known[dataset], new[dataset], categories, thresholds) for dataset in new}
    for (dataset, name), p in zip(compared, p_values, strict=True):
        both = known[dataset][name], new[dataset][name]
        found[dataset].append(Drift(name, *both, tuple(categories.get(name, ())), *distances[dataset][name], p))
    for of in found.values():
        of.sort(key=lambda drift: (drift.drifted, drift.distance - drift.threshold), reverse=True)
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979): the i-th smallest of m times m - i + 1, none below the last."""
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    corrected[order] = np.maximum.accumulate(np.sort(p_values) * np.arange(len(p_values), 0, -1)).clip(max=1.0)
    return corrected.tolist()


def p_value(known: np.ndarray, new: np.ndarray, categories: Sequence[str]) -> float:
    """How likely such a difference, or a larger one, is among images of one kind; `categories` none for a number."""
    if not categories:
        return float(stats.ks_2samp(known, new).pvalue)
    counts = np.array([np.bincount(indices.astype(int), minlength=len(categories)) for indices in (known, new)])
    if len(categories) > 2:
        # The test is one for many: classes that are expected fewer times than that on either side are taken together.
        expected = counts.sum(axis=0) / counts.sum() * counts.sum(axis=1).min()
        rare = expected < _LEAST_EXPECTED
        counts = np.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1)])
    counts = counts[:, counts.any(axis=0)]
    if counts.shape[1] < 2:
        return 1.0
    if counts.shape[1] == 2:
        return float(stats.fisher_exact(counts)[1])
    return float(stats.chi2_contingency(counts).pvalue)


def _distances(known, new, categories, thresholds) -> dict[str, tuple[float, float]]:
    """By name TFDV's distance, and its threshold."""
    schema = schema_pb2.Schema()
    for name in new:
        entry = thresholds[_CATEGORY if name in categories else _NUMBER]
        schema.feature.add(name=name, type=entry.type, drift_comparator=entry.drift_comparator)
    # A table of TFDV's has columns of one length: labels may be there of more images than were asked about.
    by_lengths = collections.defaultdict(list)
    for name in new:
        if name in known:
            by_lengths[len(known[name]), len(new[name])].append(name)
    found = {}
    for names in by_lengths.values():
        known_statistics, new_statistics = (
            tfdv.generate_statistics_from_dataframe(
                pd.DataFrame({name: _column(values[name], categories.get(name)) for name in names}), n_jobs=1
            )
            for values in (known, new)
        )
        anomalies = tfdv.validate_statistics(new_statistics, schema, previous_statistics=known_statistics)
        found |= {
            info.path.step[0]: (measurement.value, measurement.threshold)
            for info in anomalies.drift_skew_info
            for measurement in info.drift_measurements
        }
    return found


def _column(values, categories):
    return values if categories is None else [categories[int(index)] for index in values]


def read_thresholds() -> dict[str, schema_pb2.Feature]:
    """The entries of schemas/drift.pbtxt by name; ValueError, naming it, for what can't be such a file."""
    try:
        entries = text_format.Parse(THRESHOLDS.read_text(encoding="utf-8"), schema_pb2.Schema()).feature
    except text_format.ParseError as error:
        raise ValueError(f"{THRESHOLDS} can't be read: {error}") from error
    found = {entry.name: entry for entry in entries}
    if found.keys() != {_NUMBER, _CATEGORY}:
        raise ValueError(f"{THRESHOLDS} has the entries {', '.join(found)}; expected {_NUMBER} and {_CATEGORY}.")
    for name, comparator in ((_NUMBER, "jensen_shannon_divergence"), (_CATEGORY, "infinity_norm")):
        said = [field.name for field, _ in found[name].drift_comparator.ListFields()]
        if said != [comparator]:
            raise ValueError(f"{THRESHOLDS}: {name} has {', '.join(said) or 'no comparator'}; expected {comparator}.")
        threshold = getattr(found[name].drift_comparator, comparator).threshold
        if not 0 <= threshold < 1:
            raise ValueError(f"{THRESHOLDS}: the {comparator} of {name} is from 0 to below 1; received {threshold}.")
    return found
