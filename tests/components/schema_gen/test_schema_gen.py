"""The schema of a run's records: composed of what every record has and of the labels that are kept."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tensorflow_transform.tf_metadata import schema_utils
from tfx.types import channel_utils, standard_artifacts

from components.config import Data, DatasetConfig, Teacher, to_json
from components.datasets import build_dataset
from components.schema_gen import RecordSchemaGen
from components.schema_gen.executor import Executor, record_schema, statistics_schema
from components.schema_gen.frames import read_frames
from tests.support import tiny_faces
from tests.support.photographs import CELEB_A, needs_celeb_a

DRAWN = DatasetConfig("synthetic_faces", {"num_train": 4, "num_validation": 0, "num_test": 0})
# What schemas/face_record.pbtxt said of the five labels when it was one text for all data sets. Since then an attribute
# may be -1, not annotated, and the classes have a last one.
ALL_IN_ONE = """
feature { name: "image/encoded" type: BYTES presence { min_fraction: 1.0 } shape { dim { size: 1 } } }
feature { name: "image/id" type: BYTES presence { min_fraction: 1.0 } shape { dim { size: 1 } } }
feature { name: "dataset" type: BYTES presence { min_fraction: 1.0 } shape { dim { size: 1 } } }
feature { name: "attributes" type: INT int_domain { min: -1 max: 1 is_categorical: true } }
feature { name: "landmarks" type: FLOAT }
feature { name: "parsing/encoded" type: BYTES }
feature {
  name: "emotion" type: INT int_domain { min: 0 max: 6 is_categorical: true } value_count { min: 1 max: 1 }
}
feature {
  name: "clothing" type: INT int_domain { min: 0 max: 9 is_categorical: true } value_count { min: 1 max: 1 }
}
feature { name: "attributes/soft" type: FLOAT }
feature { name: "clothing/soft" type: FLOAT }
feature { name: "image/crop" type: FLOAT value_count { min: 4 max: 4 } }
"""
EXAMPLES = channel_utils.as_channel([standard_artifacts.Examples()])
EVERY_RECORD = {"image/encoded", "image/id", "dataset", "image/crop"}


def features(schema) -> dict[str, schema_pb2.Feature]:
    found = {feature.name: feature for feature in schema.feature}
    assert len(found) == len(schema.feature)
    return found


def labels(data: Data) -> dict[str, schema_pb2.Feature]:
    return {name: each for name, each in features(record_schema(data)).items() if name not in EVERY_RECORD}


def test_of_drawn_faces_it_is_what_it_was():
    data = Data((DRAWN,), teachers=(Teacher("attributes", "a"), Teacher("clothing", "b")))
    assert features(record_schema(data)) == features(text_format.Parse(ALL_IN_ONE, schema_pb2.Schema()))


def test_what_is_not_kept_is_not_in_it():
    faces = DatasetConfig("faces", builder="synthetic_faces", labels=("attributes", "parsing"))
    points = DatasetConfig("mtfl", labels=("landmarks",))
    assert set(labels(Data((faces,)))) == {"attributes", "parsing/encoded"}
    assert set(labels(Data((faces, points)))) == {"attributes", "parsing/encoded", "landmarks"}


def test_statistics_are_of_all_but_encoded_images_and_label_maps():
    whole = features(record_schema(Data((DRAWN,))))
    described = features(statistics_schema(record_schema(Data((DRAWN,)))))
    assert whole.keys() - described.keys() == {"image/encoded", "parsing/encoded"}
    assert all(whole[name] == feature for name, feature in described.items())


@pytest.mark.parametrize("label", ["landmarks", "points"])
def test_the_annotator_s_label_is_in_it_once(label):
    assert labels(Data((DRAWN,), annotate_landmarks=label))[label] == schema_pb2.Feature(
        name=label, type=schema_pb2.FLOAT
    )


def test_two_data_sets_with_a_label():
    data = Data(tuple(DatasetConfig(name, builder="synthetic_faces", labels=("emotion",)) for name in "ab"))
    with pytest.raises(ValueError, match="a, b give 'emotion'; expected one"):
        record_schema(data)


@pytest.fixture
def records():
    builder = build_dataset(DRAWN, None)
    return [builder.load(reference).to_example().SerializeToString() for reference in builder.references()]


def written(folder: Path, data: Data, records: list[bytes]) -> schema_pb2.Schema:
    """The schema as the step writes it, of training records."""
    examples, whole, described = standard_artifacts.Examples(), standard_artifacts.Schema(), standard_artifacts.Schema()
    examples.uri, whole.uri, described.uri = (str(folder / name) for name in ("examples", "whole", "described"))
    examples.split_names = '["train"]'
    tiny_faces.write(folder / "examples" / "Split-train", records)
    inputs = {"examples": [examples]}
    outputs = {"schema": [whole], "statistics_schema": [described]}
    Executor().Do(inputs, outputs, {"data": to_json(data), "code_version": "1"})
    schema, part = (tfdv.load_schema_text(f"{output.uri}/schema.pbtxt") for output in (whole, described))
    assert part == statistics_schema(schema)
    return schema


def test_transform_and_validation_read_what_the_step_writes(tmp_path, records):
    schema = written(tmp_path, Data((DRAWN,)), records)
    assert schema == record_schema(Data((DRAWN,)))
    parsed = tf.io.parse_example(records, schema_utils.schema_as_feature_spec(schema).feature_spec)
    assert parsed["attributes"].shape == (4, 40) and parsed["emotion"].shape == (4, 1)
    assert parsed["image/crop"].shape[0] == 4 and parsed["image/crop"].values.shape == (0,)
    assert tf.io.decode_image(parsed["image/encoded"].numpy()[0, 0]).shape == (128, 128, 3)


def anomalies(records, schema, tmp_path) -> dict[str, anomalies_pb2.AnomalyInfo]:
    path = str(tmp_path / "records")
    with tf.io.TFRecordWriter(path) as writer:
        for record in records:
            writer.write(record)
    described = statistics_schema(schema)
    options = tfdv.StatsOptions(feature_allowlist=[feature.name for feature in described.feature])
    statistics = tfdv.generate_statistics_from_tfrecord(path, stats_options=options)
    return dict(tfdv.validate_statistics(statistics, described).anomaly_info)


def test_only_what_cannot_be_is_an_anomaly(tmp_path, records):
    schema = record_schema(Data((DRAWN,)))
    example = tf.train.Example.FromString(records[0])
    example.features.feature["emotion"].int64_list.value[:] = [7]
    example.features.feature["attributes"].int64_list.value[0] = -1
    assert set(anomalies([*records, example.SerializeToString()], schema, tmp_path)) == {"emotion"}


@needs_celeb_a
def test_what_it_says_of_faces_disturbs_nobody(tmp_path):
    """Photographs have a frame in their schema, and all that reads schemas reads this one."""
    data = Data((DatasetConfig("celeb_a", {"landmarks": False}),))
    builder = build_dataset(data.datasets[0], str(CELEB_A))
    references = itertools.islice(builder.references(), 12)
    records = [builder.load(reference).to_example().SerializeToString() for reference in references]
    schema = written(tmp_path, data, records)
    assert set(read_frames(schema)) == {"celeb_a"}
    assert list(schema.feature) == list(record_schema(data).feature)
    parsed = tf.io.parse_example(records, schema_utils.schema_as_feature_spec(schema).feature_spec)
    assert parsed["attributes"].shape == (12, 40)
    assert not anomalies(records, schema, tmp_path)


def test_the_component_s_key_is_the_data():
    component = RecordSchemaGen(EXAMPLES, data=Data((DRAWN,)), code_version="1")
    assert component.outputs["schema"].type is standard_artifacts.Schema
    assert component.exec_properties["code_version"] == "1"
    assert json.loads(component.exec_properties["data"])["image_size"] == [224, 224]
    other = RecordSchemaGen(EXAMPLES, data=Data((DRAWN,), annotate_landmarks="points"), code_version="1")
    assert other.exec_properties["data"] != component.exec_properties["data"]
