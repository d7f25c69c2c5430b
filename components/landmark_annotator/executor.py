"""Reads the examples, annotates those without landmarks with Beam, writes them and what was counted."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping

import apache_beam as beam
import tensorflow as tf
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils

from components.beam_workers import has_one_worker
from components.landmark_annotator.detector import LandmarkDetector, decode, require_extra
from components.progress import ShowProgress

EXAMPLES_KEY = "examples"
ANNOTATED_EXAMPLES_KEY = "annotated_examples"
COUNTS_KEY = "counts"
CODE_VERSION_KEY = "code_version"
COUNTS_FILE = "annotation.json"

ANNOTATED, HAD_LANDMARKS, NOT_FOUND = OUTCOMES = ("annotated", "had_landmarks", "not_found")
METRICS_NAMESPACE = "facetfx.LandmarkAnnotator"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Executor of LandmarkAnnotator."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict,
    ) -> None:
        """Writes the annotated splits and the counts; component.py says what they are.

        Raises ModuleNotFoundError without dlib, ValueError if the examples are not tf.Examples in TFRecords.
        """
        require_extra()
        self._log_startup(input_dict, output_dict, exec_properties)
        source = artifact_utils.get_single_instance(input_dict[EXAMPLES_KEY])
        target = artifact_utils.get_single_instance(output_dict[ANNOTATED_EXAMPLES_KEY])
        counts_uri = artifact_utils.get_single_uri(output_dict[COUNTS_KEY])
        copy_format(source, target)

        splits = artifact_utils.decode_split_names(source.split_names)
        patterns = {split: examples_utils.get_split_file_patterns([source], split)[0] for split in splits}
        counts_file = os.path.join(counts_uri, COUNTS_FILE)
        total = sum(count_records(pattern) for pattern in patterns.values())
        with (
            ShowProgress("Annotating landmarks", total, unit="images") as progress,
            self._make_beam_pipeline() as pipeline,
        ):
            annotated = _read(pipeline, patterns) | AnnotateSplits(spread=not has_one_worker(pipeline.options))
            records = annotated.records | progress.count()
            for split in splits:
                # ExampleGen's file name; its WriteSplit would shuffle, see has_one_worker.
                path = os.path.join(artifact_utils.get_split_uri([target], split), "data_tfrecord")
                _ = (
                    records
                    | f"Only[{split}]" >> beam.Filter(_is_in, split)
                    | f"Record[{split}]" >> beam.Values()
                    | f"Write[{split}]" >> beam.io.WriteToTFRecord(path, file_name_suffix=".gz")
                )
            _ = (
                annotated.outcomes
                | beam.combiners.Count.PerElement()
                | beam.combiners.ToDict()
                | "WriteCounts" >> beam.Map(_write_counts, splits, counts_file)
            )
        with tf.io.gfile.GFile(counts_file) as file:
            print(counts_summary(json.load(file)), file=sys.stderr, flush=True)


class AnnotateSplits(beam.PTransform):
    """(split, serialized tf.Example) -> .records: the pairs, annotated; .outcomes: (split, one of OUTCOMES).

    Args:
        spread: whether to send the records to all workers: a split may be one file, which one worker reads.
    """

    def __init__(self, spread: bool):
        super().__init__()
        self._spread = spread

    def expand(self, records):
        """Applies AnnotateLandmarks to every record."""
        if self._spread:
            records |= beam.Reshuffle()
        return records | beam.ParDo(AnnotateLandmarks()).with_outputs("outcomes", main="records")


class AnnotateLandmarks(beam.DoFn):
    """One record of `AnnotateSplits`; counts the outcome as a Beam metric, too."""

    def setup(self):
        """Loads the detector, once for each worker."""
        self._detect = LandmarkDetector()

    def process(self, element: tuple[str, bytes]) -> Iterable:
        """(split, record) -> the pair, annotated, and its outcome."""
        split, record = element
        record, outcome = annotate(record, self._detect)
        beam.metrics.Metrics.counter(METRICS_NAMESPACE, f"{split}/{outcome}").inc()
        yield split, record
        yield beam.pvalue.TaggedOutput("outcomes", (split, outcome))


def annotate(record: bytes, detect) -> tuple[bytes, str]:
    """Serialized tf.Example -> (the same, with `landmarks` if it had none and a face is found; one of OUTCOMES).

    Args:
        record: a face record. `landmarks` without values counts as not annotated.
        detect: [H, W, 3] uint8 -> [68, 2] points or None.
    Raises ValueError, naming the record, if its image can't be decoded: ingestion lets no such record through.
    """
    example = tf.train.Example.FromString(record)
    feature = example.features.feature
    if "landmarks" in feature and feature["landmarks"].float_list.value:
        return record, HAD_LANDMARKS
    try:
        image = decode(feature["image/encoded"].bytes_list.value[0])
    except (IndexError, tf.errors.InvalidArgumentError) as error:
        name = b"".join(feature["image/id"].bytes_list.value).decode()
        raise ValueError(f"Record {name!r} has no image/encoded that can be decoded: {error}") from error
    points = detect(image)
    if points is None:
        return record, NOT_FOUND
    feature["landmarks"].float_list.value[:] = points.ravel()
    return example.SerializeToString(), ANNOTATED


def copy_format(source: types.Artifact, target: types.Artifact) -> None:
    """Gives `target` the split names and the format of `source`; ValueError if that isn't tf.Example in TFRecords."""
    payload, file_format = examples_utils.get_payload_format(source), examples_utils.get_file_format(source)
    if payload != example_gen_pb2.FORMAT_TF_EXAMPLE or file_format != "tfrecords_gzip":
        raise ValueError(
            "LandmarkAnnotator reads FORMAT_TF_EXAMPLE in tfrecords_gzip; the examples are "
            f"{example_gen_pb2.PayloadFormat.Name(payload)} in {file_format}. Set ExampleGen's output format."
        )
    target.split_names = source.split_names
    examples_utils.set_payload_format(target, payload)
    examples_utils.set_file_format(target, file_format)


