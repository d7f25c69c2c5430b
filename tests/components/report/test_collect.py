"""From artifacts to the page's parts, with fakes in the place of evaluation and served model."""

import dataclasses
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import sample_data
import tensorflow as tf
from page_checks import check
from PIL import Image
from tfx.types import standard_artifacts
from tfx.types.experimental import simple_artifacts

from components.config import Data, Evaluation, Experiment, Factory, Source, Training
from components.evaluator.results import EvaluationResult, ParsingResult, SliceResult
from components.record import FaceRecord
from components.report import gather, gather_parsing, run_page

CLASSES = ("background", "skin", "hair")
RECORDS = 5


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def record(index):
    """Pictures of two sizes, the first without a label map."""
    size = (6, 4) if index % 2 else (5, 8)
    truth = np.ones(size, np.uint8)
    truth[0] = 2
    image = np.full((*size, 3), index, np.uint8)
    return FaceRecord(f"face-{index}", "helen", png(image), parsing=png(truth) if index else None)


class Parser:
    """A served model that takes everything for skin; without thresholds, like all parsing models."""

    def __init__(self):
        self.requests = []
        self.signatures = {"serving_default": self.parse}

    def parse(self, image_bytes):
        self.requests.append(len(image_bytes))
        sizes = [tf.io.decode_png(image).shape[:2] for image in image_bytes]
        maps = np.full((len(sizes), *np.max(sizes, axis=0)), 255, np.uint8)
        for labels, (height, width) in zip(maps, sizes, strict=True):
            labels[:height, :width] = 1
        return {"parsing": tf.constant(maps)}


def parsing_result(**changed):
    confusion = np.array([[0, 0, 0], [0, 24, 0], [0, 6, 0]])
    result = ParsingResult(
        classes=CLASSES, annotated=4, mean_f1=0.25, mean_iou=0.125, pixel_accuracy=0.8, overall_f1=None,
        merged_parts={}, f1=np.array([np.nan, 0.5, 0.0]), iou=np.array([np.nan, 0.25, 0.0]), confusion=confusion,
    )  # fmt: skip
    return dataclasses.replace(result, **changed)


def attribute_result(count=2, top_10_recall=None):
    half = np.full(count, 0.5)
    return SliceResult(
        count=RECORDS, annotated=3, mean_accuracy=0.75, mean_balanced_accuracy=0.5, mean_f1=0.5, accuracy=half,
        balanced_accuracy=half, f1=half, positive_rate_true=half, positive_rate_predicted=half,
        counts=np.ones((4, count), np.int64), top_10_recall=top_10_recall,
    )  # fmt: skip


