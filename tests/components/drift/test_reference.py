"""How images look and what was answered for them, in numbers worked out by hand, and kept beside a model."""

import numpy as np
import pytest

from components.drift.reference import (
    NOT_FINITE,
    REFERENCE,
    answer_statistics,
    concatenated,
    image_statistics,
    label_statistics,
    measured,
    outputs_of,
    read_reference,
    write_reference,
)
from components.images.status import STATUS, WORDS, Status
from components.prediction.answers import categories
from components.tasks.annotation import Annotation, points
from components.tasks.base import labels_of
from tests.support.serving import png

OUTPUTS = {
    "attributes": {"kind": "scores", "names": ["Smiling", "Young"]},
    "attributes_decisions": {"kind": "decisions", "names": ["Smiling", "Young"]},
    "emotion": {"kind": "probabilities", "names": ["calm", "angry", "happy"]},
    "landmarks": {"kind": "points", "names": ["left", "right"]},
    "parsing": {"kind": "label_map", "names": ["skin", "hair"], "padding": 255},
    "age": {"kind": "number"},
}
ANSWERS = {
    "attributes": np.array([[0.3, -1.0], [2.0, 0.0]]),
    "attributes_decisions": np.array([[1, 0], [1, 1]]),
    "emotion": np.array([[0.2, 0.5, 0.3], [0.1, 0.0, 0.9]]),
    "landmarks": np.array([[[0.2, 0.5], [0.6, 0.5]], [[0.0, 0.0], [0.6, 0.8]]]),
    "parsing": np.array([[[0, 0, 1], [0, 255, 255]], [[1, 1, 1], [1, 1, 0]]], np.uint8),
    "age": np.array([31.0, 8.0]),
}


def test_image_statistics():
    # Black but for a white middle; all red.
    dot = np.zeros((3, 3, 3))
    dot[1, 1] = 255
    red = np.zeros((3, 3, 3))
    red[..., 0] = 255
    found = image_statistics(np.stack([dot, red]))
    np.testing.assert_allclose(found["image brightness"], [1 / 9, 0.299], rtol=1e-6)
    np.testing.assert_allclose(found["image contrast"], [np.sqrt(8) / 9, 0], atol=1e-6)
    np.testing.assert_allclose(found["image chroma"], [0, 1], atol=1e-6)
    np.testing.assert_allclose(found["image sharpness"], [0, 0], atol=1e-6)  # of one value there is no spread


def test_sharpness_is_the_spread_of_the_laplacian():
    edge = np.zeros((4, 6, 3))
    edge[:, 3:] = 255
    # Rows of 0 0 0 1 1 1: in the middle the second differences 0, 1, -1, 0.
    np.testing.assert_allclose(image_statistics(edge[np.newaxis])["image sharpness"], [np.sqrt(0.5)], rtol=1e-6)


def test_answers_as_numbers():
    found = answer_statistics(OUTPUTS, ANSWERS)
    expected = {
        "attributes.Smiling": [1, 1],
        "attributes.Young": [0, 1],
        "emotion": [1, 2],
        "landmarks.x": [0.4, 0.3],
        "landmarks.y": [0.5, 0.4],
        "landmarks.extent": [0.2, 0.5],
        "parsing.skin": [3 / 4, 1 / 6],
        "parsing.hair": [1 / 4, 5 / 6],
        "age": [31, 8],
    }
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6, err_msg=name)


def test_categories():
    no_yes = dict.fromkeys(("attributes.Smiling", "attributes.Young"), ("no", "yes"))
    assert categories(OUTPUTS) == {**no_yes, "emotion": ("calm", "angry", "happy")}


def test_outputs_of_tasks():
    assert list(outputs_of(OUTPUTS, ["attributes", "age"])) == ["attributes", "attributes_decisions", "age"]


FILES = [png(np.full((8, 8, 3), 10 * index)) for index in range(20)]


def test_what_is_not_answered_is_left_out():
    asked = []

    def answer(images):
        asked.append(len(images))
        ages = np.arange(len(images), dtype=float)
        ages[0] = np.nan
        return {STATUS: [0] * (len(images) - 1) + [3], "age": ages}

    found, left_out = measured(answer, {"age": OUTPUTS["age"]}, (8, 8), FILES)
    assert asked == [16, 4] and left_out == {WORDS[Status(3)]: 2, NOT_FINITE: 2}
    assert found["age"].tolist() == [*range(1, 15), 1, 2]
    grey = [10 * index / 255 for index in (*range(1, 15), 17, 18)]
    np.testing.assert_allclose(found["image brightness"], grey, atol=1e-6)


def test_images_with_label_maps_are_asked_about_one_by_one():
    asked = []

    def answer(images):
        asked.append(len(images))
        return {STATUS: np.zeros(len(images)), "parsing": np.zeros((len(images), 8, 8), np.uint8)}

    found, left_out = measured(answer, {"parsing": OUTPUTS["parsing"]}, (8, 8), FILES[:3])
    assert asked == [1, 1, 1] and found["parsing.skin"].tolist() == [1, 1, 1] and not left_out


@pytest.mark.parametrize(
    ("annotation", "of_images", "expected"),
    [
        (
            Annotation("multi_label", ("Smiling", "Young", "Bald")),
            [[1, 0, -1], [0, -1, -1]],
            {"label it.Smiling": [1, 0], "label it.Young": [0]},
        ),
        (Annotation("classification", ("calm", "angry")), [1, -1, 0], {"label it": [1, 0]}),
        (Annotation("regression"), [31.0, np.nan, 8.0], {"label it": [31, 8]}),
        (Annotation("landmarks", points(2)), [[0.1, 0.2, 0.3, 0.4]], {}),
    ],
)
def test_what_images_are_annotated_with(annotation, of_images, expected):
    found = label_statistics(labels_of("it", annotation), np.array(of_images))
    assert {name: values.tolist() for name, values in found.items()} == expected


def test_of_no_images():
    assert measured(lambda images: {}, OUTPUTS, (8, 8), []) == ({}, {}) and concatenated([]) == {}


def test_kept_by_data_set(tmp_path):
    (tmp_path / "assets.extra").mkdir()
    datasets = {"mtfl": {"landmarks.x": np.array([0.5, 0.25])}, "fer2013": {"emotion": np.array([3.0])}}
    write_reference(str(tmp_path), datasets)
    found = read_reference(str(tmp_path))
    assert {name: {key: of.tolist() for key, of in values.items()} for name, values in found.items()} == {
        "mtfl": {"landmarks.x": [0.5, 0.25]},
        "fer2013": {"emotion": [3.0]},
    }


def test_an_earlier_model_has_none(tmp_path):
    with pytest.raises(ValueError, match=r"earlier facetfx, without assets.extra/reference.npz: train it again"):
        read_reference(str(tmp_path))


def test_a_damaged_one_is_named(tmp_path):
    (tmp_path / "assets.extra").mkdir()
    write_reference(str(tmp_path), {"mtfl": {"landmarks.x": np.arange(100.0)}})
    path = tmp_path / REFERENCE
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:60] + bytes(40) + whole[100:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"reference\.npz' is damaged .*: push the model again"):
            read_reference(str(tmp_path))