def count_records(pattern: str) -> int:
    """Records in gzipped TFRecord files: 10,000 take less than a second, where annotating takes a minute."""
    files = tf.io.gfile.glob(pattern)
    return sum(1 for _ in tf.data.TFRecordDataset(files, compression_type="GZIP"))


def counts_summary(counts: Mapping[str, Mapping[str, int]]) -> str:
    """One line a split for the person who waits."""
    return "\n".join(
        f"  {split}: {count[ANNOTATED]:,} annotated, {count[HAD_LANDMARKS]:,} had landmarks, "
        f"{count[NOT_FOUND]:,} without a face that is found"
        for split, count in counts.items()
    )


def _read(pipeline: beam.Pipeline, patterns: Mapping[str, str]) -> beam.PCollection:
    """Every record of every split as (split, serialized tf.Example)."""
    return [
        pipeline
        | f"Read[{split}]" >> beam.io.ReadFromTFRecord(pattern)
        | f"WithSplit[{split}]" >> beam.Map(_with_split, split)
        for split, pattern in patterns.items()
    ] | beam.Flatten()


def _with_split(record: bytes, split: str) -> tuple[str, bytes]:
    return split, record


def _is_in(element: tuple[str, bytes], split: str) -> bool:
    return element[0] == split


def _write_counts(counts: Mapping[tuple[str, str], int], splits: list[str], path: str) -> None:
    """`counts` by (split, outcome) as {split: {outcome: n}}; what never happened is 0."""
    table = {split: {outcome: counts.get((split, outcome), 0) for outcome in OUTCOMES} for split in splits}
    with tf.io.gfile.GFile(path, "w") as file:
        json.dump(table, file, indent=2)
