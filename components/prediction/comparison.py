"""New pictures against those that a model knows: how far apart, and whether by more than chance."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from scipy import stats
from tensorflow_metadata.proto.v0 import schema_pb2

from components.serving.reference import Values

CHANCE = 0.01  # how often, among all that is compared, something that is alike would be called different
_BARS = pathlib.Path(__file__).parents[2] / "schemas" / "drift.pbtxt"


@dataclasses.dataclass(frozen=True, eq=False)
class Difference:
    """One number or word of two groups of images.

    Attributes:
        name: what was compared.
        known, new: [N] of the model's own images and of the others; of words their places.
        words: by their places; empty for a number.
        distance: as schemas/drift.pbtxt has it.
        bar: the distance from which on it counts.
        chance: how likely such a difference, or a larger one, is among so many comparisons of images of one kind.
    """

    name: str
    known: np.ndarray
    new: np.ndarray
    words: tuple[str, ...]
    distance: float
    bar: float
    chance: float

    @property
    def beyond_chance(self) -> bool:
        """Whether the images are of two kinds, as far as this goes."""
        return self.chance < CHANCE

    @property
    def counts(self) -> bool:
        """Whether they are, and further apart than the bar."""
        return self.beyond_chance and self.distance > self.bar

    def sentence(self) -> str:
        """`brightness: 0.210 on average instead of 0.480`, `emotion: happy 12.0 % instead of 40.0 %`."""
        if not self.words:
            return f"{self.name}: {self.new.mean():.3f} on average instead of {self.known.mean():.3f}"
        known, new = (shares(values, len(self.words)) for values in (self.known, self.new))
        # Of yes and no, yes.
        place = 1 if self.words == ("no", "yes") else int(np.abs(new - known).argmax())
        return f"{self.name}: {self.words[place]} {100 * new[place]:.1f} % instead of {100 * known[place]:.1f} %"


def shares(places: np.ndarray, count: int) -> np.ndarray:
    """[count]: how large a share of `places` each is."""
    return np.bincount(places.astype(int), minlength=count) / max(len(places), 1)


def differences(known: Values, new: Values, words: Mapping[str, Sequence[str]]) -> list[Difference]:
    """What both have, the largest distances first.

    Distances are TFDV's. Numbers differ beyond chance by the two-sample Kolmogorov-Smirnov test, words by the χ² test
    of homogeneity, with Holm's correction for how many are compared.

    Args:
        known, new: values of at least one image each.
        words: of components.serving.reference.categories.
    """
    names = [name for name in known if name in new]
    if not names:
        return []
    distances = _distances({name: known[name] for name in names}, {name: new[name] for name in names}, words)
    chances = holm([_chance(known[name], new[name], words.get(name)) for name in names])
    found = [
        Difference(name, known[name], new[name], tuple(words.get(name, ())), *distances[name], chance)
        for name, chance in zip(names, chances, strict=True)
    ]
    return sorted(found, key=lambda difference: -difference.distance / difference.bar)


def holm(chances: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979): the i-th smallest of m times m - i + 1, none below the last."""
    order = np.argsort(chances, kind="stable")
    corrected = np.empty(len(chances))
    corrected[order] = np.maximum.accumulate(np.sort(chances) * np.arange(len(chances), 0, -1)).clip(max=1.0)
    return corrected.tolist()


def _chance(known, new, words):
    if words is None:
        return stats.ks_2samp(known, new).pvalue
    counts = np.array([np.bincount(values.astype(int), minlength=len(words)) for values in (known, new)])
    counts = counts[:, counts.any(axis=0)]
    return stats.chi2_contingency(counts).pvalue if counts.shape[1] > 1 else 1.0


def _distances(known, new, words) -> dict[str, tuple[float, float]]:
    """By name TFDV's distance and its bar."""
    bars = {bar.name: bar for bar in text_format.Parse(_BARS.read_text(), schema_pb2.Schema()).feature}
    schema = schema_pb2.Schema()
    for name in known:
        bar = bars["word" if name in words else "number"]
        schema.feature.add(name=name, type=bar.type, drift_comparator=bar.drift_comparator)
    known_statistics, new_statistics = (
        tfdv.generate_statistics_from_dataframe(_frame(values, words), n_jobs=1) for values in (known, new)
    )
    anomalies = tfdv.validate_statistics(new_statistics, schema, previous_statistics=known_statistics)
    return {
        info.path.step[0]: (measurement.value, measurement.threshold)
        for info in anomalies.drift_skew_info
        for measurement in info.drift_measurements
    }


def _frame(values, words):
    columns = {
        name: [words[name][int(place)] for place in of_images] if name in words else of_images
        for name, of_images in values.items()
    }
    return pd.DataFrame(columns)
