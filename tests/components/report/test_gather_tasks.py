"""From artifacts to the page of several tasks on data sets of their own, with fakes in the place of all that ran."""

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

from components.config import Data, Evaluation, Experiment, Factory, Source, Training
from components.evaluator.results import (
    ClassResult,
    EvaluationResult,
    IterationResult,
    LandmarkResult,
    ParsingResult,
    SliceResult,
)
from components.record import FaceRecord
from components.report import gather, gather_tasks, run_page

CLASSES = ("background", "skin", "hair")
EMOTIONS = ("happy", "sad")
CLOTHES = ("Blouse", "Coat", "Dress", "Tee")
POINTS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
LABELS = {"helen": "parsing", "mtfl": "landmarks", "fer2013": "emotion"}  # by data set


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def record(dataset, index):
    """Pictures of two sizes with the label of their data set; those of mtfl have a crop."""
    size = (6, 4) if index % 2 else (5, 8)
    labels = {
        "helen": {"parsing": png(np.ones(size, np.uint8))},
        "mtfl": {"landmarks": POINTS, "crop": (0.2, 0.2, 0.6, 0.6)},
        "fer2013": {"emotion": index % 2},
        "celeb_a": {"attributes": np.array([1, 0])},
        "deepfashion": {"clothing": (0, 2, None)[index % 3]},
    }[dataset]
    return FaceRecord(f"{dataset}-{index}", dataset, png(np.full((*size, 3), index, np.uint8)), **labels)


class Network:
    """A served model that takes all for skin and for sad; it keeps what it was asked."""

    def __init__(self, tasks=("parsing", "landmarks", "emotion", "attributes")):
        self.thresholds = tf.constant([0.0, 0.5])
        self.tasks, self.asked = tasks, []
        self.signatures = {"from_examples": self.from_examples, "serving_default": self.from_images}

    def from_examples(self, examples):
        records = [FaceRecord.from_example(tf.train.Example.FromString(each.numpy())) for each in examples]
        self.asked.append(records)
        return self.from_images([each.image for each in records])

    def from_images(self, image_bytes):
        sizes = [tf.io.decode_png(image).shape[:2] for image in image_bytes]
        maps = np.full((len(sizes), *np.max(sizes, axis=0)), 255, np.uint8)
        for labels, (height, width) in zip(maps, sizes, strict=True):
            labels[:height, :width] = 1
        scores = tf.ones([len(sizes), 2])
        answers = {
            "parsing": tf.constant(maps),
            "landmarks": tf.constant(np.tile(POINTS, (len(sizes), 1, 1))),
            "emotion": tf.constant([[0.25, 0.75]] * len(sizes)),
            "attributes": scores,
            "clothing": tf.constant([[0.75, 0.5, 0.875, 0.125]] * len(sizes)),
        }
        answers = {name: answer for name, answer in answers.items() if name in self.tasks}
        return answers | ({"decisions": tf.cast(scores, tf.int64)} if "attributes" in self.tasks else {})


def parsing(step=0):
    confusion = np.array([[0, 0, 0], [0, 24, 0], [0, 6, 0]])
    return ParsingResult(
        classes=CLASSES, annotated=4, mean_f1=0.25 + step / 16, mean_iou=0.125, pixel_accuracy=0.8, overall_f1=0.5,
        merged_parts={"mouth": ("skin", "hair")}, part_f1={"mouth": 0.75}, f1=np.array([np.nan, 0.5, 0.0]),
        iou=np.array([np.nan, 0.25, 0.0]), confusion=confusion,
    )  # fmt: skip


def landmarks(step=0, points=5):
    half = np.full(points, 0.5)
    return LandmarkResult(0.5 - step / 8, 0.25, 6, 1, point_nme=half - step / 8, point_failure_rate=half)


def emotion(step=0):
    confusion = np.array([[1, 2], [1 - step, 4 + step]])
    recall = confusion.diagonal() / confusion.sum(axis=1)
    return ClassResult(EMOTIONS, 8, (5 + step) / 8, float(recall.mean()), recall, recall, confusion)


def clothing():
    confusion = np.diag([3, 0, 4, 0])
    confusion[0, 2] = 1
    recall = np.array([0.75, np.nan, 1, np.nan])
    return ClassResult(CLOTHES, 8, 7 / 8, 0.875, recall, recall, confusion, top_3=0.9375)


def attributes():
    half = np.array([0.5, 0.5])
    return SliceResult(
        count=5, annotated=5, mean_accuracy=0.75, mean_balanced_accuracy=0.5, mean_f1=0.5, accuracy=half,
        balanced_accuracy=half, f1=half, positive_rate_true=half, positive_rate_predicted=half,
        counts=np.ones((4, 2), np.int64), nme=0.0625, failure_rate=0.03125,
    )  # fmt: skip


