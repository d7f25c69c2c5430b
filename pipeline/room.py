"""How much room a run's records will take, from some of them."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

from components.config import Data
from components.datasets.base import FaceDataset
from components.record import RecordError

_SOME = 50  # records of each data set that are looked at
# Bytes a pixel of what Transform writes, JPEGs of quality 95 with their label maps: 0.44 of CelebAMask-HQ's at 321 px,
# 0.6 of CelebA's at 96 px.
_TRANSFORMED = 0.6


def records_room(data: Data, datasets: Sequence[FaceDataset]) -> int:
    """Bytes that the records take as ingestion, landmark annotator, soft labels and Transform write them, roughly.

    Args:
        datasets: `data.datasets`, built.
    """
    copies = 1 + bool(data.annotate_landmarks) + bool(data.teachers)
    height, width = data.image_size
    room = 0.0
    for dataset in datasets:
        count = sum(1 for _ in dataset.references())
        some = itertools.islice(dataset.references(), 0, None, max(count // _SOME, 1))
        mean = statistics.fmean([_size(dataset, reference) for reference in some] or [0])
        room += count * (copies * mean + _TRANSFORMED * height * width)
    return round(room)


def _size(dataset, reference):
    """Bytes of a record; none of one that will be quarantined."""
    try:
        return dataset.load(reference).to_example().ByteSize()
    except (RecordError, OSError):
        return 0
