"""The page that shows new images beside those that a model knows."""

import collections
import dataclasses

import numpy as np

from components.drift.comparison import Drift
from components.prediction.drift_page import drift_page
from components.prediction.new_images import NewImages
from tests.components.page.page_checks import check


def _drift(name, known, new, categories=(), p=0.0, distance=0.5):
    return Drift(name, np.array(known, float), np.array(new, float), categories, distance, 0.1, p)


def test_the_page():
    found = NewImages(photographs=20, left_out=collections.Counter({"the file is empty": 3, "no face was found": 2}))
    found.not_compared["landmarks"] = "aligned faces have it elsewhere"
    small = _drift("age", [30, 31], [31, 31], p=1e-9, distance=0.05)
    other = _drift("emotion", [0, 0, 2, 1], [2, 2, 2, 1], ("calm", "angry", "happy"))
    page = drift_page("colours", "17", found, {"fer2013": [other, small], "mtfl": [small]}).render()
    reader = check(page)
    assert reader.sections == ["result", "against-fer2013", "against-mtfl"]
    for words in (
        "Other images", "3 of 20 photographs could not be read or answered", "the file is empty 3",
        "emotion: calm 0.0 % instead of 50.0 %", "no face was found 2",
        "landmarks is not compared: aligned faces have it elsewhere", "4 images against 4 images of its validation",
        "By more than chance, within the thresholds: age: 31 ± 0 instead of 30.5 ± 0.5",
    ):  # fmt: skip
        assert words in reader.text, words


def test_the_page_of_images_of_the_same_kind():
    many = np.zeros(30)
    same = _drift("age", many, many, p=1.0, distance=0.0)
    found = NewImages(photographs=30)
    assert "The same kind of images" in check(drift_page("colours", "17", found, {"mtfl": [same]}).render()).text
    few = dataclasses.replace(same, new=many[1:])
    assert "Too few images to tell" in check(drift_page("colours", "17", found, {"mtfl": [few]}).render()).text
