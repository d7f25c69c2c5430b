"""From artifacts to what the report's code is given, with fakes in the place of evaluation and served model."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.types import standard_artifacts
from tfx.types.experimental import simple_artifacts

from components.config import Data, DatasetConfig, Experiment, Task, Training, configured, to_json
from components.drift.reference import write_reference
from components.record import FaceRecord
from components.report import collect
from components.report.executor import Executor
from components.serving.export import CONTRACT
from tests.components.page.page_checks import check
from tests.components.report import sample_run

RECORDS = 5
DRAWN = tuple(
    DatasetConfig(f"drawn_{name}", builder="synthetic_faces", labels=(name,)) for name in ("parsing", "emotion")
)
KINDS = {
    "examples": standard_artifacts.Examples,
    "ingestion": simple_artifacts.Metrics,
    "anomalies": standard_artifacts.ExampleAnomalies,
    "soft_labels": simple_artifacts.Metrics,
    "model": standard_artifacts.Model,
    "model_run": standard_artifacts.ModelRun,
    "evaluation": standard_artifacts.ModelEvaluation,
    "infra_blessing": standard_artifacts.InfraBlessing,
    "pushed_model": standard_artifacts.PushedModel,
}


class Signature:
    """A function with the graph that a loaded one has."""

    def __init__(self, function):
        self.function, self.graph = function, tf.Graph()

    def __call__(self, *args):
        return self.function(*args)


class Served:
    """A model that answers with as many pixels as the largest image of a request has, and with one emotion."""

    def __init__(self):
        self.requests = []
        self.signatures = {"from_examples": Signature(self.answer)}

    def answer(self, serialized):
        records = [FaceRecord.from_example(tf.train.Example.FromString(each.numpy())) for each in serialized]
        self.requests.append([(record.id, record.crop) for record in records])
        size = np.max([tf.io.decode_png(record.image).shape[:2] for record in records], axis=0)
        return {"parsing": tf.zeros([len(records), *size], tf.uint8), "emotion": tf.one_hot([2] * len(records), 7)}


def record(dataset, index):
    """Of two sizes; the drawn_emotion ones have a crop."""
    emotion = dataset == "drawn_emotion"
    size = (6, 4) if index % 2 else (5, 8)
    labels = {"emotion": 3} if emotion else {"parsing": sample_run.png(np.zeros(size, np.uint8))}
    image, crop = sample_run.png(np.full((*size, 3), index, np.uint8)), (0.1, 0.1, 0.5, 0.5) if emotion else None
    return FaceRecord(f"{dataset}-{index}", dataset, image, labels, crop=crop)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """An experiment's artifacts, with what they are read by."""
    artifacts = {name: kind() for name, kind in KINDS.items()}
    for name, artifact in artifacts.items():
        artifact.uri = str(tmp_path / name)
        (tmp_path / name).mkdir()
    splits = [f"{dataset.name}_test" for dataset in DRAWN]
    for artifact in ("examples", "anomalies"):
        artifacts[artifact].split_names = json.dumps(splits)
    found = anomalies_pb2.Anomalies()
    found.anomaly_info["emotion"].description = "value 9"
    for dataset in DRAWN:
        folders = [tmp_path / name / f"Split-{dataset.name}_test" for name in ("examples", "anomalies")]
        for folder in folders:
            folder.mkdir()
        with tf.io.TFRecordWriter(str(folders[0] / "data.gz"), "GZIP") as writer:
            for index in range(RECORDS):
                writer.write(record(dataset.name, index).to_example().SerializeToString())
        (folders[1] / "SchemaDiff.pb").write_bytes(found.SerializeToString())
    counts = {split: {"read": RECORDS + 1, "kept": RECORDS, "quarantined": 1} for split in splits}
    (tmp_path / "ingestion" / "counts.json").write_text(json.dumps(counts))
    (tmp_path / "ingestion" / "quarantine-0.jsonl").write_text('{"id": "x.jpg", "reason": "truncated"}\n')
    taught = {"drawn_parsing_train": {"emotion": {"annotated": 1, "labelled": 2}}}
    (tmp_path / "soft_labels" / "soft_labels.json").write_text(json.dumps(taught))
    training = {
        "epochs": [{"loss": 1.0, "val_emotion_accuracy": 0.5}],
        "parameters": 7,
        "minutes": 2.0,
        "processor_minutes": 3.5,
        "trained_in": "float32",
        "precision": {"served": "float32", "figures": {}},
        "lite": {},
    }
    (tmp_path / "model_run" / "training.json").write_text(json.dumps(training))
    (tmp_path / "model" / "assets.extra").mkdir()
    contract = {
        "version": 1,
        "frames": {"emotion": {"aspect": 1.0}},
        "signatures": {"from_examples": {"emotion": {"kind": "probabilities"}}},
    }
    (tmp_path / "model" / CONTRACT).write_text(json.dumps(contract))
    looks = {dataset.name: {"image brightness": np.array([0.5, 0.6], np.float32)} for dataset in DRAWN}
    write_reference(str(tmp_path / "model"), looks)
    artifacts["infra_blessing"].set_int_custom_property("blessed", 1)
    artifacts["pushed_model"].set_string_custom_property("pushed_destination", str(tmp_path / "serving" / "1"))

    model = Served()
    monkeypatch.setattr(collect, "read_blessing", lambda uri: (True, []))
    monkeypatch.setattr(collect, "read_evaluation", lambda uri, tasks: _evaluation(tasks))
    monkeypatch.setattr(collect.path_utils, "serving_model_path", lambda uri: uri)
    monkeypatch.setattr(collect.tf.saved_model, "load", lambda folder: model)
    nothing = configured("builtins.dict")
    experiment = Experiment(
        "A summary.", "A target.", Data(DRAWN), (Task("parsing", "segmentation"), Task("emotion", "classification")),
        nothing, Training(epochs=1, batch_size=2, optimizer=nothing),
    )  # fmt: skip
    return SimpleNamespace(artifacts=artifacts, experiment=experiment, model=model, folder=tmp_path)