def evaluated(iterations=2, **tasks):
    """Of the given tasks, at each of so many iterations."""
    nothing = dict.fromkeys(("parsing", "landmarks", "emotion", "attributes"))
    found = {name: task() for name, task in tasks.items()}
    steps = []
    for step in range(iterations):
        measured = {name: task(step) if name != "attributes" else task() for name, task in tasks.items()}
        steps.append(IterationResult(iteration=step, **nothing | measured))
    overall = found.pop("attributes", None)
    return EvaluationResult(
        17, ("Hat", "Young") if overall else (), overall, {}, **{"parsing": None} | found, iterations=tuple(steps)
    )


EVERYTHING = {"parsing": parsing, "landmarks": landmarks, "emotion": emotion}


def hybrid_epochs():
    """Each task alone for an epoch, then two of turns; the last task's figure comes late."""
    made = []
    for number, stage in enumerate(
        ["parsing alone", "landmarks alone", "emotion alone", "taking turns", "taking turns"]
    ):
        epoch = {"loss": 3.0, "learning_rate": 0.1, "stage": stage, "val_parsing_mean_f1": number / 8}
        made.append(epoch | {"val_landmarks_nme": 0.5} | ({"val_emotion_accuracy": 0.25} if number else {}))
    return made


@pytest.fixture
def gathered(tmp_path, monkeypatch):
    """What is gathered from an evaluation of a model on data sets that have one label each."""

    def gathered(evaluation, model=None, datasets=tuple(LABELS), epochs=None, labels=LABELS):
        training = {"epochs": epochs or hybrid_epochs(), "parameters": 7, "minutes": 2.0}
        (tmp_path / "training.json").write_text(json.dumps(training))
        records = {dataset: [record(dataset, index) for index in range(6)] for dataset in datasets}
        sources = tuple(Source(dataset, labels=(labels[dataset],)) for dataset in datasets)
        splits = Data(sources).splits("test")
        by_split = {splits[dataset]: found for dataset, found in records.items()}
        monkeypatch.setattr(gather, "_records", lambda examples, split, count: by_split[split][:count])
        monkeypatch.setattr(gather, "_data", lambda artifacts: sample_data.data_summary())
        monkeypatch.setattr(gather, "_verdict", lambda artifacts: sample_data.verdict())
        monkeypatch.setattr(gather, "read_evaluation", lambda uri: evaluation)
        monkeypatch.setattr(gather.path_utils, "serving_model_path", lambda uri: uri)
        monkeypatch.setattr(gather.tf.saved_model, "load", lambda folder: model or Network())
        nothing = Factory("builtins.dict")
        data = Data(sources, image_size=(64, 64), num_landmarks=5, parsing=True, emotion=True)
        training = Training(epochs=5, batch_size=2, optimizer=nothing, loss=nothing)
        experiment = Experiment("A summary.", "A target.", data, nothing, training, Evaluation())
        names = ("evaluation", "model_run", "model", "examples", "ingestion", "anomalies")
        artifacts = {name: SimpleNamespace(uri=str(tmp_path)) for name in names}
        return gather.gather("ifan/three_tasks", experiment, artifacts)

    return gathered


def page_of(gathered):
    return check(run_page(**gathered).render())


def results_of(gathered):
    return json.loads(gather.results_json(**gathered, report="index.html"))


def test_three_tasks_from_artifacts_to_page(gathered):
    model = Network()
    reader = page_of(gathered(evaluated(**EVERYTHING), model))
    assert reader.sections == [
        "result", "pictures", "iterations", "stages", "parsed-pictures", "classes", "landmarks", "emotion", "learning",
        "data", "run",
    ]  # fmt: skip
    assert "the 3 classes of helen" in reader.text
    assert "the 6 test pictures of mtfl, 5 points each" in reader.text
    assert "of the 8 test pictures of fer2013" in reader.text
    assert "left mouth corner" in reader.text
    assert (
        "1 parsing alone (1 epoch), 2 landmarks alone (1 epoch), 3 emotion alone (1 epoch), 4 taking turns"
        in reader.text
    )
    assert "landmark NME, lower is better 50.00 37.50 −12.50" in reader.text
    assert "mouth skin, hair 75.00" in reader.text


def test_figures_of_three_tasks(gathered):
    results = results_of(gathered(evaluated(**EVERYTHING)))
    assert results["figures"] | {"training minutes": 2.0} == {
        "images tested": 17,
        "parsing mean F1": 0.25,
        "mean IoU": 0.125,
        "pixel accuracy": 0.8,
        "overall F1": 0.5,
        "mouth-all F1": 0.75,
        "landmark NME": 0.5,
        "landmark failure rate": 0.25,
        "emotion accuracy": 0.625,
        "emotion: always the commonest": 0.625,
        "emotion mean recall": pytest.approx((1 / 3 + 4 / 5) / 2),
        "training minutes": 2.0,
        "parameters": 7,
        "epochs": 5,
        "records quarantined": 9,
    }
    assert results["point NME"]["nose"] == 0.5
    assert results["emotion recall"] == {"happy": pytest.approx(1 / 3), "sad": 0.8}
    assert results["iteration 1"] == {
        "parsing mean F1": 0.3125,
        "overall F1": 0.5,
        "landmark NME": 0.375,
        "landmark failure rate": 0.25,
        "emotion accuracy": 0.75,
        "emotion mean recall": pytest.approx((1 / 3 + 1) / 2),
    }


