"""Faces of a photograph, shown to a model as its training images were, and their answers in the photograph."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from components.faces.frame import Frame
from components.images.status import Status
from components.prediction.model import PushedModel, newest_version
from components.prediction.predictor import Detection, Predictor, painted, table_columns
from tests.support.photographs import grace_hopper, needs_dlib
from tests.support.serving import COLOURS, colours, exported, learnt, png

pytestmark = pytest.mark.slow
# About the face, and a wide one.
NEAR = Frame(0.8, ((0.7, 0.4), (0.6, 0.4), (0.3, 0.4), (0.4, 0.4), (0.5, 0.6)))
FAR = Frame(1.0, ((0.6, 0.4), (0.55, 0.4), (0.4, 0.4), (0.45, 0.4), (0.5, 0.5)))
FRAMES = {"parsing": NEAR, "landmarks": NEAR, "emotion": FAR, "attributes": NEAR, "age": FAR}  # none for clothing


def colours_model(folder, frames):
    return PushedModel(str(exported(colours(), learnt(*COLOURS), folder / "colours" / "17", frames=frames)))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return colours_model(tmp_path_factory.mktemp("model"), FRAMES)


def test_a_pushed_model_knows_what_it_is(model):
    assert (model.name, model.version, model.image_size) == ("colours", "17", (32, 32))
    assert model.tasks == ("parsing", "landmarks", "emotion", "clothing", "attributes", "age")
    rows = model.answers([png(np.full((4, 4, 3), shade)) for shade in range(0, 200, 5)])
    assert len(rows) == 40  # more than are asked about at once
    np.testing.assert_allclose([row["age"] for row in rows], 100 * np.arange(0, 200, 5) / 255, rtol=1e-5)


@needs_dlib
def test_each_face_is_answered_in_the_photograph_s_own_pixels(model):
    predict = Predictor(model, Detection())
    photograph = grace_hopper()
    ((alone,),) = predict([photograph])
    assert alone.row["face"] == 0 and "problem" not in alone.row
    assert not any(column.startswith("clothing") for column in alone.row)
    left, top = alone.row["left"], alone.row["top"]
    assert left < alone.row["landmarks.1.x"] < left + alone.row["width"]
    assert top - 50 < alone.row["landmarks.1.y"] < top + alone.row["height"] + 50
    # Twice, one of them a little turned, on a larger ground: the answers go with the faces.
    group = Image.new("RGB", (1700, 1000), (20, 40, 80))
    group.paste(Image.fromarray(photograph), (900, 300))
    group.paste(Image.fromarray(photograph).rotate(8, Image.Resampling.BICUBIC), (100, 50))
    ((turned, moved),) = predict([np.asarray(group)])
    for each in (turned, moved):
        for name in ("attributes.redder.score", "attributes.bluer.score", "emotion.r", "emotion.b"):
            assert each.row[name] == pytest.approx(alone.row[name], abs=0.03)
        assert each.row["age"] == pytest.approx(alone.row["age"], abs=6)  # of a wide frame, the ground too
    assert moved.row["landmarks.1.x"] - 900 == pytest.approx(alone.row["landmarks.1.x"], abs=6)
    assert moved.row["landmarks.2.y"] - 300 == pytest.approx(alone.row["landmarks.2.y"], abs=6)
    labels, before = moved.maps["parsing"], alone.maps["parsing"]
    assert labels.shape == (1000, 1700) and before.shape == photograph.shape[:2]
    there = labels[300:900, 900:1412]
    both = (there != 255) & (before != 255)
    assert both.mean() > 0.2 and (there[both] == before[both]).mean() > 0.97
    assert (labels[:, :800] == 255).all()  # nothing was looked at there


@needs_dlib
def test_a_photograph_without_a_face(model):
    ((answered,),) = Predictor(model, Detection())([np.full((200, 300, 3), 90, np.uint8)])
    assert answered.row == {"problem": "no face was found"} and not answered.maps


def test_whole_images_as_they_are(model):
    photograph = np.zeros((50, 100, 3), np.uint8)
    photograph[:, :50], photograph[:, 50:] = (255, 0, 0), (0, 0, 255)
    ((answered,),) = Predictor(model, None)([photograph])
    assert (answered.row["width"], answered.row["height"], answered.row["face"]) == (100, 50, 0)
    assert answered.row["age"] == pytest.approx(50, abs=0.5)
    assert answered.row["clothing.r"] == pytest.approx(0.5, abs=0.01)
    assert answered.row["landmarks.1.x"] == pytest.approx(50, abs=0.5)
    assert answered.row["landmarks.1.y"] == pytest.approx(0, abs=0.1)
    assert (answered.maps["parsing"][:, :45] == 0).all() and (answered.maps["parsing"][:, 55:] == 2).all()


@needs_dlib
def test_the_faces_of_several_photographs_are_asked_about_together(model, monkeypatch):
    face, group = grace_hopper(), np.concatenate([grace_hopper(), grace_hopper()], axis=1)
    photographs = [face, np.full((200, 300, 3), 90, np.uint8), group]
    predict = Predictor(model, Detection())
    expected = [predict([photograph])[0] for photograph in photographs]
    asked = []
    ask = model.ask
    monkeypatch.setattr(model, "ask", lambda images: asked.append(len(images)) or ask(images))
    answered = predict(photographs)
    assert asked == [6]  # three faces in two frames
    assert [len(of) for of in answered] == [1, 1, 2] and answered[1][0].row == {"problem": "no face was found"}
    for ours, alone in zip(answered, expected, strict=True):
        for each, other in zip(ours, alone, strict=True):
            assert each.row == pytest.approx(other.row, abs=1e-4)
            assert all((each.maps[task] == labels).all() for task, labels in other.maps.items())


def test_what_the_served_model_refuses_is_said(model):
    ((answered,),) = Predictor(model, None)([np.zeros((1, 17_000, 3), np.uint8)])
    assert "more than 16,384 on a side" in answered.row["problem"]


def test_what_is_too_much_for_one_request_is_asked_about_again(model, monkeypatch):
    asked, ask = [], model.ask

    def refuse_the_second(images):
        asked.append(len(images))
        answers = ask(images)
        if len(images) > 1:
            answers["image_status"][1] = Status.REQUEST_TOO_LARGE
        return answers

    monkeypatch.setattr(model, "ask", refuse_the_second)
    photographs = [np.full((8, 8, 3), shade, np.uint8) for shade in (0, 51, 255)]
    ages = [of[0].row["age"] for of in Predictor(model, None)(photographs)]
    assert ages == pytest.approx([0, 20, 100]) and asked == [3, 1]


@needs_dlib
def test_a_model_without_frames_says_what_to_do(tmp_path):
    without = colours_model(tmp_path, {})
    with pytest.raises(ValueError, match=r"In the training images of colours no faces were found.*AS_IS=1"):
        Predictor(without, Detection())
    assert Predictor(without, None)


def test_the_columns_are_those_of_the_rows(model):
    ((answered,),) = Predictor(model, None)([np.zeros((8, 8, 3), np.uint8)])
    columns = table_columns(model, as_is=True)
    assert set(answered.row) <= set(columns)
    assert {"parsing.labels", "parsing.overlay", "clothing", "model", "version"} <= set(columns)
    assert "clothing" not in table_columns(model, as_is=False)


def test_painted_where_there_are_labels():
    photograph = np.full((2, 2, 3), 100, np.uint8)
    shown = painted(photograph, np.array([[255, 1], [0, 255]], np.uint8))
    assert (shown[0, 0] == 100).all() and (shown[1, 1] == 100).all() and (shown[0, 1] != 100).any()


def test_the_newest_whole_version(tmp_path):
    for version in ("3", "10", "11"):
        (tmp_path / version).mkdir()
    for version in ("3", "10"):
        for part in ("saved_model.pb", "variables/variables.index", "assets.extra/contract.json"):
            (tmp_path / version / part).parent.mkdir(exist_ok=True)
            (tmp_path / version / part).touch()
    (tmp_path / "11" / "saved_model.pb").touch()
    (tmp_path / "notes").mkdir()
    assert newest_version(str(tmp_path)).endswith("/10")  # 11 is being written
    with pytest.raises(FileNotFoundError, match="No pushed model"):
        newest_version(str(tmp_path / "notes"))


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no model that facetfx exported"):
        PushedModel(str(tmp_path))
