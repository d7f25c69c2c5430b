"""Names for numbers, worked by hand."""

from __future__ import annotations

import numpy as np

from components.prediction.answers import columns, flat, named

OUTPUTS = {
    "attributes": {"kind": "scores", "names": ["Smiling", "Young"]},
    "attributes_decisions": {"kind": "decisions", "names": ["Smiling", "Young"]},
    "emotion": {"kind": "probabilities", "names": ["sad", "happy"]},
    "landmarks": {"kind": "points", "names": ["nose"]},
    "parsing": {"kind": "label_map", "names": ["background", "face"], "padding": 255},
    "age": {"kind": "number"},
    "image_status": {"kind": "status", "codes": {"0": "answered", "1": "the file can't be decoded"}},
}
ROW = {
    "attributes": np.array([-1.5, 0.25]),
    "attributes_decisions": np.array([0, 1]),
    "emotion": np.array([0.25, 0.75]),
    "landmarks": np.array([[0.5, 0.75]]),
    "parsing": np.array([[1, 0, 255], [0, 1, 255], [255, 255, 255]], np.uint8),
    "age": np.float32(31.5),
    "image_status": np.int64(0),
}


def test_by_task_and_name():
    answers = named(OUTPUTS, ROW)
    assert answers.pop("parsing").tolist() == [[1, 0], [0, 1]]
    assert answers == {
        "attributes": {"Smiling": {"score": -1.5, "decision": False}, "Young": {"score": 0.25, "decision": True}},
        "emotion": {"sad": 0.25, "happy": 0.75},
        "landmarks": {"nose": [0.5, 0.75]},
        "age": 31.5,
        "image_status": "answered",
    }


def test_as_a_row_of_a_table():
    row = flat(OUTPUTS, named(OUTPUTS, ROW))
    assert row == {
        "attributes.Smiling": False,
        "attributes.Smiling.score": -1.5,
        "attributes.Young": True,
        "attributes.Young.score": 0.25,
        "emotion": "happy",
        "emotion.sad": 0.25,
        "emotion.happy": 0.75,
        "landmarks.nose.x": 0.5,
        "landmarks.nose.y": 0.75,
        "age": 31.5,
    }
    assert list(columns(OUTPUTS)) == list(row)
    assert all(type(row[name]) is kind for name, kind in columns(OUTPUTS).items())


def test_what_was_not_answered_is_said_in_words():
    assert named(OUTPUTS, {**ROW, "image_status": np.int64(1)})["image_status"] == "the file can't be decoded"
