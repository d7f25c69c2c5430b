"""A run's artifacts, read once: what the kinds' and the systems' report code is given."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.utils import io_utils, path_utils

from components import tasks as task_kinds
from components.config import Experiment
from components.datasets import build_dataset
from components.datasets.binding import bound_tasks
from components.drift.reference import Values, read_reference
from components.evaluator.results import Evaluation, read_blessing, read_evaluation
from components.example_gen.quarantine import COUNTS, counted_reasons, quarantined
from components.record import FaceRecord
from components.serving.export import CONTRACT
from components.tasks.annotation import BoundTask
from components.tasks.reporting import History, Sample, decoded

# What the components that write them call them.
TRAINING_FILE = "training.json"
ANNOTATION_FILE, SOFT_LABELS_FILE = "annotation.json", "soft_labels.json"
SIGNATURE = "from_examples"
_NUM_TESTED = 64  # records of each data set that are read
_NUM_SAMPLES = 32  # of them answered
_REQUEST = 4  # records: label maps are as large as they are
_NUM_QUARANTINE_SAMPLES = 20


@dataclasses.dataclass(frozen=True)
class DataSummary:
    """What went in, counted.

    Attributes:
        splits: by split name, the records "read", "kept" and "quarantined".
        quarantine_reasons: reason -> number of records, over all splits, as of `counted_reasons`.
        quarantine_samples: a few (image id, reason).
        annotations: by split name, the images by where their landmarks come from: "annotated", "had_landmarks" or
            "not_found". soft_labels: by split name and label, "annotated" or "labelled" by a teacher.
        anomalies: what ExampleValidator found.
        validated: by data set, the statistics of validation images that are kept beside the model.
    """

    splits: Mapping[str, Mapping[str, int]]
    quarantine_reasons: Mapping[str, int] = dataclasses.field(default_factory=dict)
    quarantine_samples: tuple[tuple[str, str], ...] = ()
    annotations: Mapping[str, Mapping[str, int]] = dataclasses.field(default_factory=dict)
    soft_labels: Mapping[str, Mapping[str, Mapping[str, int]]] = dataclasses.field(default_factory=dict)
    anomalies: tuple[str, ...] = ()
    validated: Mapping[str, Values] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether the model may be used.

    Attributes:
        blessed: the evaluator's answer. reasons: why not, in sentences.
        serving_ok: whether the exported model answered like the trained one. serving_message: in words.
        pushed_path: where it was pushed to, None if it wasn't.
    """

    blessed: bool
    reasons: tuple[str, ...] = ()
    serving_ok: bool = True
    serving_message: str = ""
    pushed_path: str | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class RunArtifacts:
    """What a run left.

    Attributes:
        name: the run's: the experiment's, and the settings that differ from it (components.overrides).
        tasks: what it learnt, with what its data sets say of them.
        training: training.json.
        model: the SavedModel, loaded; `model_path` is where it lies.
        contract: what the served outputs keep to, by output. frames: by task, where its training images have a face.
        tested: by data set, the first records of its test split. samples: with answers, the first of them.
        model_run: folder of the logs and what else training left.
        lite: what the file of TensorFlow Lite reached; None without one.
        terms: by data set, what may be done with it. of_people: whether any of them shows people.
        commit: of the code; "" if unknown.
        run: what tells this run from all others.
    """

    name: str
    experiment: Experiment
    tasks: tuple[BoundTask, ...]
    evaluation: Evaluation
    training: Mapping[str, Any]
    model: Any
    model_path: str
    contract: Mapping[str, Any]
    tested: Mapping[str, Sequence[FaceRecord]]
    samples: Mapping[str, Sequence[Sample]]
    model_run: str
    data: DataSummary
    verdict: Verdict
    frames: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    lite: Evaluation | None = None
    terms: Mapping[str, str] = dataclasses.field(default_factory=dict)
    of_people: bool = True
    commit: str = ""
    run: str = ""
    created: datetime.datetime = dataclasses.field(default_factory=datetime.datetime.now)

    @functools.cached_property
    def history(self) -> History:
        """The epochs of the training."""
        return History(self.training["epochs"])


