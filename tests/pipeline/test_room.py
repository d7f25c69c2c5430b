"""Bytes that a run's records take, against sizes that are known."""

import itertools

import pytest

from components.config import Data, DatasetConfig, Teacher
from components.datasets.base import FaceDataset, Reference
from components.record import FaceRecord
from pipeline.room import records_room


class Growing(FaceDataset):
    """200 records whose images have 1,000, 2,000, ... bytes."""

    def paths(self):
        return []

    def references(self):
        return (Reference(str(i), "train", i) for i in range(200))

    def read(self, reference):
        return bytes(1000 * (1 + reference.payload)), {}


def test_records_by_some_of_them_and_images_by_their_pixels():
    data = Data((DatasetConfig("growing"),), image_size=(100, 50))
    mean = 99_000  # of every fourth: 1,000, 5,000, ... 197,000 bytes
    beside = len(FaceRecord("0", "growing", b"").to_example().SerializeToString())
    assert records_room(data, [Growing()]) == pytest.approx(200 * (mean + beside + 0.6 * 100 * 50), rel=1e-3)


@pytest.mark.parametrize("annotated, taught", itertools.product((False, True), repeat=2))
def test_who_adds_labels_writes_all_records_again(annotated, taught):
    teachers = (Teacher("attributes", "a/b"),) if taught else ()
    data = Data((DatasetConfig("growing"),), (1, 1), "landmarks" if annotated else "", teachers)
    alone = records_room(Data(data.datasets, (1, 1)), [Growing()])
    assert records_room(data, [Growing()]) == pytest.approx(alone * (1 + annotated + taught), rel=1e-3)


def test_what_will_be_quarantined_takes_nothing(monkeypatch):
    def lost(self, reference):
        raise OSError("gone")

    monkeypatch.setattr(Growing, "read", lost)
    assert records_room(Data((DatasetConfig("growing"),), (10, 10)), [Growing()]) == 200 * 60
