"""Training images are augmented: image, landmarks and label map move together, as the seed decides."""

import numpy as np
import pytest
import tensorflow as tf

from components.config import InputConfig, Task
from components.tasks.annotation import Annotation, BoundTask
from components.tasks.base import labels_of
from components.tasks.landmarks.markup import MARKUPS
from components.tasks.segmentation.labels import mirror_label_map
from components.trainer import augmentation

HEIGHT, WIDTH = 20, 30
# Row and column of five landmarks, far enough from the border for shifts by a fifth, each a pixel of its own grey.
PIXELS = np.array([[6, 9], [7, 19], [10, 14], [14, 11], [13, 20]])
GREYS = np.array([50, 90, 130, 170, 210])
# Of both lists of parts: an upper and a lower lip and an earring have no sides.
PARTS = ("background", "l_eye", "r_eye", "u_lip", "l_lip", "ear_r", "left_eyebrow", "right_eyebrow")
SEED = 3


def _bound(name, kind, names):
    return BoundTask(Task(name, kind), Annotation(kind, names), "tiny")


LANDMARKS = _bound("landmarks", "landmarks", tuple("12345"))
PARSING = _bound("parsing", "segmentation", PARTS)


def _face():
    """A black image with its landmarks lit, and the landmarks at the middle of their pixels."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[PIXELS[:, 0], PIXELS[:, 1]] = GREYS[:, None]
    return image, ((PIXELS[:, ::-1] + 0.5) / [WIDTH, HEIGHT]).astype(np.float32).ravel()


def _config(**settings):
    return InputConfig(**{"batch_size": 12, "max_shift": 0.1, **settings})


def _augmented(config: InputConfig, count=200, image=None, points=None, label_map=None, seed=SEED):
    """The face under the seeds (seed, 0), (seed, 1), ...: [(image, [T, 2] points), ...].

    With a `label_map` [(image, points, label map), ...].
    """
    face = _face()
    image, points = face[0] if image is None else image, face[1] if points is None else points
    labels = {"landmarks": tf.constant(points)} | ({} if label_map is None else {"parsing": tf.constant(label_map)})
    tasks = [LANDMARKS] if label_map is None else [LANDMARKS, PARSING]

    def one(index):
        seeds = tf.stack([tf.constant(seed, tf.int64), index])
        return augmentation.augment(tf.constant(image), labels, tasks, config, seeds)

    dataset = tf.data.Dataset.range(count).map(one)
    return [
        (image, moved["landmarks"].reshape(-1, 2), *([] if label_map is None else [moved["parsing"]]))
        for image, moved in dataset.as_numpy_iterator()
    ]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("max_shift", [0.0, 0.2])
def test_every_landmark_stays_on_its_pixel(flip, max_shift):
    mirrored, shifts = [], set()
    for image, points in _augmented(_config(flip=flip, max_shift=max_shift)):
        seen = image[tuple(np.floor(points[:, ::-1] * [HEIGHT, WIDTH]).astype(int).T)][:, 0]
        mirrored.append(seen[0] != GREYS[0])
        # In a mirrored image the left eye is the one that was right.
        np.testing.assert_array_equal(seen, GREYS[list(MARKUPS[5].mirror)] if mirrored[-1] else GREYS)
        assert np.count_nonzero(image) == 3 * 5
        nose = points[2] * [WIDTH, HEIGHT] - 0.5
        np.testing.assert_allclose(nose, np.round(nose), atol=1e-4)
        x, y = np.round(nose).astype(int)
        shifts.add((y - 10, x - (WIDTH - 1 - 14 if mirrored[-1] else 14)))
    assert 60 < sum(mirrored) < 140 if flip else not any(mirrored)
    # A fifth of 20 rows and of 30 columns, both ends included.
    for axis, limit in enumerate((4, 6)):
        assert {shift[axis] for shift in shifts} == set(range(-limit, limit + 1)) if max_shift else {0}


def test_neither_flip_nor_shift_changes_nothing():
    image, points = _face()
    for augmented, moved in _augmented(_config(flip=False, max_shift=0.0), count=3):
        np.testing.assert_array_equal(augmented, image)
        np.testing.assert_array_equal(moved.ravel(), points)


def test_the_border_fills_what_comes_into_view():
    image = np.repeat(np.arange(WIDTH, dtype=np.uint8)[None, :, None], HEIGHT, 0).repeat(3, 2)
    for augmented, points in _augmented(_config(flip=False, max_shift=0.2), count=30, image=image):
        shift = round(float(points[2, 0]) * WIDTH - 14.5)
        expected = np.clip(np.arange(WIDTH) - shift, 0, WIDTH - 1)
        np.testing.assert_array_equal(augmented[..., 0], np.broadcast_to(expected, (HEIGHT, WIDTH)))


def test_black_fills_what_comes_into_view():
    image = np.full((HEIGHT, WIDTH, 3), 9, np.uint8)
    for augmented, points in _augmented(_config(flip=False, max_shift=0.2, fill_mode="constant"), 30, image=image):
        shift = round(float(points[2, 0]) * WIDTH - 14.5)
        inside = (np.arange(WIDTH) >= shift) & (np.arange(WIDTH) < WIDTH + shift)
        np.testing.assert_array_equal(augmented[HEIGHT // 2, :, 0], 9 * inside)


def test_landmarks_that_are_not_annotated_stay_so():
    missing = np.full(10, np.nan, np.float32)
    assert all(np.isnan(points).all() for _, points in _augmented(_config(max_shift=0.2), count=9, points=missing))


def test_what_is_no_task_s_label_stays():
    labels = {"attributes": tf.constant([1, 0]), "attributes_positive_rate": tf.constant([0.5, 0.25])}
    tasks = [_bound("attributes", "multi_label", ("A", "B"))]
    seed = tf.constant([0, 0])
    image, left = augmentation.augment(tf.constant(_face()[0]), labels, tasks, _config(max_shift=0.2), seed)
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert {name: label.numpy().tolist() for name, label in left.items()} == {
        "attributes": [1, 0],
        "attributes_positive_rate": [0.5, 0.25],
    }


def test_the_seed_decides_everything():
    first, again = (_augmented(_config(max_shift=0.2), 20, seed=5) for _ in range(2))
    other = _augmented(_config(max_shift=0.2), 20, seed=6)
    assert all(np.array_equal(a, b) and np.array_equal(p, q) for (a, p), (b, q) in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for (a, _), (b, _) in zip(first, other, strict=True))


def _label_map():
    """Background, and at the five landmarks one label each: of eyes, lips and earring; 255 on a corner."""
    label_map = np.zeros((HEIGHT, WIDTH), np.uint8)
    label_map[tuple(PIXELS.T)] = [2, 1, 5, 3, 4]
    label_map[0, 0] = 255
    return label_map


def test_mirrored_labels_change_sides():
    label_map = _label_map()
    flipped = label_map[:, ::-1].copy()
    flipped[6, WIDTH - 1 - 9], flipped[7, WIDTH - 1 - 19] = 1, 2
    np.testing.assert_array_equal(mirror_label_map(label_map, PARTS), flipped)
    seen = _augmented(_config(max_shift=0.0), label_map=label_map)
    mirrored = [bool(image[6, WIDTH - 1 - 9].any()) for image, _, _ in seen]
    assert 60 < sum(mirrored) < 140
    for flip, (_, _, moved) in zip(mirrored, seen, strict=True):
        np.testing.assert_array_equal(moved, flipped if flip else label_map)


@pytest.mark.parametrize("kind", ["multi_label", "classification"])
def test_names_with_a_side_are_an_error(kind):
    with pytest.raises(ValueError, match="not known what 'Left_Profile' becomes in a mirror: train with flip=False"):
        labels_of("pose", Annotation(kind, ("Frontal", "Left_Profile"))).mirror(tf.constant([0, 1]))
    labels_of("pose", Annotation(kind, ("Frontal", "Cleft_Chin", "Bright"))).mirror(tf.constant([0, 1, 0]))


def test_classes_whose_sides_are_unknown_are_an_error():
    labels = {"parsing": tf.zeros((HEIGHT, WIDTH), tf.uint8)}
    faces = tf.data.Dataset.from_tensors((tf.constant(_face()[0]), labels))

    def augmented(**settings):
        tasks = [_bound("parsing", "segmentation", ("background", "left_sleeve", "right_sleeve"))]
        seed = tf.constant([0, 0])
        return faces.map(lambda image, y: augmentation.augment(image, y, tasks, _config(**settings), seed))

    with pytest.raises(ValueError, match=r"'left_sleeve' becomes in a mirror.*flip=False"):
        augmented()
    next(iter(augmented(flip=False, max_rotation=10.0)))


def test_a_shifted_label_map_is_255_where_the_image_has_its_border():
    label_map = np.random.default_rng(0).integers(0, 8, (HEIGHT, WIDTH)).astype(np.uint8)
    shifts = set()
    for _, points, moved in _augmented(_config(flip=False, max_shift=0.2), label_map=label_map):
        right, down = np.round(points[2] * [WIDTH, HEIGHT] - 0.5).astype(int) - [14, 10]
        expected = np.full((HEIGHT + 40, WIDTH + 40), 255)
        expected[20 + down :, 20 + right :][:HEIGHT, :WIDTH] = label_map
        np.testing.assert_array_equal(moved, expected[20:-20, 20:-20])
        shifts |= {down, right}
    assert min(shifts) < 0 < max(shifts)


def _warped(matrix, image=None, fill_mode="nearest"):
    """The face and its label map after `warp`: image, [T, 2] points, label map."""
    face = _face()
    labels = {"landmarks": tf.constant(face[1]), "parsing": tf.constant(_label_map())}
    image = tf.constant(face[0] if image is None else image)
    image, moved = augmentation.warp(image, labels, [LANDMARKS, PARSING], tf.constant(matrix), fill_mode)
    return image.numpy(), moved["landmarks"].numpy().reshape(-1, 2), moved["parsing"].numpy()


def _matrix(angle=0.0, factor=1.0, shift=(0, 0)):
    return augmentation.affine_matrix((HEIGHT, WIDTH), angle, factor, tf.constant(shift))


def test_a_map_to_itself_changes_nothing():
    image, points, label_map = _warped(_matrix())
    np.testing.assert_array_equal(image, _face()[0])
    np.testing.assert_allclose(points.ravel(), _face()[1], atol=1e-6)
    np.testing.assert_array_equal(label_map, _label_map())


@pytest.mark.parametrize(
    ("settings", "moved"),
    [
        # Clockwise about the centre (14.5, 9.5): what lies right of it comes to lie below it.
        ({"angle": 90.0}, lambda x, y: (14.5 - (y - 9.5), 9.5 + (x - 14.5))),
        ({"angle": -90.0}, lambda x, y: (14.5 + (y - 9.5), 9.5 - (x - 14.5))),
        ({"angle": 180.0}, lambda x, y: (29 - x, 19 - y)),
        ({"shift": (3, -2)}, lambda x, y: (x - 2, y + 3)),
        ({"angle": 180.0, "shift": (-1, 4)}, lambda x, y: (33 - x, 18 - y)),
    ],
    ids=["90", "-90", "180", "shift", "180 and shift"],
)
def test_dots_their_landmarks_and_their_labels_go_where_they_should(settings, moved):
    image, points, label_map = _warped(_matrix(**settings))
    rows, columns = np.indices((HEIGHT, WIDTH))
    x, y = (np.round(place).astype(int) for place in moved(columns, rows))
    inside = (x >= 0) & (x < WIDTH) & (y >= 0) & (y < HEIGHT)
    # The border of the image is black, so what comes from outside is black too.
    expected_image, expected_map = np.zeros_like(image), np.full_like(label_map, 255)
    expected_image[y[inside], x[inside]] = _face()[0][inside]
    expected_map[y[inside], x[inside]] = _label_map()[inside]
    np.testing.assert_array_equal(image, expected_image)
    np.testing.assert_array_equal(label_map, expected_map)
    expected_points = np.stack(moved(*PIXELS[:, ::-1].T), axis=-1)
    np.testing.assert_allclose(points * [WIDTH, HEIGHT] - 0.5, expected_points, atol=1e-4)


def test_enlarging_is_about_the_centre():
    # The pixel up and left of the centre is a square of 3 x 3, up and left of it too.
    image, label_map = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
    label_map[9, 14] = 7
    point = tf.constant([14.5 / WIDTH, 9.5 / HEIGHT])
    labels = {"landmarks": point, "parsing": tf.constant(label_map)}
    _, moved = augmentation.warp(tf.constant(image), labels, [LANDMARKS, PARSING], _matrix(factor=3.0))
    np.testing.assert_array_equal(
        np.argwhere(moved["parsing"].numpy() == 7), [[y, x] for y in (7, 8, 9) for x in (12, 13, 14)]
    )
    np.testing.assert_allclose(moved["landmarks"] * [WIDTH, HEIGHT] - 0.5, [13, 8], atol=1e-4)


def test_an_image_is_interpolated_and_rounded_and_its_border_goes_on():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:, 0], image[:, 1] = 200, 100
    right = np.float32([[1, 0, 1.258], [0, 1, 0], [0, 0, 1]])
    warped, _, _ = _warped(right, image)
    # Column 2 comes from 0.742, column 3 from 1.742: 125.8 and 25.8.
    assert warped[5, :5, 1].tolist() == [200, 200, 126, 26, 0]
    # Black beyond the border: column 1 comes from -0.258, column 0 from outside.
    warped, _, _ = _warped(right, image, fill_mode="constant")
    assert warped[5, :5, 1].tolist() == [0, 148, 126, 26, 0]


@pytest.mark.parametrize(
    "settings",
    [
        {"max_rotation": 30.0},
        {"scale": (0.75, 1.25)},
        {"max_rotation": 30.0, "scale": (0.75, 1.25), "max_shift": 0.1},
        {"flip": True, "max_rotation": 180.0, "scale": (0.5, 2.0), "max_shift": 0.1},
    ],
    ids=["rotation", "scale", "without mirror", "all"],
)
def test_what_lies_together_stays_together(settings):
    # White squares at the landmarks. Those that change places in a mirror have labels that do.
    size, parts = 61, [1, 2, 5, 6, 7]
    middles = np.array([[20, 22], [20, 38], [30, 30], [40, 24], [40, 36]])
    label_map = np.zeros((size, size), np.uint8)
    for (row, column), part in zip(middles, parts, strict=True):
        label_map[row - 2 : row + 3, column - 2 : column + 3] = part
    image = np.repeat(np.uint8(200 * (label_map > 0))[..., None], 3, axis=-1)
    points = ((middles[:, ::-1] + 0.5) / size).astype(np.float32).ravel()
    config = _config(**{"flip": False, "max_shift": 0.0, **settings})
    factors = []
    for seen, moved, labels in _augmented(config, 100, image, points, label_map):
        assert set(np.unique(labels)) <= {0, *parts, 255}
        labelled = (labels > 0) & (labels < 255)
        assert labelled[seen[..., 0] == 200].all() and not labelled[seen[..., 0] == 0].any()
        for x, y, part in zip(*(moved * size - 0.5).T, parts, strict=True):
            if min(x, y) > 6 and max(x, y) < size - 7:
                np.testing.assert_allclose(np.argwhere(labels == part).mean(axis=0), [y, x], atol=0.5)
        factors.append(np.linalg.norm(moved[4] - moved[3]) * size / 12)
    low, high = config.scale
    assert low - 1e-3 <= min(factors) <= max(factors) <= high + 1e-3
    assert max(factors) - min(factors) >= 0.9 * (high - low)


def test_angles_and_factors_are_spread_over_their_ranges_each_by_itself():
    right = np.tile(np.float32([1.0, 0.5]), 5)
    config = _config(flip=False, max_shift=0.0, max_rotation=30.0, scale=(0.75, 1.25))
    seen = _augmented(config, 300, points=right)
    offsets = np.array([(points[0] - 0.5) * [WIDTH, HEIGHT] for _, points in seen])
    angles, factors = np.degrees(np.arctan2(offsets[:, 1], offsets[:, 0])), np.hypot(*offsets.T) / (WIDTH / 2)
    assert -30 <= angles.min() < -29 and 29 < angles.max() <= 30
    assert 0.7499 <= factors.min() < 0.76 and 1.24 < factors.max() <= 1.2501
    assert abs(angles.mean()) < 3 and abs(factors.mean() - 1) < 0.03
    assert abs(np.corrcoef(angles, factors)[0, 1]) < 0.2


def test_the_centre_goes_where_a_shift_alone_takes_it():
    centre = np.full(10, 0.5, np.float32)
    shifted = _augmented(_config(max_shift=0.2), 20, points=centre)
    turned = _augmented(_config(max_shift=0.2, max_rotation=30.0, scale=(0.75, 1.25)), 20, points=centre)
    assert len({points.tobytes() for _, points in shifted}) > 10
    for (_, expected), (_, points) in zip(shifted, turned, strict=True):
        np.testing.assert_allclose(points, expected, atol=1e-6)


def test_turning_and_enlarging_follow_from_the_seed():
    config = _config(max_rotation=30.0, scale=(0.75, 1.25), max_shift=0.1)
    first, again = (_augmented(config, 20, label_map=_label_map()) for _ in range(2))
    assert all(
        np.array_equal(a, b) for one, other in zip(first, again, strict=True) for a, b in zip(one, other, strict=True)
    )
    assert len({points.tobytes() for _, points, _ in first}) == 20


def test_landmarks_that_are_not_annotated_stay_so_in_a_warp():
    missing = np.full(10, np.nan, np.float32)
    assert all(np.isnan(points).all() for _, points in _augmented(_config(max_rotation=9.0), count=5, points=missing))
