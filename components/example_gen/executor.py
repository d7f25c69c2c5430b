"""FacesExampleGen: what it does."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils

from components.beam_progress import ShowProgress
from components.beam_workers import has_one_worker
from components.config import Data, DatasetConfig, from_json
from components.datasets import Reference, build_datasets
from components.example_files import WriteSplits
from components.example_gen.checks import check_record
from components.example_gen.quarantine import COUNTS, NO_SPLIT, check_losses
from components.record import FaceRecord, RecordError

_KEPT, _QUARANTINED = "kept", "quarantined"


class Executor(base_beam_executor.BaseBeamExecutor):
    """References in the order of the official lists, reading and checking spread over Beam's workers."""

    def Do(self, input_dict, output_dict, exec_properties: dict[str, Any]) -> None:
        configs, data_dir = from_json(exec_properties["datasets"]), exec_properties["data_dir"]
        datasets = build_datasets(configs, data_dir)
        for dataset in datasets.values():
            dataset.check()
        splits = [split_name(configs, name, split) for name, dataset in datasets.items() for split in dataset.SPLITS]
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        examples.split_names = artifact_utils.encode_split_names(splits)
        examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
        ingestion = artifact_utils.get_single_uri(output_dict["ingestion"])

        total = sum(1 for dataset in datasets.values() for _ in dataset.references())
        progress = ShowProgress(f"Reading {', '.join(datasets)}", total)
        with progress, self._make_beam_pipeline() as pipeline:
            # A shuffle by Create would change the order of the data sets from run to run.
            names = pipeline | beam.Create(list(datasets), reshuffle=False)
            references = names | "List" >> beam.FlatMap(_references, configs, data_dir)
            if not has_one_worker(pipeline.options):
                references |= "Spread" >> beam.Reshuffle()
            read = references | "Read" >> beam.ParDo(ReadRecord(configs, data_dir)).with_outputs(
                "quarantine", "outcomes", main="records"
            )
            _ = read.records | WriteSplits(examples, splits)
            _ = (
                read.quarantine
                | "AsJson" >> beam.Map(lambda row: json.dumps(row, ensure_ascii=False))
                | "WriteQuarantine" >> beam.io.WriteToText(os.path.join(ingestion, "quarantine"), ".jsonl")
            )
            unsplit = [split_name(configs, name, NO_SPLIT) for name in datasets]
            _ = (
                read.outcomes
                | progress.count()
                | beam.combiners.Count.PerElement()
                | beam.combiners.ToDict()
                | "AsCounts" >> beam.Map(lambda counted: json.dumps(_counts(counted, splits, unsplit), indent=1))
                | "WriteCounts" >> beam.io.WriteToText(os.path.join(ingestion, COUNTS), shard_name_template="")
            )
        check_losses(configs, ingestion)


def split_name(configs: Sequence[DatasetConfig], name: str, split: str) -> str:
    """What a split of a data set is called here."""
    return Data(tuple(configs)).splits(split)[name]


def _references(name: str, configs: Sequence[DatasetConfig], data_dir: str) -> Iterator[tuple[str, Reference]]:
    """The references of a data set, each with the data set's name."""
    for reference in build_datasets(configs, data_dir)[name].references():
        yield name, reference


class ReadRecord(beam.DoFn):
    """(data set's name, reference) -> records: (split, serialized record), or quarantine: a row with the reason.

    And outcomes: (split, "kept" or "quarantined").

    Args:
        configs: the run's data sets.
        data_dir: of their official files.
    """

    def __init__(self, configs: Sequence[DatasetConfig], data_dir: str):
        self._configs = configs
        self._data_dir = data_dir

    def setup(self):
        """Opens the data sets once a worker."""
        self._datasets = build_datasets(self._configs, self._data_dir)
        self._config_of = {config.name: config for config in self._configs}

    def process(self, element: tuple[str, Reference]):
        """A record or a row of the quarantine, and the outcome."""
        name, reference = element
        dataset = self._datasets[name]
        split = split_name(self._configs, name, reference.split or NO_SPLIT)
        try:
            record = keep_labels(dataset.load(reference), self._config_of[name])
            check_record(record, dataset.annotations)
        except Exception as error:  # whatever a foreign file makes a reader raise: it is this record's
            known = isinstance(error, (RecordError, OSError, tf.errors.OpError))
            reason = str(error) if known else f"{type(error).__name__}: {error}"
            yield beam.pvalue.TaggedOutput("quarantine", {"id": reference.id, "split": split, "reason": reason})
            yield beam.pvalue.TaggedOutput("outcomes", (split, _QUARANTINED))
        else:
            yield split, record.to_example().SerializeToString(deterministic=True)
            yield beam.pvalue.TaggedOutput("outcomes", (split, _KEPT))


def keep_labels(record: FaceRecord, config: DatasetConfig) -> FaceRecord:
    """The record under the data set's name, with those of its labels that are kept."""
    labels = record.labels
    if config.labels is not None:
        labels = {name: value for name, value in labels.items() if name in config.labels}
    return dataclasses.replace(record, dataset=config.name, labels=labels)


def _counts(
    outcomes: dict[tuple[str, str], int], splits: Sequence[str], unsplit: Sequence[str]
) -> dict[str, dict[str, int]]:
    """{split: {"read", "kept", "quarantined"}}; of `unsplit`, those that have rows."""
    counts = {}
    for split in (*splits, *unsplit):
        kept, quarantined = outcomes.get((split, _KEPT), 0), outcomes.get((split, _QUARANTINED), 0)
        if split in splits or quarantined:
            counts[split] = {"read": kept + quarantined, "kept": kept, "quarantined": quarantined}
    return counts
