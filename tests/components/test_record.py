"""FaceRecord: what goes into a tf.Example comes back, and what is not annotated is not there."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from components.record import FaceRecord

FULL = FaceRecord(
    id="gesicht_ä_顔.jpg",
    dataset="test",
    image=b"\xff\xd8 not decoded here \x00\xff",
    labels={
        "attributes": np.array([0, 1, -1, 0]),
        "landmarks": np.array([[0.25, -0.125], [1.5, 0.1]], np.float32),
        "parsing": b"\x89PNG",
        "emotion": 0,
        "age": 27.5,
    },
    soft={"attributes": np.array([0, 0.25, 0.1, 1], np.float32), "clothing": np.array([0.9, 0.2], np.float32)},
    crop=(0.25, 0.125, 0.5, 0.875),
)
FEATURES = {
    "image/encoded": "bytes_list",
    "image/id": "bytes_list",
    "dataset": "bytes_list",
    "image/crop": "float_list",
    "attributes": "int64_list",
    "landmarks": "float_list",
    "parsing/encoded": "bytes_list",
    "emotion": "int64_list",
    "age": "float_list",
    "attributes/soft": "float_list",
    "clothing/soft": "float_list",
}


def round_trip(record: FaceRecord) -> FaceRecord:
    return FaceRecord.from_example(tf.train.Example.FromString(record.to_example().SerializeToString()))


def assert_equal(back: FaceRecord, record: FaceRecord) -> None:
    """Arrays come back flat, and numbers as arrays of one."""
    for name in ("id", "dataset", "image", "crop"):
        assert getattr(back, name) == getattr(record, name)
    for found, expected in ((back.labels, record.labels), (back.soft, record.soft)):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert (
                found[name] == value if isinstance(value, bytes) else found[name].tolist() == np.ravel(value).tolist()
            )


def test_a_full_record_comes_back():
    back = round_trip(FULL)
    assert_equal(back, FULL)
    assert back.labels["landmarks"].dtype == back.soft["attributes"].dtype == back.labels["age"].dtype == np.float32
    assert back.labels["attributes"].dtype == back.labels["emotion"].dtype == np.int64


def test_the_features_by_name_and_type():
    features = FULL.to_example().features.feature
    assert {name: feature.WhichOneof("kind") for name, feature in features.items()} == FEATURES


@pytest.mark.parametrize("label", FULL.labels)
def test_what_is_not_annotated_is_not_in_the_example(label):
    labels = {name: value for name, value in FULL.labels.items() if name != label}
    record = dataclasses.replace(FULL, labels=labels)
    features = record.to_example().features.feature
    assert features.keys() == FEATURES.keys() - {label, f"{label}/encoded"}
    assert_equal(round_trip(record), record)


def test_a_feature_without_a_value_is_no_label():
    example = dataclasses.replace(FULL, labels={"emotion": 3}, crop=None).to_example()
    example.features.feature["image/crop"].float_list.SetInParent()
    assert FaceRecord.from_example(example).crop is None


def test_a_crop_comes_back_as_a_tuple_of_single_precision():
    crop = round_trip(dataclasses.replace(FULL, crop=(0.2, 0.2, 0.6, 0.6))).crop
    assert isinstance(crop, tuple)
    assert crop == tuple(np.float32([0.2, 0.2, 0.6, 0.6]).tolist())


def test_an_image_alone():
    record = FaceRecord("a", "test", b"image")
    assert record.to_example().features.feature.keys() == {"image/encoded", "image/id", "dataset"}
    assert_equal(round_trip(record), record)