def test_a_few_pictures_of_each_data_set_are_asked_about_with_their_crops(gathered):
    model = Network()
    page = run_page(**gathered(evaluated(**EVERYTHING), model)).render()
    assert [each.id for records in model.asked for each in records] == [
        f"{dataset}-{index}" for dataset in LABELS for index in range(4)
    ]
    assert max(map(len, model.asked)) <= 4
    assert [each.crop is not None for records in model.asked for each in records] == [False] * 4 + [True] * 4 + [
        False
    ] * 4
    section = page[page.index('<section id="pictures">') : page.index('<section id="iterations">')]
    assert section.count("<article") == 12
    assert section.count("parsing by the label</p>") == 4
    assert section.count("#ffd23f") == 4  # crosses, on those of mtfl
    assert "sad 75\u00a0%, labelled happy" in section


def test_what_a_picture_is_asked_and_what_its_label_says():
    pictures = list(
        gather_tasks.task_pictures(Network(), [record(dataset, 1) for dataset in LABELS], "emotion", EMOTIONS)
    )
    helen, mtfl, fer2013 = pictures
    assert [each.parsing.shape for each in pictures] == [(6, 4)] * 3
    assert [each.true_parsing is None for each in pictures] == [False, True, True]
    assert helen.true_landmarks is None and helen.true_class_name is None
    np.testing.assert_array_equal(mtfl.true_landmarks, POINTS)
    assert (fer2013.class_name, fer2013.class_probability, fer2013.true_class_name) == ("sad", 0.75, "sad")


def test_what_a_model_does_not_answer_is_not_shown():
    records = [record(dataset, 0) for dataset in LABELS]
    for task in LABELS.values():
        for picture in gather_tasks.task_pictures(Network((task,)), records, "emotion", EMOTIONS):
            assert (picture.parsing is not None) == (task == "parsing")
            assert (picture.landmarks is not None) == (task == "landmarks")
            assert (picture.class_name is not None) == (task == "emotion")
            if task != "parsing":
                assert picture.true_parsing is None
            if task != "landmarks":
                assert picture.true_landmarks is None


def test_parsed_pictures_are_those_of_the_data_set_that_has_label_maps(gathered):
    parts = gathered(evaluated(**EVERYTHING))["parts"]
    (section,) = (section for part in parts for section in part.sections if section.anchor == "parsed-pictures")
    assert sorted(card.title for card in section.blocks[0].cards) == [f"helen-{index}" for index in range(6)]


@pytest.mark.parametrize(
    "dataset, tasks, sections",
    [
        ("mtfl", {"landmarks": landmarks}, ["landmarks"]),
        ("fer2013", {"emotion": emotion}, ["emotion"]),
    ],
)
def test_one_task_alone_without_interaction(gathered, dataset, tasks, sections):
    epochs = [{"loss": 2.0, "val_loss": 2.5, "learning_rate": 0.1}] * 3
    found = gathered(evaluated(0, **tasks), Network(tuple(tasks)), (dataset,), epochs)
    reader = page_of(found)
    assert reader.sections == ["result", "pictures", *sections, "learning", "data", "run"]
    assert "iteration" not in reader.text.lower() and found["history"].stages == ()
    assert not [name for name in results_of(found) if name.startswith("iteration")]


def test_two_tasks_without_interaction(gathered):
    found = gathered(
        evaluated(0, parsing=parsing, landmarks=landmarks), Network(("parsing", "landmarks")), ("helen", "mtfl")
    )
    assert page_of(found).sections == [
        "result", "pictures", "stages", "parsed-pictures", "classes", "landmarks", "learning", "data", "run",
    ]  # fmt: skip


def test_face_parsing_alone_has_the_report_that_it_always_had(gathered):
    epochs = [{"loss": 2.0, "val_loss": 2.5, "learning_rate": 0.1}] * 3
    model = Network(("parsing",))
    found = gathered(evaluated(0, parsing=parsing), model, ("helen",), epochs)
    assert page_of(found).sections == ["result", "parsed-pictures", "classes", "learning", "data", "run"]
    assert not model.asked


def test_one_task_that_hears_of_itself_has_iterations(gathered):
    found = gathered(evaluated(2, parsing=parsing), Network(("parsing",)), ("helen",))
    assert page_of(found).sections[:5] == ["result", "pictures", "iterations", "stages", "parsed-pictures"]


