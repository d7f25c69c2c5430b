"""FacesExampleGen: what it does."""

from __future__ import annotations

import json
import os
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils

from components.beam_workers import has_one_worker
from components.datasets import FaceDataset, Reference, builder_class
from components.example_gen.checks import check_record
from components.progress import ShowProgress
from components.record import RecordError

_QUARANTINE = "quarantine"


def build_dataset(dataset: str, source: str, options: str) -> FaceDataset:
    """The builder from the component's execution properties."""
    return builder_class(dataset)(source=source or None, **json.loads(options))


class Executor(base_beam_executor.BaseBeamExecutor):
    """References in the order of the official lists, reading and checking spread over Beam's workers."""

    def Do(self, input_dict, output_dict, exec_properties: dict[str, Any]) -> None:
        """See FacesExampleGen."""
        settings = {name: exec_properties[name] for name in ("dataset", "source", "options")}
        dataset = build_dataset(**settings)
        dataset.check()
        splits = dataset.SPLITS
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        examples.split_names = artifact_utils.encode_split_names(list(splits))
        examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
        ingestion = artifact_utils.get_single_uri(output_dict["ingestion"])

        total = sum(1 for _ in dataset.references())
        progress = ShowProgress(f"Reading {dataset.name}", total)
        with progress, self._make_beam_pipeline() as pipeline:
            references = (
                pipeline | beam.Create([settings]) | "List" >> beam.FlatMap(lambda s: build_dataset(**s).references())
            )
            if not has_one_worker(pipeline.options):
                references |= "Spread" >> beam.Reshuffle()
            read = references | "Read" >> beam.ParDo(ReadRecord(settings)).with_outputs(*splits, _QUARANTINE)
            read = {output: read[output] | progress.count(f"Count[{output}]") for output in (*splits, _QUARANTINE)}
            outcomes = [read[_QUARANTINE] | "Quarantined" >> beam.Map(lambda row: (row["split"], _QUARANTINE))]
            for split in splits:
                # As TFX's WriteSplit, without its shuffle: one worker keeps the order of the lists, run for run, and
                # never holds more than a record in memory.
                path = os.path.join(artifact_utils.get_split_uri([examples], split), "data_tfrecord")
                _ = read[split] | f"Write[{split}]" >> beam.io.WriteToTFRecord(path, file_name_suffix=".gz")
                outcomes.append(read[split] | f"Kept[{split}]" >> beam.Map(lambda _, split=split: (split, "kept")))
            _ = (
                read[_QUARANTINE]
                | "AsJson" >> beam.Map(lambda row: json.dumps(row, ensure_ascii=False))
                | "WriteQuarantine" >> beam.io.WriteToText(os.path.join(ingestion, _QUARANTINE), ".jsonl")
            )
            _ = (
                outcomes
                | beam.Flatten()
                | beam.combiners.Count.PerElement()
                | beam.combiners.ToList()
                | "AsCounts" >> beam.Map(lambda counted: json.dumps(_counts(dict(counted), splits), indent=1))
                | "WriteCounts"
                >> beam.io.WriteToText(os.path.join(ingestion, "counts"), ".json", shard_name_template="")
            )


class ReadRecord(beam.DoFn):
    """A reference to its record, serialized, on the output of its split; or to a quarantine row with the reason.

    Args:
        settings: arguments of `build_dataset`.
    """

    def __init__(self, settings: dict[str, str]):
        self._settings = settings

    def setup(self):
        """Opens the data set once a worker."""
        self._dataset = build_dataset(**self._settings)

    def process(self, reference: Reference):
        """One output a reference."""
        try:
            if reference.split is None:
                raise RecordError(reference.problem)
            record = self._dataset.load(reference)
            check_record(record, len(self._dataset.ATTRIBUTES))
        except (RecordError, OSError, tf.errors.OpError) as error:
            row = {"id": reference.id, "split": reference.split, "reason": str(error)}
            yield beam.pvalue.TaggedOutput(_QUARANTINE, row)
        else:
            serialized = record.to_example().SerializeToString(deterministic=True)
            yield beam.pvalue.TaggedOutput(reference.split, serialized)


def _counts(outcomes: dict[tuple[str | None, str], int], splits: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """{split: {"read", "kept", "quarantined"}}; rows of no split stand under "no split"."""
    counts = {}
    for split in (*splits, None):
        kept, quarantined = outcomes.get((split, "kept"), 0), outcomes.get((split, _QUARANTINE), 0)
        if split or quarantined:
            counts[split or "no split"] = {"read": kept + quarantined, "kept": kept, "quarantined": quarantined}
    return counts
