"""Label maps in colours, and where they are wrong."""

import numpy as np
from PIL import Image

from components.record import IGNORE_LABEL
from components.tasks.segmentation import drawings
from components.tasks.segmentation.drawings import PALETTE, UNKNOWN, WRONG, error_map, label_colours

FACE = np.tile(np.array([200, 100, 50], np.uint8), (6, 8, 1))


def cielab(colours):
    """[.., 3] sRGB of 0 to 255 -> [.., 3] L*, a*, b*: equal distances look about equally far."""
    share = np.asarray(colours) / 255
    linear = np.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / [0.9505, 1, 1.089]
    x, y, z = np.moveaxis(np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def test_the_colours_of_nineteen_classes_are_far_from_each_other():
    places = cielab(PALETTE)
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    assert len(PALETTE) == 19
    assert distances[~np.eye(19, dtype=bool)].min() > 30


def test_each_class_has_its_colour_and_what_has_none_is_grey():
    labels = np.arange(19, dtype=np.uint8).reshape(1, 19).repeat(6, axis=0)
    labels[:, 18] = IGNORE_LABEL
    coloured = label_colours(labels)
    np.testing.assert_array_equal(coloured[3, :18], PALETTE[:18])
    assert (coloured[:, 18] == UNKNOWN).all() and np.ptp(UNKNOWN) == 0
    assert np.linalg.norm(cielab(PALETTE) - cielab(UNKNOWN), axis=-1).min() > 20, "no class looks like it"


def test_exactly_the_wrong_pixels_are_marked():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 3, (2, 6, 8), np.uint8)
    truth[0] = IGNORE_LABEL
    drawn = error_map(FACE, predicted, truth)
    wrong = (predicted != truth) & (truth != IGNORE_LABEL)
    np.testing.assert_array_equal((drawn == WRONG).all(axis=-1), wrong)
    np.testing.assert_array_equal((drawn == UNKNOWN).all(axis=-1), truth == IGNORE_LABEL)
    assert 0 < wrong.sum() < wrong.size


def test_right_pixels_are_quiet():
    labels = np.zeros((6, 8), np.uint8)
    drawn = error_map(np.full((6, 8, 3), 255, np.uint8), labels, labels)
    assert np.ptp(drawn, axis=-1).max() == 0, "grey"
    assert drawn.max() < 128, "dim, however bright the image is"


def test_an_overlay_has_the_face_and_the_classes_colours():
    image = np.tile(np.array([[200, 100, 50], [0, 0, 0]], np.uint8)[:, None], (40, 8, 1))  # rows bright and dark
    labels = np.repeat([[1, 10]], 80, axis=0).repeat(4, axis=1).astype(np.uint8)
    drawn = drawings.overlay(image, labels).astype(int)
    left, right = drawn[:, : drawn.shape[1] // 3].mean(axis=(0, 1)), drawn[:, -drawn.shape[1] // 3 :].mean(axis=(0, 1))
    np.testing.assert_allclose(left - right, 0.6 * (PALETTE[1].astype(int) - PALETTE[10]), atol=1.5)
    grey = np.asarray(Image.fromarray(image).convert("L"), float).mean()
    np.testing.assert_allclose(left, 0.6 * PALETTE[1] + 0.4 * grey, atol=3)
    assert np.ptp(drawn[:, 0, 0]) > 30, "the face shows"
    unknown = drawings.overlay(image, np.full((80, 8), IGNORE_LABEL, np.uint8))
    assert (np.ptp(unknown.astype(int), axis=-1) == 0).all(), "what has no class is grey"
