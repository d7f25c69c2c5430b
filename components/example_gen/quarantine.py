"""What was put aside: how much of a data set, and for which reasons."""

from __future__ import annotations

import collections
import json
import os
import re
from collections.abc import Iterable, Sequence

import tensorflow as tf

from components.config import Data, DatasetConfig

COUNTS = "counts.json"
NO_SPLIT = "no split"  # of rows that no split has
# Names in quotes, but not what stands between two apostrophes; where something lies in memory; numbers.
_SAID_OF_ONE = re.compile(r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"|0x[0-9a-f]+|\d[\d,.]*")
_SHOWN = 5  # reasons


def quarantined(folder: str) -> list[dict[str, str]]:
    """The rows {"id", "split", "reason"} in the folder that ingestion wrote."""
    files = sorted(tf.io.gfile.glob(os.path.join(folder, "quarantine*.jsonl")))
    return [json.loads(line) for file in files for line in tf.io.gfile.GFile(file)]


def counted_reasons(reasons: Iterable[str]) -> dict[str, int]:
    """Reasons -> how many there are of each, the commonest first.

    Those that differ in what they quote and in numbers alone, an image's name say, are one, with an example.
    """
    kinds: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for reason in reasons:
        kinds[_SAID_OF_ONE.sub("…", reason)][reason] += 1
    counts = {}
    for kind, alike in sorted(kinds.items(), key=lambda item: -item[1].total()):
        example = next(iter(alike))
        counts[example if len(alike) == 1 else f"{kind} (such as: {example})"] = alike.total()
    return counts


def check_losses(configs: Sequence[DatasetConfig], folder: str) -> None:
    """Raises ValueError if more of a data set was put aside than it allows, or all of a split: the rest is no sample.

    A data set that allows all is not looked at.

    Args:
        folder: that ingestion wrote: counts.json and the quarantine.
    """
    with tf.io.gfile.GFile(os.path.join(folder, COUNTS)) as file:
        counts = json.load(file)
    data = Data(tuple(configs))
    for config in configs:
        names = [data.splits(split)[config.name] for split in ("train", "validation", "test", NO_SPLIT)]
        own = {name: counts[name] for name in names if name in counts}
        read, lost = (sum(of[what] for of in own.values()) for what in ("read", "quarantined"))
        empty = [name for name, of in own.items() if of["quarantined"] and not of["kept"] and name != names[-1]]
        if config.max_quarantined == 1 or (lost <= config.max_quarantined * read and not empty):
            continue
        reasons = counted_reasons(row["reason"] for row in quarantined(folder) if row["split"] in own)
        shown = "\n".join(f"  {count:,}: {reason}" for reason, count in [*reasons.items()][:_SHOWN])
        nothing = f", and all of {', '.join(empty)}" if empty else ""
        raise ValueError(
            f"{lost:,} of {read:,} records of {config.name} can't be used{nothing}. The reasons:\n{shown}\nIf that is "
            f"as it should be: SET=data.datasets.{config.name}.max_quarantined=1, which is {config.max_quarantined:g}."
        )
