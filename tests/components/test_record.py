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
    attributes=np.array([0, 1, 1, 0]),
    landmarks=np.array([[0.25, -0.125], [1.5, 0.1]], np.float32),
    parsing=b"\x89PNG",
    emotion=0,
    clothing=18,
    soft_attributes=np.array([0, 0.25, 0.1, 1], np.float32),
    soft_clothing=np.array([0.9, 0.2], np.float32),
    crop=(0.25, 0.125, 0.5, 0.875),
)
OPTIONAL = {
    "attributes": "attributes",
    "landmarks": "landmarks",
    "parsing": "parsing/encoded",
    "emotion": "emotion",
    "clothing": "clothing",
    "soft_attributes": "attributes/soft",
    "soft_clothing": "clothing/soft",
    "crop": "image/crop",
}


def round_trip(record: FaceRecord) -> FaceRecord:
    return FaceRecord.from_example(tf.train.Example.FromString(record.to_example().SerializeToString()))


def assert_equal(record: FaceRecord, other: FaceRecord) -> None:
    for field in dataclasses.fields(FaceRecord):
        ours, theirs = getattr(record, field.name), getattr(other, field.name)
        assert (ours is None) == (theirs is None), field.name
        np.testing.assert_array_equal(ours, theirs)


def test_a_full_record_comes_back():
    back = round_trip(FULL)
    assert_equal(back, FULL)
    assert back.landmarks.dtype == back.soft_attributes.dtype == back.soft_clothing.dtype == np.float32
    assert back.landmarks.shape == (2, 2)
    assert back.crop == FULL.crop


@pytest.mark.parametrize("field", OPTIONAL)
def test_what_is_not_annotated_is_not_in_the_example(field):
    record = dataclasses.replace(FULL, **{field: None})
    assert OPTIONAL[field] not in record.to_example().features.feature
    assert_equal(round_trip(record), record)


def test_class_0_is_an_annotation():
    assert round_trip(FULL).emotion == 0


def test_a_crop_comes_back_as_a_tuple_of_single_precision():
    crop = round_trip(dataclasses.replace(FULL, crop=(0.2, 0.2, 0.6, 0.6))).crop
    assert isinstance(crop, tuple)
    assert crop == tuple(np.float32([0.2, 0.2, 0.6, 0.6]).tolist())


def test_a_picture_alone():
    record = FaceRecord("a", "test", b"picture")
    assert record.to_example().features.feature.keys() == {"image/encoded", "image/id", "dataset"}
    assert_equal(round_trip(record), record)


def test_the_schema_names_the_same_features_with_their_types():
    schema = text_format.Parse(SCHEMA.read_text(), schema_pb2.Schema())
    kinds = {"bytes_list": "BYTES", "int64_list": "INT", "float_list": "FLOAT"}
    example = FULL.to_example().features.feature
    assert {name: kinds[feature.WhichOneof("kind")] for name, feature in example.items()} == {
        feature.name: schema_pb2.FeatureType.Name(feature.type) for feature in schema.feature
    }
    assert all(f.value_count.min == f.value_count.max == 4 for f in schema.feature if f.name == "image/crop")
    required = {feature.name for feature in schema.feature if feature.presence.min_fraction == 1}
    assert required == example.keys() - OPTIONAL.values()
