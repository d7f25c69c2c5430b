"""Reads the examples, annotates those without landmarks with Beam, writes them and what was counted."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping

import apache_beam as beam
import tensorflow as tf
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.beam_progress import ShowProgress
from components.example_files import ReadSplits, WriteSplits, copy_format, count_records, split_files
from components.faces.dlib_models import require_extra
from components.images.decoding import decode
from components.landmark_annotator.detector import LandmarkDetector

COUNTS_FILE = "annotation.json"

ANNOTATED, HAD_LANDMARKS, NOT_FOUND = OUTCOMES = ("annotated", "had_landmarks", "not_found")
METRICS_NAMESPACE = "facetfx.LandmarkAnnotator"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Executor of LandmarkAnnotator."""

    def Do(self, input_dict, output_dict, exec_properties) -> None:
        """Writes the annotated splits and the counts; component.py says what they are.

        Raises ModuleNotFoundError without dlib, ValueError if the examples are not tf.Examples in TFRecords.
        """
        require_extra()
        self._log_startup(input_dict, output_dict, exec_properties)
        source = artifact_utils.get_single_instance(input_dict["examples"])
        target = artifact_utils.get_single_instance(output_dict["annotated_examples"])
        counts_file = os.path.join(artifact_utils.get_single_uri(output_dict["counts"]), COUNTS_FILE)
        copy_format(source, target)

        splits = artifact_utils.decode_split_names(source.split_names)
        files = split_files(source, splits)
        total = sum(map(count_records, files.values()))
        with (
            ShowProgress("Annotating landmarks", total, unit="images") as progress,
            self._make_beam_pipeline() as pipeline,
        ):
            annotated = (
                pipeline
                | ReadSplits(files)
                | beam.ParDo(AnnotateLandmarks(exec_properties["label"])).with_outputs("outcomes", main="records")
            )
            _ = annotated.records | progress.count() | WriteSplits(target, splits)
            _ = (
                annotated.outcomes
                | beam.combiners.Count.PerElement()
                | beam.combiners.ToDict()
                | "WriteCounts" >> beam.Map(_write_counts, splits, counts_file)
            )
        with tf.io.gfile.GFile(counts_file) as file:
            print(counts_summary(json.load(file)), file=sys.stderr, flush=True)


class AnnotateLandmarks(beam.DoFn):
    """(split, serialized tf.Example) -> records: the pairs, annotated; outcomes: (split, one of OUTCOMES).

    Counts the outcome as a Beam metric, too.

    Args:
        label: the name of the label that the points become.
    """

    def __init__(self, label: str):
        super().__init__()
        self._label = label

    def setup(self):
        """Loads the detector, once for each worker."""
        self._detect = LandmarkDetector()

    def process(self, element: tuple[str, bytes]) -> Iterable:
        """(split, record) -> the pair, annotated, and its outcome."""
        split, record = element
        record, outcome = annotate(record, self._label, self._detect)
        beam.metrics.Metrics.counter(METRICS_NAMESPACE, f"{split}/{outcome}").inc()
        yield split, record
        yield beam.pvalue.TaggedOutput("outcomes", (split, outcome))


def annotate(record: bytes, label: str, detect) -> tuple[bytes, str]:
    """Serialized tf.Example -> (the same, with the label if it had none and a face is found; one of OUTCOMES).

    Args:
        record: a face record. A label without values counts as not annotated.
        label: the name of the label that the points become.
        detect: [H, W, 3] uint8 -> [68, 2] points or None.

    Raises:
        ValueError: naming the record, if its image can't be decoded: ingestion lets no such record through.
    """
    example = tf.train.Example.FromString(record)
    feature = example.features.feature
    if label in feature and feature[label].float_list.value:
        return record, HAD_LANDMARKS
    try:
        image = decode(feature["image/encoded"].bytes_list.value[0]).numpy()
    except (IndexError, tf.errors.InvalidArgumentError) as error:
        name = b"".join(feature["image/id"].bytes_list.value).decode()
        raise ValueError(f"Record {name!r} has no image/encoded that can be decoded: {error}") from error
    points = detect(image)
    if points is None:
        return record, NOT_FOUND
    feature[label].float_list.value[:] = points.ravel()
    return example.SerializeToString(deterministic=True), ANNOTATED  # else each process has another order


def counts_summary(counts: Mapping[str, Mapping[str, int]]) -> str:
    """One line a split for the person who waits."""
    return "\n".join(
        f"  {split}: {count[ANNOTATED]:,} annotated, {count[HAD_LANDMARKS]:,} had landmarks, "
        f"{count[NOT_FOUND]:,} without a face that is found"
        for split, count in counts.items()
    )


def _write_counts(counts: Mapping[tuple[str, str], int], splits: list[str], path: str) -> None:
    """`counts` by (split, outcome) as {split: {outcome: n}}; what never happened is 0."""
    table = {split: {outcome: counts.get((split, outcome), 0) for outcome in OUTCOMES} for split in splits}
    io_utils.write_string_file(path, json.dumps(table, indent=2))
