"""FaceRecord: what goes into a tf.Example comes back, and what is not annotated is not there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.record import FaceRecord

SCHEMA = Path(__file__).parents[2] / "schemas" / "face_record.pbtxt"
FULL = FaceRecord(
    id="gesicht_ä_顔.jpg",
    dataset="test",
    image=b"\xff\xd8 not decoded here \x00\xff",
    labels={
        "attributes": np.array([0, 1, -1, 0]),
        "landmarks": np.array([[0.25, -0.125], [1.5, 0.1]], np.float32),
        "parsing": b"\x89PNG",
        "emotion": 0,
        "age": 31.5,
    },
    soft={"attributes": np.array([0, 0.25, 0.1, 1], np.float32), "clothing": np.array([0.9, 0.2], np.float32)},
    crop=(0.25, 0.125, 0.5, 0.875),
)
ALWAYS = {"image/encoded", "image/id", "dataset"}
LABELS = {"attributes", "landmarks", "parsing/encoded", "emotion", "age"}
SOFT = {"attributes/soft", "clothing/soft"}


def round_trip(record: FaceRecord) -> FaceRecord:
    return FaceRecord.from_example(tf.train.Example.FromString(record.to_example().SerializeToString()))


def assert_equal(back: FaceRecord, record: FaceRecord) -> None:
    """As from_example has it: arrays are flat, and numbers are arrays of one."""
    assert (back.id, back.dataset, back.image, back.crop) == (record.id, record.dataset, record.image, record.crop)
    for theirs, ours in ((back.labels, record.labels), (back.soft, record.soft)):
        assert theirs.keys() == ours.keys()
        for name, value in ours.items():
            assert isinstance(theirs[name], bytes) == isinstance(value, bytes), name
            np.testing.assert_array_equal(theirs[name], value if isinstance(value, bytes) else np.ravel(value))


def test_a_full_record_comes_back():
    back = round_trip(FULL)
    assert_equal(back, FULL)
    assert back.labels["attributes"].dtype == back.labels["emotion"].dtype == np.int64
    assert back.labels["landmarks"].dtype == back.labels["age"].dtype == back.soft["clothing"].dtype == np.float32


def test_names_of_features():
    assert FULL.to_example().features.feature.keys() == ALWAYS | LABELS | SOFT | {"image/crop"}


@pytest.mark.parametrize("label", FULL.labels)
def test_what_is_not_annotated_is_not_in_the_example(label):
    record = dataclasses.replace(FULL, labels={name: each for name, each in FULL.labels.items() if name != label})
    assert not {label, f"{label}/encoded"} & record.to_example().features.feature.keys()
    assert_equal(round_trip(record), record)


def test_class_0_is_an_annotation():
    assert round_trip(FULL).labels["emotion"].tolist() == [0]


def test_a_crop_comes_back_as_a_tuple_of_single_precision():
    crop = round_trip(dataclasses.replace(FULL, crop=(0.2, 0.2, 0.6, 0.6))).crop
    assert isinstance(crop, tuple)
    assert crop == tuple(np.float32([0.2, 0.2, 0.6, 0.6]).tolist())


def test_an_image_alone():
    record = FaceRecord("a", "test", b"image")
    assert record.to_example().features.feature.keys() == ALWAYS
    assert_equal(round_trip(record), record)


def test_the_schema_has_what_every_record_has_with_its_type():
    schema = text_format.Parse(SCHEMA.read_text(), schema_pb2.Schema())
    types = {feature.name: schema_pb2.FeatureType.Name(feature.type) for feature in schema.feature}
    kinds = {"bytes_list": "BYTES", "int64_list": "INT", "float_list": "FLOAT"}
    example = FULL.to_example().features.feature
    for name in ALWAYS | {"image/crop"}:
        assert types[name] == kinds[example[name].WhichOneof("kind")], name
    assert all(f.value_count.min == f.value_count.max == 4 for f in schema.feature if f.name == "image/crop")
    assert {feature.name for feature in schema.feature if feature.presence.min_fraction == 1} == ALWAYS