def _evaluation(tasks):
    parsing = sample_run.parsing_values(confusion=np.eye(len(tasks[0].names), dtype=int))
    return sample_run.evaluation(tasks, {"parsing": parsing})


def test_what_a_run_left_is_read(run):
    found = collect.collect("drawn/two", run.experiment, run.artifacts)
    assert [(task.name, task.dataset) for task in found.tasks] == [
        ("parsing", "drawn_parsing"), ("emotion", "drawn_emotion"),
    ]  # fmt: skip
    assert {name: len(records) for name, records in found.tested.items()} == {"drawn_parsing": 5, "drawn_emotion": 5}
    assert found.data.splits["drawn_emotion_test"]["quarantined"] == 1
    assert found.data.validated.keys() == {"drawn_parsing", "drawn_emotion"} and not found.of_people
    assert found.data.quarantine_samples == (("x.jpg", "truncated"),)
    assert found.data.anomalies == ("drawn_parsing_test: emotion: value 9", "drawn_emotion_test: emotion: value 9")
    assert found.data.soft_labels["drawn_parsing_train"]["emotion"]["labelled"] == 2 and not found.data.annotations
    assert found.verdict.serving_ok and found.verdict.pushed_path == str(run.folder / "serving" / "1")
    assert found.history.column("val_emotion_accuracy").tolist() == [0.5]
    assert found.contract == {"emotion": {"kind": "probabilities"}} and list(found.frames) == ["emotion"]


def test_records_are_asked_about_a_few_at_a_time_with_their_crops(run):
    found = collect.collect("drawn/two", run.experiment, run.artifacts)
    assert [len(request) for request in run.model.requests] == [4, 1, 4, 1]
    assert run.model.requests[0][1] == ("drawn_parsing-1", None)
    assert run.model.requests[2][0][1] == pytest.approx((0.1, 0.1, 0.5, 0.5))
    sample = found.samples["drawn_parsing"][1]
    assert sample.image.shape == (6, 4, 3) and (sample.image == 1).all()
    assert sample.outputs["parsing"].shape == (6, 8), "as large as the largest of the request"


def test_the_executor_writes_page_and_results_twice(run, tmp_path):
    report = simple_artifacts.File()
    report.uri, destination = str(tmp_path / "report"), tmp_path / "latest"
    properties = {
        "name": "drawn/two", "experiment": to_json(run.experiment), "destination": str(destination),
        "commit": "abc1234", "run": "this one",
    }  # fmt: skip
    inputs = {name: [artifact] for name, artifact in run.artifacts.items()} | {"annotation": []}
    pushed = tmp_path / "serving" / "1"
    (pushed / "variables").mkdir(parents=True)
    for part in ("saved_model.pb", "variables/variables.index"):
        (pushed / part).touch()
    Executor().Do(inputs, {"report": [report]}, properties)
    for folder in (tmp_path / "report", destination):
        reader = check((folder / "index.html").read_text())
        assert {"predictions", "parsing-classes", "emotion"} <= set(reader.sections)
        results = json.loads((folder / "results.json").read_text())
        assert results["figures"]["records quarantined"] == 2
        assert results["places"]["report"] == str(destination / "index.html")
        assert (results["commit"], results["run"]) == ("abc1234", "this one")
    card = tmp_path / "serving" / "1" / "assets.extra" / "model_card.md"
    assert card.read_text() == (destination / "model_card.md").read_text()