def collect(
    name: str, experiment: Experiment, artifacts: Mapping[str, Artifact], commit: str = "", run: str = ""
) -> RunArtifacts:
    """Reads what a run left.

    Args:
        name: the experiment's.
        artifacts: by the names of RunReportSpec.INPUTS.
        commit, run: as of `RunArtifacts`.
    """
    tasks = bound_tasks(experiment)
    model_path = path_utils.serving_model_path(artifacts["model"].uri)
    model = tf.saved_model.load(model_path)
    datasets = {each.name: build_dataset(each, None) for each in experiment.data.datasets}
    splits = experiment.data.splits(experiment.evaluation.split)
    tested = {dataset: _records(artifacts["examples"], split) for dataset, split in splits.items()}
    model_run = artifacts["model_run"].uri
    training = _json(model_run, TRAINING_FILE)
    has_lite = "bytes" in training["lite"]
    contract = _json(model_path, CONTRACT)
    return RunArtifacts(
        name=name,
        experiment=experiment,
        tasks=tasks,
        evaluation=read_evaluation(artifacts["evaluation"].uri, tasks),
        training=training,
        model=model,
        model_path=model_path,
        contract=contract["signatures"][SIGNATURE],
        frames=contract["frames"],
        tested=tested,
        samples={dataset: tuple(answered(model, records[:_NUM_SAMPLES])) for dataset, records in tested.items()},
        model_run=model_run,
        data=_data(artifacts, read_reference(model_path)),
        verdict=_verdict(artifacts),
        lite=read_evaluation(artifacts["lite_evaluation"].uri, tasks) if has_lite else None,
        terms={name: dataset.TERMS for name, dataset in datasets.items()},
        of_people=any(dataset.OF_PEOPLE for dataset in datasets.values()),
        commit=commit,
        run=run,
    )


def answered(model, records: Sequence[FaceRecord]) -> list[Sample]:
    """Records with all that the served model answers for them, or for their crops; asked a few at a time."""
    samples = []
    for start in range(0, len(records), _REQUEST):
        asked = records[start : start + _REQUEST]
        serialized = tf.constant([record.to_example().SerializeToString() for record in asked])
        answers = {name: values.numpy() for name, values in model.signatures[SIGNATURE](serialized).items()}
        samples += [
            Sample(record, decoded(record.image), {name: values[index] for name, values in answers.items()})
            for index, record in enumerate(asked)
        ]
    return samples


def report_of(task: BoundTask):
    """The report module of a task's kind."""
    return task_kinds.role(task.kind, "report")


def _records(examples, split):
    files = tf.io.gfile.glob(io_utils.all_files_pattern(artifact_utils.get_split_uri([examples], split)))
    serialized = tf.data.TFRecordDataset(sorted(files), "GZIP").take(_NUM_TESTED)
    return tuple(FaceRecord.from_example(tf.train.Example.FromString(e.numpy())) for e in serialized)


def _data(artifacts, validated):
    ingestion = artifacts["ingestion"].uri
    quarantine = quarantined(ingestion)
    return DataSummary(
        splits=_json(ingestion, COUNTS),
        quarantine_reasons=counted_reasons(row["reason"] for row in quarantine),
        quarantine_samples=tuple((row["id"], row["reason"]) for row in quarantine[:_NUM_QUARANTINE_SAMPLES]),
        annotations=_json(artifacts["annotation"].uri, ANNOTATION_FILE) if "annotation" in artifacts else {},
        soft_labels=_json(artifacts["soft_labels"].uri, SOFT_LABELS_FILE) if "soft_labels" in artifacts else {},
        anomalies=_anomalies(artifacts["anomalies"]),
        validated=validated,
    )


def _anomalies(artifact):
    """A sentence for each feature and split in which ExampleValidator found anomalies."""
    found = []
    for split in artifact_utils.decode_split_names(artifact.split_names):
        uri = artifact_utils.get_split_uri([artifact], split)
        anomalies = anomalies_pb2.Anomalies.FromString(
            tf.io.gfile.GFile(io_utils.get_only_uri_in_dir(uri), "rb").read()
        )
        found += [f"{split}: {feature}: {info.description}" for feature, info in anomalies.anomaly_info.items()]
    return tuple(found)


def _verdict(artifacts):
    blessed, reasons = read_blessing(artifacts["evaluation"].uri)
    infra = artifacts["infra_blessing"]
    return Verdict(
        blessed=blessed,
        reasons=tuple(reasons),
        serving_ok=bool(infra.get_int_custom_property("blessed")),
        serving_message=infra.get_string_custom_property("message"),
        pushed_path=artifacts["pushed_model"].get_string_custom_property("pushed_destination") or None,
    )


def _json(*path):
    return json.loads(io_utils.read_string_file(os.path.join(*path)))
