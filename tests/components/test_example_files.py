"""Splits as files: read in order, written apart, in one format only."""

from pathlib import Path

import apache_beam as beam
import pytest
import tensorflow as tf
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts

from components.example_files import ReadSplits, WriteSplits, copy_format, count_records, split_files


def artifact(folder: Path, splits):
    examples = standard_artifacts.Examples()
    examples.uri = str(folder)
    examples.split_names = artifact_utils.encode_split_names(list(splits))
    return examples


def write(folder: Path, splits):
    """{split: shards of records} as an Examples artifact."""
    examples = artifact(folder, splits)
    for split, shards in splits.items():
        place = Path(artifact_utils.get_split_uri([examples], split))
        place.mkdir(parents=True)
        for number, records in enumerate(shards):
            with tf.io.TFRecordWriter(str(place / f"data_tfrecord-{number:05}-of-00002.gz"), "GZIP") as writer:
                for record in records:
                    writer.write(record)
    return examples


def contents(examples, splits):
    return {
        split: [r.numpy() for r in tf.data.TFRecordDataset(files, "GZIP")] if files else None
        for split, files in split_files(examples, splits).items()
    }


SPLITS = {"train": [[b"a", b"b", b"c"], [b"d"]], "validation": [[b"e", b"f"]], "test": [[]]}


@pytest.mark.parametrize("beam_args", [[], ["--direct_running_mode=multi_threading", "--direct_num_workers=2"]])
def test_what_is_read_is_written_to_its_split(tmp_path, beam_args):
    source, target = write(tmp_path / "in", SPLITS), artifact(tmp_path / "out", SPLITS)
    with beam.Pipeline(argv=beam_args) as pipeline:
        _ = pipeline | ReadSplits(split_files(source, list(SPLITS))) | WriteSplits(target, list(SPLITS))
    found = contents(target, SPLITS)
    if not beam_args:  # one worker keeps the order
        assert found == {"train": [b"a", b"b", b"c", b"d"], "validation": [b"e", b"f"], "test": []}
    assert {split: sorted(records) for split, records in found.items()} == contents(source, SPLITS)


def test_splits_without_files(tmp_path):
    source, target = write(tmp_path / "in", {"train": []}), artifact(tmp_path / "out", ["train"])
    with beam.Pipeline() as pipeline:
        _ = pipeline | ReadSplits(split_files(source, ["train"])) | WriteSplits(target, ["train"])
    assert contents(target, ["train"]) == {"train": []}


def test_records_are_counted(tmp_path):
    files = split_files(write(tmp_path / "in", SPLITS), list(SPLITS))
    assert {split: count_records(names) for split, names in files.items()} == {"train": 4, "validation": 2, "test": 0}
    assert count_records([]) == 0


def test_other_formats_are_refused():
    examples = standard_artifacts.Examples()
    examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_PARQUET)
    with pytest.raises(ValueError, match="FORMAT_PARQUET"):
        copy_format(examples, standard_artifacts.Examples())