def test_landmarks_beside_attributes_stay_in_the_attributes_part(gathered):
    """DMM-CNN."""
    evaluation = dataclasses.replace(evaluated(0, attributes=attributes), landmarks=landmarks())
    epochs = [{"loss": 2.0, "val_loss": 2.5, "learning_rate": 0.1}] * 3
    found = gathered(evaluation, Network(("attributes",)), ("celeb_a",), epochs, {"celeb_a": "attributes"})
    assert page_of(found).sections == ["result", "predictions", "attributes", "learning", "data", "run"]
    results = results_of(found)
    assert results["figures"]["landmark NME"] == 0.0625
    assert "landmark failure rate" not in results["figures"] and "point NME" not in results


def test_attributes_as_a_fourth_task(gathered):
    labels = LABELS | {"celeb_a": "attributes"}
    found = gathered(evaluated(**EVERYTHING, attributes=attributes), None, tuple(labels), labels=labels)
    reader = page_of(found)
    assert {"pictures", "predictions", "attributes", "landmarks", "emotion", "classes"} <= set(reader.sections)
    assert reader.text.count("Landmark error (NME)") == 1
    assert all(name in reader.text for name in ("celeb_a-0", "helen-0"))
    results = results_of(found)
    assert results["figures"]["landmark NME"] == 0.5, "that of the landmarks' own data set"
    assert results["iteration 0"]["mean accuracy"] == 0.75
    predictions = next(s for part in found["parts"] for s in part.sections if s.anchor == "predictions")
    assert {card.title[:7] for card in predictions.blocks[0].cards} == {"celeb_a"}


def test_clothing_alone(gathered):
    epochs = [{"loss": 2.0, "learning_rate": 0.1, "attribute_losses": [1.0, 2.0, 3.0, 4.0]}] * 3
    labels = {"deepfashion": "clothing"}
    model = Network(("clothing",))
    found = gathered(evaluated(0, clothing=clothing), model, tuple(labels), epochs, labels)
    page = run_page(**found).render()
    reader = check(page)
    assert reader.sections == ["result", "pictures", "clothing", "learning", "data", "run"]
    assert "of the 8 test pictures of deepfashion are given the clothing of their label, one of 4." in reader.text
    assert "Its labels: clothing." in reader.text
    assert "Dress 88\u00a0%, labelled Blouse" in page  # the first picture; the second is a dress, the third unlabelled
    results = results_of(found)
    assert results["figures"]["clothing accuracy"] == 0.875 and results["figures"]["clothing top-3"] == 0.9375
    assert "clothing top-5" not in results["figures"], "there are no more than five"
    assert results["clothing recall"] == {"Blouse": 0.75, "Coat": None, "Dress": 1, "Tee": None}
    assert found["history"].names == CLOTHES and found["history"].attribute_losses.shape == (3, 4)


def test_attributes_and_clothing_in_one_network(gathered):
    """What is learnt as a yes or no are the attributes, then the categories."""
    epochs = [{"loss": 2.0, "learning_rate": 0.1, "thresholds": [0.5] * 6, "attribute_losses": [1.0] * 6}] * 2
    labels = {"celeb_a": "attributes", "deepfashion": "clothing"}
    evaluation = evaluated(0, clothing=clothing, attributes=attributes)
    found = gathered(evaluation, Network(tuple(labels.values())), tuple(labels), epochs, labels)
    reader = page_of(found)
    assert reader.sections == ["result", "predictions", "attributes", "clothing", "learning", "data", "run"]
    assert found["history"].names == ("Hat", "Young", *CLOTHES)
    figures = results_of(found)["figures"]
    assert (figures["mean accuracy"], figures["clothing accuracy"]) == (0.75, 0.875)


def test_stages_are_runs_of_epochs_with_one_name(gathered):
    found = gathered(evaluated(**EVERYTHING))
    stages = (("parsing alone", 1), ("landmarks alone", 1), ("emotion alone", 1), ("taking turns", 2))
    assert found["history"].stages == stages
    history = gather_tasks.stage_history(hybrid_epochs())
    assert history.stages == stages
    assert list(history.figures) == ["parsing mean F1", "landmark NME", "emotion accuracy"]
    np.testing.assert_array_equal(history.figures["emotion accuracy"], [np.nan, *[0.25] * 4])
    assert gather_tasks.stage_history([{"loss": 1.0}]) is None


def test_many_landmarks_are_numbered_from_one(gathered):
    evaluation = evaluated(0, landmarks=lambda: landmarks(points=68))
    found = gathered(evaluation, Network(("landmarks",)), ("mtfl",))
    names = list(results_of(found)["point NME"])
    assert (names[0], names[-1], len(names)) == ("1", "68", 68)
