"""One number an image: what a record may say, and what Transform leaves of it."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from components.images.crop import WHOLE
from components.record import RecordError
from components.tasks.annotation import Annotation
from components.tasks.base import labels_of

AGE = labels_of("age", Annotation("regression"))


def test_schema():
    feature = AGE.schema()
    assert (feature.name, feature.type) == ("age", schema_pb2.FLOAT)
    assert (feature.value_count.min, feature.value_count.max) == (1, 1)
    assert not feature.HasField("presence"), "a record may lack it"


@pytest.mark.parametrize("value", [31.5, 0.0, -4.0, np.float32(31.5), np.array([31.5], np.float32)])
def test_one_finite_number_is_a_label(value):
    AGE.check(value, b"")


@pytest.mark.parametrize(
    ("value", "received"),
    [
        (float("nan"), "nan"),
        (np.array([np.inf]), r"\[inf\]"),
        (np.array([30.0, 31.0]), r"\[30.0, 31.0\]"),
        (np.array([]), r"\[\]"),
        (31, "31"),  # would be stored as an integer
    ],
)
def test_anything_else_is_none(value, received):
    with pytest.raises(RecordError, match=f"^age: {received}, expected one finite float$"):
        AGE.check(value, b"")


def test_of_a_batch_what_is_not_annotated_is_nan():
    sparse = tf.SparseTensor([[0, 0], [2, 0]], [31.5, -4.0], [3, 1])
    ages = AGE.transform(sparse, tf.constant([WHOLE] * 3), (8, 8))
    assert ages.keys() == {"age"} and ages["age"].dtype == tf.float32
    np.testing.assert_array_equal(ages["age"], [31.5, np.nan, -4.0])
    none = AGE.transform(tf.SparseTensor(tf.zeros([0, 2], tf.int64), tf.zeros([0]), [2, 0]), None, (8, 8))["age"]
    np.testing.assert_array_equal(none, [np.nan, np.nan])


def test_two_numbers_of_a_record_are_refused():
    with pytest.raises(tf.errors.InvalidArgumentError, match="age: a record should have 1 values or none"):
        AGE.transform(tf.SparseTensor([[0, 0], [0, 1]], [31.5, -4.0], [1, 2]), None, (8, 8))


def test_what_transform_gave_is_read():
    example = tf.train.Example()
    example.features.feature["age"].float_list.value.append(31.5)
    features = tf.io.parse_single_example(example.SerializeToString(), AGE.parsing_spec())
    (label,) = AGE.parse(features, (8, 8)).items()
    assert label == ("age", 31.5) and label[1].shape == ()


def test_an_image_may_be_moved_and_its_number_stays():
    for moved in (
        AGE.mirror(tf.constant(31.5)),
        AGE.shift(tf.constant(31.5), tf.constant([3, 4]), (8, 8)),
        AGE.warp(tf.constant(31.5), tf.eye(3), (8, 8)),
    ):
        assert moved == 31.5