def epochs(parsing=True):
    made = []
    for number in range(3):
        epoch = {"loss": 3.0 - number, "val_loss": 3.5 - number, "learning_rate": 0.1}
        if parsing:
            epoch |= {
                "parsing_loss": 1.0,
                "val_parsing_loss": 1.5,
                "val_mean_f1": 0.2 * number,
                "val_f1": [0.9, 0.5, 0.1],
            }
        made.append(epoch)
    if parsing:
        made[2]["ensemble_mean_f1"] = 0.6
    return made


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Gathers a run of a parsing model, or of what the evaluation says; `.folder` is its model_run."""
    folders = {}
    kinds = {
        "examples": standard_artifacts.Examples,
        "ingestion": simple_artifacts.Metrics,
        "anomalies": standard_artifacts.ExampleAnomalies,
        "model": standard_artifacts.Model,
        "model_run": standard_artifacts.ModelRun,
        "evaluation": standard_artifacts.ModelEvaluation,
        "infra_blessing": standard_artifacts.InfraBlessing,
        "pushed_model": standard_artifacts.PushedModel,
    }
    for name, kind in kinds.items():
        folders[name] = kind()
        folders[name].uri = str(tmp_path / name)
        (tmp_path / name).mkdir()
    folders["examples"].split_names = '["test"]'
    folders["anomalies"].split_names = "[]"
    (tmp_path / "examples" / "Split-test").mkdir()
    with tf.io.TFRecordWriter(str(tmp_path / "examples" / "Split-test" / "data.gz"), "GZIP") as writer:
        for index in range(RECORDS):
            writer.write(record(index).to_example().SerializeToString())
    counts = {"test": {"read": RECORDS + 1, "kept": RECORDS, "quarantined": 1}}
    (tmp_path / "ingestion" / "counts.json").write_text(json.dumps(counts))
    monkeypatch.setattr(gather, "read_blessing", lambda uri: (True, []))
    monkeypatch.setattr(gather.path_utils, "serving_model_path", lambda uri: uri)

    def gathered(model, parsing=None, attributes=None, history=None, names=("Hat", "Young")):
        training = {"epochs": history or epochs(), "parameters": 7, "minutes": 2.0}
        (tmp_path / "model_run" / "training.json").write_text(json.dumps(training))
        evaluation = EvaluationResult(RECORDS, names if attributes else (), attributes, {}, parsing)
        monkeypatch.setattr(gather, "read_evaluation", lambda uri: evaluation)
        monkeypatch.setattr(gather.tf.saved_model, "load", lambda folder: model)
        nothing = Factory("builtins.dict")
        data = Data((Source("helen"),), image_size=(64, 64), parsing=parsing is not None)
        training = Training(epochs=3, batch_size=2, optimizer=nothing, loss=nothing)
        experiment = Experiment("A summary.", "A target.", data, nothing, training, Evaluation())
        return gather.gather("dml/helen", experiment, folders)

    return SimpleNamespace(gathered=gathered, model_run=tmp_path / "model_run")


def figures_of(gathered):
    return json.loads(gather.results_json(**gathered, report="index.html"))


def test_a_parsing_run_from_artifacts_to_page(run):
    model = Parser()
    gathered = run.gathered(model, parsing_result())
    page = run_page(**gathered).render()
    reader = check(page)
    assert reader.sections == ["result", "parsed-pictures", "classes", "learning", "data", "run"]
    assert model.requests == [4, 1]
    assert "the mean of 2 classes (the 3 classes of helen, background left out)" in reader.text
    assert "--output answer.json" in reader.text
    history = gathered["history"]
    assert history.mean_f1.tolist() == pytest.approx([0, 0.2, 0.4])
    np.testing.assert_array_equal(history.ensemble_mean_f1, [np.nan, np.nan, 0.6])
    assert history.class_f1.shape == (3, 3)
    assert history.class_pixels.tolist() == [0, 24, 6]
    assert {name: values.tolist() for name, values in history.terms.items()} == {"parsing_loss": [1.5] * 3}
    assert history.attribute_losses is None


def test_figures_of_a_parsing_run(run):
    results = figures_of(run.gathered(Parser(), parsing_result(overall_f1=0.4, merged_parts={"all": CLASSES})))
    assert results["figures"] == {
        "images tested": 4,
        "parsing mean F1": 0.25,
        "mean IoU": 0.125,
        "pixel accuracy": 0.8,
        "overall F1": 0.4,
        "training minutes": 2.0,
        "parameters": 7,
        "epochs": 3,
        "records quarantined": 1,
    }
    assert results["f1"] == {"background": None, "skin": 0.5, "hair": 0.0}
    assert "accuracy" not in results
    assert "overall F1" not in figures_of(run.gathered(Parser(), parsing_result()))["figures"]


def test_label_maps_are_cut_to_their_pictures_and_scored():
    records = [record(index) for index in range(RECORDS)]
    first, second, *_ = gather_parsing.parsing_pictures(Parser(), records, CLASSES)
    assert first.truth is None and first.mean_f1 is None
    assert first.predicted.shape == (5, 8)
    assert second.predicted.shape == (6, 4)
    assert (second.predicted == 1).all()
    # 24 pixels: 20 are skin, the 4 of hair are taken for it. F1 of skin 2 * 20 / (20 + 24).
    np.testing.assert_allclose(second.f1, [np.nan, 40 / 44, 0])
    assert second.mean_f1 == pytest.approx(20 / 44)
    assert second.pixel_accuracy == pytest.approx(20 / 24)


def test_edges_where_they_were_learnt(run):
    edges = sample_data.edge_maps(count=2, size=6)
    np.savez_compressed(
        run.model_run / "edges.npz", image=edges.images, true_binary=edges.true_binary, binary=edges.binary,
        true_category=edges.true_category % 3, category=edges.category % 3,
    )  # fmt: skip
    reader = check(run_page(**run.gathered(Parser(), parsing_result())).render())
    assert "edges" in reader.sections
    assert "Validation picture 2" in reader.text and "Validation picture 3" not in reader.text


class Decider:
    """A served model of attributes."""

    def __init__(self, count=2):
        self.thresholds = tf.constant([0.0, 0.5] * (count // 2))
        self.signatures = {"serving_default": self.decide}

    def decide(self, image_bytes):
        scores = tf.ones([len(image_bytes), len(self.thresholds)])
        return {"attributes": scores, "decisions": tf.cast(scores, tf.int64)}


def test_an_attribute_run_keeps_its_figures_and_texts(run):
    history = [
        {**epoch, "val_attribute_loss": 1.0, "attribute_losses": [1.0, 2.0], "attribute_weights": [1.0, 1.0],
         "thresholds": [0.0, 0.5]}
        for epoch in epochs(parsing=False)
    ]  # fmt: skip
    gathered = run.gathered(Decider(), attributes=attribute_result(), history=history)
    reader = check(run_page(**gathered).render())
    assert reader.sections == ["result", "predictions", "attributes", "learning", "data", "run"]
    assert "What the loss is made of" not in reader.text and "answer.json" not in reader.text
    results = figures_of(gathered)
    assert list(results["figures"].items())[:5] == [
        ("images tested", 3),
        ("mean accuracy", 0.75),
        ("always the commoner class", 0.5),
        ("mean balanced accuracy", 0.5),
        ("mean F1", 0.5),
    ]
    assert results["accuracy"] == {"Hat": 0.5, "Young": 0.5}
    assert "f1" not in results


@pytest.mark.parametrize(
    "count, recall, shown",
    [(12, 0.625, 0.625), (12, None, None), (12, float("nan"), None), (10, 1.0, None)],
    ids=["measured", "an evaluation of before", "nobody has an attribute", "all are assigned"],
)
def test_top_10_recall_where_it_says_something(run, count, recall, shown):
    names = tuple(f"attribute_{index}" for index in range(count))
    history = epochs(parsing=False)
    gathered = run.gathered(Decider(count), None, attribute_result(count, recall), history, names)
    assert figures_of(gathered)["figures"].get("top-10 recall") == shown
    text = check(run_page(**gathered).render()).text
    assert ("Top-10 recall" in text) == (shown is not None)
    if shown:
        assert "62.50 %" in text and "10 drawn at random would find 83.3 %." in text
