"""Composes the schema of a run's records."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.config import Data, from_json
from components.datasets import build_dataset
from components.datasets.binding import annotation
from components.example_files import split_files
from components.schema_gen.frames import measured_frames, write_frames
from components.tasks.base import labels_of

# Read where the step runs: a container has the project in another place.
_EVERY_RECORD = pathlib.Path(__file__).parents[2] / "schemas" / "face_record.pbtxt"
_ENCODED = "/encoded"
_FILE_NAME = "schema.pbtxt"  # as TFX's components look for it


class Executor(base_executor.BaseExecutor):
    """Executor of RecordSchemaGen."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the schema of `record_schema`, with the frames of the data sets' training images, and its part."""
        self._log_startup(input_dict, output_dict, exec_properties)
        data: Data = from_json(exec_properties["data"])
        schema = record_schema(data)
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        splits = data.splits("train")
        files = split_files(examples, list(splits.values()))
        write_frames(measured_frames({dataset: files[split] for dataset, split in splits.items()}), schema)
        for output, content in (("schema", schema), ("statistics_schema", statistics_schema(schema))):
            path = os.path.join(artifact_utils.get_single_uri(output_dict[output]), _FILE_NAME)
            io_utils.write_pbtxt_file(path, content)


def record_schema(data: Data) -> schema_pb2.Schema:
    """What every record has, the labels that the data sets keep or dlib marks, and the teachers' soft labels.

    Raises:
        ValueError: if several of the data sets keep a label.
    """
    schema = text_format.Parse(_EVERY_RECORD.read_text(encoding="utf-8"), schema_pb2.Schema())
    for label in dict.fromkeys(_labels(data)):
        schema.feature.append(labels_of(label, annotation(data, label)).schema())
    for teacher in data.teachers:
        schema.feature.add(name=f"{teacher.task}/soft", type=schema_pb2.FLOAT)
    return schema


def statistics_schema(schema: schema_pb2.Schema) -> schema_pb2.Schema:
    """Without encoded images and label maps: as values they say nothing, and megabytes of them go through each step."""
    described = schema_pb2.Schema()
    described.CopyFrom(schema)
    del described.feature[:]
    described.feature.extend(feature for feature in schema.feature if not feature.name.endswith(_ENCODED))
    return described


def _labels(data: Data) -> Iterator[str]:
    for dataset in data.datasets:
        yield from build_dataset(dataset, None).annotations if dataset.labels is None else dataset.labels
    if data.annotate_landmarks:
        yield data.annotate_landmarks
