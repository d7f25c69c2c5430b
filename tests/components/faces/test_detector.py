"""Faces in a photograph that comes with matplotlib, and in one that several of it were put into."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from components.faces.detector import FaceDetector
from tests.support.photographs import grace_hopper, needs_dlib

pytestmark = needs_dlib
# By eye, in the photograph of 512 x 600 pixels: outer and inner corners of the eyes, where nose and lip meet.
POINTS = np.array([(326, 188), (290, 191), (205, 195), (242, 193), (270, 252)])


@pytest.fixture(scope="module")
def detect():
    return FaceDetector()


def test_one_face(detect):
    (face,) = detect(grace_hopper())
    left, top, right, bottom = face.box
    assert 160 < left < 200 and 110 < top < 160 and 350 < right < 390 and 300 < bottom < 350
    assert face.score > 0.5
    assert np.abs(face.points - POINTS).max() < 15


def test_all_faces_of_a_group_from_left_to_right(detect):
    single = Image.fromarray(grace_hopper())
    group = Image.new("RGB", (1400, 700))
    places = [(700, 50, 1.0), (20, 100, 0.6), (380, 200, 0.5)]
    for left, top, scale in places:
        group.paste(single.resize([round(scale * side) for side in single.size]), (left, top))
    faces = detect(np.asarray(group))
    assert len(faces) == 3
    for face, (left, top, scale) in zip(faces, sorted(places), strict=True):
        assert np.abs(face.points - (POINTS * scale + (left, top))).max() < 15 * scale + 3


def test_of_small_faces_only_those_that_are_asked_for():
    small = Image.new("RGB", (2000, 1000))
    small.paste(Image.fromarray(grace_hopper()).resize((150, 178)), (1000, 500))  # the face is 54 pixels wide
    photograph = np.asarray(small)
    assert FaceDetector()(photograph) == []
    assert len(FaceDetector(min_share=0.0, min_pixels=30)(photograph)) == 1


def test_a_threshold_leaves_out_what_is_unsure():
    (face,) = FaceDetector()(grace_hopper())
    assert FaceDetector(threshold=face.score + 0.1)(grace_hopper()) == []


def test_nothing_in_no_face(detect):
    assert detect(np.full((200, 300, 3), 128, np.uint8)) == []
    assert detect(np.zeros((1, 1, 3), np.uint8)) == []


def test_the_other_detector():
    (face,) = FaceDetector("cnn", min_share=0.2)(grace_hopper())
    assert np.abs(face.points - POINTS).max() < 15


def test_what_is_no_detector_and_no_size():
    with pytest.raises(ValueError, match="one of hog, cnn; received 'haar'"):
        FaceDetector("haar")
    with pytest.raises(ValueError, match=r"received 1\.5 and 40"):
        FaceDetector(min_share=1.5)
