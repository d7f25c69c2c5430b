"""The records of an Examples artifact, as components read and write them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

import apache_beam as beam
import tensorflow as tf
from tfx import types
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils

from components.beam_workers import has_one_worker


def copy_format(source: types.Artifact, target: types.Artifact) -> None:
    """Gives `target` the split names and the format of `source`; ValueError if that isn't tf.Example in TFRecords."""
    payload, file_format = examples_utils.get_payload_format(source), examples_utils.get_file_format(source)
    if payload != example_gen_pb2.FORMAT_TF_EXAMPLE or file_format != "tfrecords_gzip":
        raise ValueError(
            "Face records are read as FORMAT_TF_EXAMPLE in tfrecords_gzip; the examples are "
            f"{example_gen_pb2.PayloadFormat.Name(payload)} in {file_format}. Set ExampleGen's output format."
        )
    target.split_names = source.split_names
    examples_utils.set_payload_format(target, payload)
    examples_utils.set_file_format(target, file_format)


def split_files(examples: types.Artifact, splits: Sequence[str]) -> dict[str, list[str]]:
    """The files of each of the splits, in order."""
    patterns = {split: examples_utils.get_split_file_patterns([examples], split)[0] for split in splits}
    return {split: sorted(tf.io.gfile.glob(pattern)) for split, pattern in patterns.items()}


def count_records(files: Sequence[str]) -> int:
    """Records in gzipped TFRecord files: 10,000 take less than a second, where a model takes a minute for them."""
    return sum(1 for _ in tf.data.TFRecordDataset(files, compression_type="GZIP")) if files else 0


class ReadSplits(beam.PTransform):
    """Every record of every split as (split, serialized tf.Example).

    One worker keeps their order, run for run, and never holds more than it works on; several get a share each, however
    few the files are.

    Args:
        files: of each split, gzipped TFRecords.
    """

    def __init__(self, files: Mapping[str, Sequence[str]]):
        super().__init__()
        self._files = [(split, file) for split, files in files.items() for file in files]

    def expand(self, begin):
        spread = not has_one_worker(begin.pipeline.options)
        files = begin | "Files" >> beam.Create(self._files, reshuffle=spread)
        # Not ReadFromTFRecord for each split: a Flatten over them would hold all records in memory.
        records = files | "Read" >> beam.FlatMap(_records).with_output_types(tuple[str, bytes])
        return records | "Spread" >> beam.Reshuffle() if spread else records


class WriteSplits(beam.PTransform):
    """Writes (split, serialized tf.Example) to the files of its split, under ExampleGen's file name.

    TFX's WriteSplit would shuffle, see has_one_worker.

    Args:
        examples: the artifact to write.
        splits: that elements may have; one without elements gets a file without records.
    """

    def __init__(self, examples: types.Artifact, splits: Sequence[str]):
        super().__init__()
        self._folders = {split: artifact_utils.get_split_uri([examples], split) for split in splits}

    def expand(self, records):
        return [
            records
            | f"Only[{split}]" >> beam.Filter(_is_in, split)
            | f"Record[{split}]" >> beam.Values()
            | f"Write[{split}]"
            >> beam.io.WriteToTFRecord(os.path.join(folder, "data_tfrecord"), file_name_suffix=".gz")
            for split, folder in self._folders.items()
        ]


def _records(element: tuple[str, str]) -> Iterator[tuple[str, bytes]]:
    split, file = element
    for record in tf.data.TFRecordDataset(file, compression_type="GZIP"):
        yield split, record.numpy()


def _is_in(element: tuple[str, bytes], split: str) -> bool:
    return element[0] == split
