"""Similarity transforms worked by hand, and images that are moved by them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.faces.detector import Face
from components.faces.frame import Frame, aligned, box_filtered, frame_of, inverse, moved, similarity, warped

POINTS = ((0.7, 0.4), (0.6, 0.4), (0.3, 0.4), (0.4, 0.4), (0.5, 0.7))


def face(points) -> Face:
    return Face((0, 0, 1, 1), 1.0, np.array(points, float))


def test_similarity_by_hand():
    # A quarter turn, twice the size, and three to the right: (1, 0) -> (3, 2), (0, 1) -> (1, 0).
    matrix = similarity([(0, 0), (1, 0), (0, 1)], [(3, 0), (3, 2), (1, 0)])
    np.testing.assert_allclose(matrix, [[0, -2, 3], [2, 0, 0]], atol=1e-12)


def test_points_that_no_similarity_brings_together_are_met_half_way():
    # Of a square stretched to twice its width, the best is 1.5 times as large, about the same middle.
    square = np.array([(-1, -1), (1, -1), (-1, 1), (1, 1)])
    np.testing.assert_allclose(similarity(square, square * (2, 1)), [[1.5, 0, 0], [0, 1.5, 0]], atol=1e-12)


@given(st.floats(0.1, 10), st.floats(-np.pi, np.pi), st.floats(-100, 100), st.floats(-100, 100))
def test_there_and_back(scale, angle, right, down):
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[a, -b, right], [b, a, down]])
    points = np.array(POINTS) * 200
    np.testing.assert_allclose(similarity(points, moved(points, matrix)), matrix, atol=1e-6)
    np.testing.assert_allclose(moved(moved(points, matrix), inverse(matrix)), points, atol=1e-6)


def test_a_frame_is_what_is_in_the_middle():
    images = [np.zeros((100, width, 3), np.uint8) for width in (80, 80, 80, 80, 120)]
    points = np.array(POINTS) * (80, 100)
    frame = frame_of([(image, face(points + offset)) for image, offset in zip(images, (-2, -1, 0, 1, 40), strict=True)])
    assert frame == Frame(0.8, POINTS)
    assert frame.size(50) == (50, 40)
    np.testing.assert_allclose(frame.pixels(50)[4], (20, 35))
    assert Frame.from_json(frame.to_json()) == frame


def test_of_few_faces_there_is_no_frame():
    assert frame_of([(np.zeros((100, 80, 3), np.uint8), face(np.array(POINTS) * (80, 100)))] * 4) is None


def test_whole_pixels_are_moved_exactly():
    image = np.arange(24, dtype=np.uint8).reshape(4, 6)
    right_and_down = np.array([[1.0, 0, 2], [0, 1.0, 1]])
    np.testing.assert_array_equal(warped(image, right_and_down, (4, 6), beyond=99)[1:, 2:], image[:3, :4])
    assert (warped(image, right_and_down, (4, 6), beyond=99)[0] == 99).all()
    assert warped(image, right_and_down, (4, 6))[0].tolist() == [0, 0, 0, 1, 2, 3]  # the edge goes on


def test_a_quarter_turn_moves_the_top_row_to_the_right():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    clockwise = np.array([[0.0, -1, 3], [1, 0, 0]])
    np.testing.assert_array_equal(warped(image, clockwise, (4, 3)), np.rot90(image, -1))


def test_shrinking_is_a_mean_of_squares():
    image = np.repeat(np.array([[0, 10, 20, 31], [4, 6, 0, 1]], np.uint8)[..., None], 3, axis=2)
    assert box_filtered(image, 2)[..., 0].tolist() == [[5, 13]]
    assert box_filtered(image, 3).shape == (1, 2, 3)
    assert box_filtered(image, 1) is image


@pytest.mark.parametrize("turn", [0.0, 0.4, -2.5])
@pytest.mark.parametrize("scale", [0.3, 1.0, 7.0])
def test_a_face_is_shown_as_the_frame_has_it(turn, scale):
    """Five marks of a photograph come to the frame's points, whichever way and size they were."""
    a, b = scale * np.cos(turn), scale * np.sin(turn)
    frame = Frame(0.8, POINTS)
    points = moved(frame.pixels(100), np.array([[a, -b, 800], [b, a, 800]]))
    photograph = np.zeros((1600, 1600, 3), np.uint8)
    rows, columns = np.mgrid[:1600, :1600] + 0.5
    radius = max(2.0, 3 * scale)
    for x, y in points:
        photograph[np.hypot(columns - x, rows - y) < radius] = 255
    shown, matrix = aligned(photograph, face(points), frame, smallest=100, largest=200)
    assert shown.shape == (*frame.size(200 if scale > 2 else 100), 3)
    np.testing.assert_allclose(moved(points, matrix), frame.pixels(len(shown)), atol=0.5)
    for x, y in frame.pixels(len(shown)):
        assert shown[int(y), int(x), 0] > 200
    assert shown[0].max() == 0
    assert shown.mean() < 25  # and nothing else


def test_a_face_at_the_edge_of_a_photograph():
    photograph = np.full((50, 50, 3), 77, np.uint8)
    shown, _ = aligned(photograph, face(np.array(POINTS) * 60 + (-20, 10)), Frame(1.0, POINTS), 64, 128)
    assert shown.shape == (64, 64, 3) and (shown == 77).all()
