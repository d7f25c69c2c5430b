"""The training input: pictures, landmarks and label maps move together, and a continued run sees what an unbroken one
sees."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
import tiny_faces

from components.config import Data, TaskTraining, Teacher, Training
from components.tasks.landmarks.markup import MARKUPS
from components.tasks.segmentation.label_maps import encode_label_map
from components.trainer import inputs

HEIGHT, WIDTH = 20, 30
# Row and column of five landmarks, far enough from the border for shifts by a fifth, each a pixel of its own grey.
PIXELS = np.array([[6, 9], [7, 19], [10, 14], [14, 11], [13, 20]])
GREYS = np.array([50, 90, 130, 170, 210])
NUM_ATTRIBUTES = len(tiny_faces.ATTRIBUTES)


class Builder:
    # Of both lists of parts: an upper and a lower lip and an earring have no sides.
    LABELS = ("background", "l_eye", "r_eye", "u_lip", "l_lip", "ear_r", "left_eyebrow", "right_eyebrow")


PARSING = Data(tiny_faces.SOURCES, image_size=(32, 32), attributes=False, num_landmarks=0, parsing=True)


def _face():
    """A black picture with its landmarks lit, and the landmarks at the middle of their pixels."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[PIXELS[:, 0], PIXELS[:, 1]] = GREYS[:, None]
    return image, ((PIXELS[:, ::-1] + 0.5) / [WIDTH, HEIGHT]).astype(np.float32).ravel()


def _training(**settings):
    return tiny_faces.experiment(**settings).training


def _augmented(training: Training, count=200, image=None, points=None, label_map=None):
    """The face under the seeds (training.seed, 0), (training.seed, 1), ...: [(image, [T, 2] points), ...].

    With a `label_map` [(image, points, label map), ...].
    """
    face = _face()
    image, points = face[0] if image is None else image, face[1] if points is None else points
    labels = {"landmarks": tf.constant(points)} | ({} if label_map is None else {"parsing": tf.constant(label_map)})

    def one(index):
        seed = tf.stack([tf.constant(training.seed, tf.int64), index])
        return inputs.augment(tf.constant(image), labels, training, seed, Builder.LABELS)

    dataset = tf.data.Dataset.range(count).map(one)
    return [
        (image, moved["landmarks"].reshape(-1, 2), *([] if label_map is None else [moved["parsing"]]))
        for image, moved in dataset.as_numpy_iterator()
    ]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("max_shift", [0.0, 0.2])
def test_every_landmark_stays_on_its_pixel(flip, max_shift):
    mirrored, shifts = [], set()
    for image, points in _augmented(_training(flip=flip, max_shift=max_shift)):
        seen = image[tuple(np.floor(points[:, ::-1] * [HEIGHT, WIDTH]).astype(int).T)][:, 0]
        mirrored.append(seen[0] != GREYS[0])
        # In a mirrored picture the left eye is the one that was right.
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
    for augmented, moved in _augmented(_training(flip=False, max_shift=0.0), count=3):
        np.testing.assert_array_equal(augmented, image)
        np.testing.assert_array_equal(moved.ravel(), points)


def test_mirror_worked_by_hand():
    # Eyes, nose, mouth corners; x becomes 1 - x and the sides change names.
    points = np.array([[0.25, 0.4], [0.7, 0.5], [0.5, 0.6], [0.3, 0.8], [0.6, 0.9]], np.float32)
    expected = [[0.3, 0.5], [0.75, 0.4], [0.5, 0.6], [0.4, 0.9], [0.7, 0.8]]
    np.testing.assert_allclose(inputs.mirror_points(points), expected, rtol=1e-6)


@pytest.mark.parametrize("size", MARKUPS)
def test_mirroring_twice_changes_nothing(size):
    points = np.random.default_rng(0).random((size, 2)).astype(np.float32)
    np.testing.assert_allclose(inputs.mirror_points(inputs.mirror_points(points)), points, atol=1e-6)


def test_the_border_fills_what_comes_into_view():
    image = np.repeat(np.arange(WIDTH, dtype=np.uint8)[None, :, None], HEIGHT, 0).repeat(3, 2)
    for augmented, points in _augmented(_training(flip=False, max_shift=0.2), count=30, image=image):
        shift = round(float(points[2, 0]) * WIDTH - 14.5)
        expected = np.clip(np.arange(WIDTH) - shift, 0, WIDTH - 1)
        np.testing.assert_array_equal(augmented[..., 0], np.broadcast_to(expected, (HEIGHT, WIDTH)))


def test_landmarks_that_are_not_annotated_stay_so():
    missing = np.full(10, np.nan, np.float32)
    assert all(np.isnan(points).all() for _, points in _augmented(_training(max_shift=0.2), count=9, points=missing))


def test_pictures_without_landmarks_are_augmented_too():
    labels = {"attributes": tf.constant([1, 0])}
    image, left = inputs.augment(tf.constant(_face()[0]), labels, _training(max_shift=0.2), tf.constant([0, 0]), ())
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert left == labels


def test_the_seed_decides_everything():
    first, again = _augmented(_training(seed=5, max_shift=0.2), 20), _augmented(_training(seed=5, max_shift=0.2), 20)
    other = _augmented(_training(seed=6, max_shift=0.2), 20)
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
    np.testing.assert_array_equal(inputs.mirror_label_map(label_map, Builder.LABELS), flipped)
    seen = _augmented(_training(max_shift=0.0), label_map=label_map)
    mirrored = [bool(image[6, WIDTH - 1 - 9].any()) for image, _, _ in seen]
    assert 60 < sum(mirrored) < 140
    for flip, (_, _, moved) in zip(mirrored, seen, strict=True):
        np.testing.assert_array_equal(moved, flipped if flip else label_map)


def test_mirroring_a_label_map_twice_changes_nothing():
    labels = np.random.default_rng(0).choice([*range(8), 255], (9, 12)).astype(np.uint8)
    again = inputs.mirror_label_map(inputs.mirror_label_map(labels, Builder.LABELS), Builder.LABELS)
    np.testing.assert_array_equal(again, labels)


def test_classes_whose_sides_are_unknown_are_an_error():
    labels = {"parsing": tf.zeros((HEIGHT, WIDTH), tf.uint8)}
    faces = tf.data.Dataset.from_tensors((tf.constant(_face()[0]), labels))

    def augmented(**settings):
        classes = ("background", "left_sleeve", "right_sleeve")
        return faces.map(lambda image, y: inputs.augment(image, y, _training(**settings), [0, 0], classes))

    with pytest.raises(ValueError, match=r"'left_sleeve' becomes in a mirror.*flip=False"):
        augmented()
    next(iter(augmented(flip=False, max_rotation=10.0)))


def test_a_shifted_label_map_is_255_where_the_picture_has_its_border():
    label_map = np.random.default_rng(0).integers(0, 8, (HEIGHT, WIDTH)).astype(np.uint8)
    shifts = set()
    for _, points, moved in _augmented(_training(flip=False, max_shift=0.2), label_map=label_map):
        right, down = np.round(points[2] * [WIDTH, HEIGHT] - 0.5).astype(int) - [14, 10]
        expected = np.full((HEIGHT + 40, WIDTH + 40), 255)
        expected[20 + down :, 20 + right :][:HEIGHT, :WIDTH] = label_map
        np.testing.assert_array_equal(moved, expected[20:-20, 20:-20])
        shifts |= {down, right}
    assert min(shifts) < 0 < max(shifts)


def _warped(matrix, image=None):
    """The face and its label map after `warp`: image, [T, 2] points, label map."""
    face = _face()
    labels = {"landmarks": tf.constant(face[1]), "parsing": tf.constant(_label_map())}
    image, moved = inputs.warp(tf.constant(face[0] if image is None else image), labels, tf.constant(matrix))
    return image.numpy(), moved["landmarks"].numpy().reshape(-1, 2), moved["parsing"].numpy()


def _movement(angle=0.0, factor=1.0, shift=(0, 0)):
    return inputs.movement((HEIGHT, WIDTH), angle, factor, tf.constant(shift))


def test_a_movement_by_nothing_changes_nothing():
    image, points, label_map = _warped(_movement())
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
    image, points, label_map = _warped(_movement(**settings))
    rows, columns = np.indices((HEIGHT, WIDTH))
    x, y = (np.round(place).astype(int) for place in moved(columns, rows))
    inside = (x >= 0) & (x < WIDTH) & (y >= 0) & (y < HEIGHT)
    # The border of the picture is black, so what comes from outside is black too.
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
    _, moved = inputs.warp(image, {"landmarks": point, "parsing": label_map}, _movement(factor=3.0))
    np.testing.assert_array_equal(
        np.argwhere(moved["parsing"].numpy() == 7), [[y, x] for y in (7, 8, 9) for x in (12, 13, 14)]
    )
    np.testing.assert_allclose(moved["landmarks"] * [WIDTH, HEIGHT] - 0.5, [13, 8], atol=1e-4)


def test_a_picture_is_interpolated_and_rounded_and_its_border_goes_on():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:, 0], image[:, 1] = 200, 100
    right = np.float32([[1, 0, 1.258], [0, 1, 0], [0, 0, 1]])
    warped, _, _ = _warped(right, image)
    # Column 2 comes from 0.742, column 3 from 1.742: 125.8 and 25.8.
    assert warped[5, :5, 1].tolist() == [200, 200, 126, 26, 0]


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
    training = _training(**{"flip": False, "max_shift": 0.0, **settings})
    factors = []
    for seen, moved, labels in _augmented(training, 100, image, points, label_map):
        assert set(np.unique(labels)) <= {0, *parts, 255}
        labelled = (labels > 0) & (labels < 255)
        assert labelled[seen[..., 0] == 200].all() and not labelled[seen[..., 0] == 0].any()
        for x, y, part in zip(*(moved * size - 0.5).T, parts, strict=True):
            if min(x, y) > 6 and max(x, y) < size - 7:
                np.testing.assert_allclose(np.argwhere(labels == part).mean(axis=0), [y, x], atol=0.5)
        factors.append(np.linalg.norm(moved[4] - moved[3]) * size / 12)
    low, high = training.scale
    assert low - 1e-3 <= min(factors) <= max(factors) <= high + 1e-3
    assert max(factors) - min(factors) >= 0.9 * (high - low)


def test_angles_and_factors_are_spread_over_their_ranges_each_by_itself():
    right = np.tile(np.float32([1.0, 0.5]), 5)
    training = _training(flip=False, max_shift=0.0, max_rotation=30.0, scale=(0.75, 1.25))
    seen = _augmented(training, 300, points=right)
    offsets = np.array([(points[0] - 0.5) * [WIDTH, HEIGHT] for _, points in seen])
    angles, factors = np.degrees(np.arctan2(offsets[:, 1], offsets[:, 0])), np.hypot(*offsets.T) / (WIDTH / 2)
    assert -30 <= angles.min() < -29 and 29 < angles.max() <= 30
    assert 0.7499 <= factors.min() < 0.76 and 1.24 < factors.max() <= 1.2501
    assert abs(angles.mean()) < 3 and abs(factors.mean() - 1) < 0.03
    assert abs(np.corrcoef(angles, factors)[0, 1]) < 0.2


def test_the_centre_goes_where_a_shift_alone_takes_it():
    centre = np.full(10, 0.5, np.float32)
    shifted = _augmented(_training(max_shift=0.2), 20, points=centre)
    turned = _augmented(_training(max_shift=0.2, max_rotation=30.0, scale=(0.75, 1.25)), 20, points=centre)
    assert len({points.tobytes() for _, points in shifted}) > 10
    for (_, expected), (_, points) in zip(shifted, turned, strict=True):
        np.testing.assert_allclose(points, expected, atol=1e-6)


def test_turning_and_enlarging_follow_from_the_seed():
    training = _training(max_rotation=30.0, scale=(0.75, 1.25), max_shift=0.1)
    first, again = (_augmented(training, 20, label_map=_label_map()) for _ in range(2))
    assert all(
        np.array_equal(a, b) for one, other in zip(first, again, strict=True) for a, b in zip(one, other, strict=True)
    )
    assert len({points.tobytes() for _, points, _ in first}) == 20


def test_landmarks_that_are_not_annotated_stay_so_in_a_warp():
    missing = np.full(10, np.nan, np.float32)
    assert all(np.isnan(points).all() for _, points in _augmented(_training(max_rotation=9.0), count=5, points=missing))


def _dataset(files, first_step=0, steps=5, data=tiny_faces.DATA, **settings):
    training = _training(**settings)
    return inputs.training_batches(files, data, training, Builder, steps, training.epochs, training.seed, first_step)


def _batches(*arguments, **settings):
    return list(_dataset(*arguments, **settings).as_numpy_iterator())


def _assert_equal(batches, expected):
    for (image, labels), (expected_image, expected_labels) in zip(batches, expected, strict=True):
        np.testing.assert_array_equal(image, expected_image)
        assert labels.keys() == expected_labels.keys()
        for name, values in expected_labels.items():
            np.testing.assert_array_equal(labels[name], values)


def _numbers(batches):
    """Which records these are, from the binary digits in their attributes; not annotated: 62."""
    digits = np.concatenate([labels["attributes"] for _, labels in batches])
    return np.where(digits[:, 0] < 0, 62, digits @ 2 ** np.arange(NUM_ATTRIBUTES))


def test_shapes_of_a_batch(tiny_files):
    batches = _batches(tiny_files["train"])
    assert len(batches) == 4 * 5
    image, labels = batches[0]
    assert image.shape == (12, 32, 32, 3) and image.dtype == np.uint8
    assert labels["attributes"].shape == (12, 6) and labels["attributes"].dtype == np.int64
    assert labels["landmarks"].shape == (12, 10) and labels["landmarks"].dtype == np.float32


def test_an_epoch_draws_no_record_twice(tiny_files):
    # 5 batches of 12 are 60 of the 64 records.
    epochs = np.split(_numbers(_batches(tiny_files["train"])), 4)
    assert all(len(set(epoch)) == 60 for epoch in epochs)
    assert set(np.concatenate(epochs)) == set(range(64))
    assert not np.array_equal(epochs[0], epochs[1])


# Of four epochs of five batches: from the start of an epoch, and from within.
@pytest.mark.parametrize("first_step", [1, 5, 7, 15, 19, 20])
def test_a_continued_run_sees_the_rest_of_an_unbroken_one(tiny_files, first_step):
    unbroken, continued = _batches(tiny_files["train"]), _batches(tiny_files["train"], first_step)
    assert len(continued) == 20 - first_step
    _assert_equal(continued, unbroken[first_step:])


def test_a_run_without_end_begins_like_others_and_goes_on(tiny_files):
    batches = _dataset(tiny_files["train"], epochs=None)
    drawn = list(batches.take(27).as_numpy_iterator())
    _assert_equal(drawn[:20], _batches(tiny_files["train"]))
    _assert_equal(_dataset(tiny_files["train"], 22, epochs=None).take(5).as_numpy_iterator(), drawn[22:])


def test_a_task_s_batches_are_those_of_a_run_with_its_settings(tiny_files):
    training = _training(epochs=1)
    task = TaskTraining(label="attributes", batch_size=training.batch_size, max_shift=training.max_shift)
    batches = inputs.training_batches(tiny_files["train"], tiny_faces.DATA, task, Builder, 5, 1, training.seed)
    _assert_equal(batches.as_numpy_iterator(), _batches(tiny_files["train"], epochs=1))


def test_another_seed_is_another_order(tiny_files):
    one, other = (_numbers(_batches(tiny_files["train"], seed=seed, epochs=1)) for seed in (3, 4))
    assert not np.array_equal(one, other)


def test_evaluation_reads_the_files_by_name(tiny_files):
    backwards = tiny_files["train"][::-1]
    examples = list(inputs.evaluation_examples(backwards, tiny_faces.DATA).as_numpy_iterator())
    numbers = _numbers([(None, {"attributes": np.stack([labels["attributes"] for _, labels in examples])})])
    assert numbers.tolist() == [*range(0, 64, 2), *range(1, 64, 2)]


def test_not_annotated_is_told_by_the_labels(tiny_files):
    examples = list(inputs.evaluation_examples(tiny_files["train"], tiny_faces.DATA))
    (_, unlabelled), (_, faceless) = examples[31], examples[63]
    assert unlabelled["attributes"].numpy().tolist() == [-1] * 6 and np.isfinite(unlabelled["landmarks"]).all()
    assert np.isnan(faceless["landmarks"]).all() and min(faceless["attributes"].numpy()) >= 0


def test_counting_and_first_pictures(tiny_files):
    assert inputs.count_examples(tiny_files["train"]) == 64
    assert inputs.count_examples([]) == 0
    pictures = inputs.example_images(tiny_files["train"], 3)
    assert len(pictures) == 3 and all(picture[:2] == b"\xff\xd8" for picture in pictures)


def test_data_without_landmarks():
    image, labels = inputs.parse(tiny_faces.serialized(5), replace(tiny_faces.DATA, num_landmarks=0))
    assert image.shape == (32, 32, 3)
    assert {name: values.numpy().tolist() for name, values in labels.items()} == {
        "attributes": [1, 0, 1, 0, 0, 0],
        "positive_rate": pytest.approx(tiny_faces.POSITIVE_RATE),
    }


def _serialized_parsing(label_map: bytes) -> bytes:
    example = tf.train.Example.FromString(tiny_faces.serialized(5))
    for name in ("attributes", "positive_rate", "landmarks"):
        del example.features.feature[name]
    example.features.feature["parsing/encoded"].bytes_list.value.append(label_map)
    return example.SerializeToString()


LABELS = np.random.default_rng(0).choice([*range(8), 255], (32, 32)).astype(np.uint8)


def test_data_with_label_maps_alone():
    for encoded, expected in ((encode_label_map(LABELS), LABELS), (b"", np.full((32, 32), 255))):
        image, labels = inputs.parse(_serialized_parsing(encoded), PARSING)
        assert image.shape == (32, 32, 3)
        assert list(labels) == ["parsing"]
        assert labels["parsing"].dtype == tf.uint8
        np.testing.assert_array_equal(labels["parsing"], expected)


def test_a_batch_with_label_maps(tmp_path):
    files = tiny_faces.write(tmp_path, [_serialized_parsing(encode_label_map(LABELS)), _serialized_parsing(b"")])
    settings = {"batch_size": 2, "epochs": 3, "max_rotation": 30.0, "scale": (0.75, 1.25)}
    batches = _batches(files, steps=1, data=PARSING, **settings)
    assert len(batches) == 3
    for image, labels in batches:
        assert image.shape == (2, 32, 32, 3) and image.dtype == np.uint8
        assert list(labels) == ["parsing"]
        assert labels["parsing"].shape == (2, 32, 32) and labels["parsing"].dtype == np.uint8
        assert sorted((labels["parsing"] == 255).all(axis=(1, 2))) == [False, True]
    _assert_equal(_batches(files, first_step=1, steps=1, data=PARSING, **settings), batches[1:])


def test_a_batch_with_emotions(tmp_path):
    data = replace(tiny_faces.DATA, attributes=False, num_landmarks=0, emotion=True)
    examples = []
    for number in range(4):
        example = tf.train.Example.FromString(tiny_faces.serialized(number))
        example.features.feature["emotion"].int64_list.value.append(number - 1)
        examples.append(example.SerializeToString())
    files = tiny_faces.write(tmp_path, examples)
    ((image, labels),) = _batches(files, steps=1, data=data, batch_size=4, epochs=1)
    assert image.shape == (4, 32, 32, 3)
    assert list(labels) == ["emotion"]
    assert labels["emotion"].shape == (4,) and labels["emotion"].dtype == np.int64
    assert sorted(labels["emotion"]) == [-1, 0, 1, 2]
    in_order = inputs.evaluation_examples(files, data).as_numpy_iterator()
    assert [labels["emotion"] for _, labels in in_order] == [-1, 0, 1, 2]


def test_a_batch_with_clothing_and_soft_labels(tmp_path):
    teachers = (Teacher("attributes", "a"), Teacher("clothing", "b"))
    data = replace(tiny_faces.DATA, num_landmarks=0, clothing=True, teachers=teachers)
    examples = []
    for number in range(4):
        example = tf.train.Example.FromString(tiny_faces.serialized(number))
        features = example.features.feature
        features["clothing"].int64_list.value.append(number - 1)
        features["attributes/soft"].float_list.value.extend([number / 4] * 6)
        features["clothing/soft"].float_list.value.extend([-1.0] * 3 if number else [0.5, 0.25, 0.0])
        examples.append(example.SerializeToString())
    files = tiny_faces.write(tmp_path, examples)
    ((_, labels),) = _batches(files, steps=1, data=data, batch_size=4, epochs=1)
    assert set(labels) == {"attributes", "positive_rate", "clothing", "attributes_soft", "clothing_soft"}
    order = labels["clothing"] + 1
    assert labels["clothing"].dtype == np.int64 and sorted(order) == [0, 1, 2, 3]
    for name, rows in (
        ("attributes_soft", [[number / 4] * 6 for number in range(4)]),
        ("clothing_soft", [[0.5, 0.25, 0.0]] + [[-1.0] * 3] * 3),
    ):
        assert labels[name].dtype == np.float32
        np.testing.assert_array_equal(labels[name], np.array(rows)[order])


def test_a_mixture_worked_by_hand():
    # Middles of the examples' stretches: 1/8, 3/8, 5/8, 7/8 and 1/4, 3/4; of equal ones the first split is first.
    assert inputs.mixture([4, 2]).tolist() == [0, 1, 0, 0, 1, 0]
    assert inputs.mixture([2, 2]).tolist() == [0, 1, 0, 1]
    assert inputs.mixture([3]).tolist() == [0, 0, 0]
    assert inputs.mixture([2, 0, 1]).tolist() == [0, 2, 0]


@pytest.mark.parametrize("sizes", [(160, 200), (1000, 7), (31, 64, 5)])
def test_a_mixture_has_the_right_share_of_each_split_everywhere(sizes):
    drawn = inputs.mixture(sizes)
    for split, size in enumerate(sizes):
        so_far = np.cumsum(drawn == split)
        assert so_far[-1] == size
        assert abs(so_far - np.arange(1, len(drawn) + 1) * size / len(drawn)).max() <= 1


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    """The files of two splits, of 15 (in two shards) and 45 of the 60 records."""
    folder = tmp_path_factory.mktemp("splits")
    examples = [tiny_faces.serialized(number) for number in range(60)]
    return [
        *tiny_faces.write(folder / "Split-few_train", examples[:15], shards=2),
        *tiny_faces.write(folder / "Split-many_train", examples[15:]),
    ]


def test_every_batch_has_its_share_of_several_splits(splits):
    batches = _batches(splits)
    epochs = np.split(_numbers(batches), 4)
    assert all(sorted(epoch) == [*range(60)] for epoch in epochs)
    assert not np.array_equal(epochs[0], epochs[1])
    assert [int((_numbers([batch]) < 15).sum()) for batch in batches] == [3] * 20
    # Neither split comes in stored order, and the two don't share an order.
    few, many = ([n for n in epochs[0] if lowest <= n < lowest + 15] for lowest in (0, 15))
    assert few != sorted(few) and many != sorted(many)
    assert np.argsort(few).tolist() != np.argsort(many).tolist()


@pytest.mark.parametrize("first_step", [1, 5, 13])
def test_a_continued_run_on_several_splits_sees_the_rest(splits, first_step):
    _assert_equal(_batches(splits[::-1], first_step), _batches(splits)[first_step:])


def test_another_seed_is_another_order_of_several_splits(splits):
    one, other = (_numbers(_batches(splits, seed=seed, epochs=1)) for seed in (3, 5))
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(one < 15, other < 15)


def test_the_order_of_one_split_is_a_plain_shuffle(tiny_files):
    """As it was before there were several, so that results on one data set stay what they were."""
    examples = tf.data.TFRecordDataset(sorted(tiny_files["train"]), "GZIP").shuffle(16_384, seed=3)
    ids = [tf.train.Example.FromString(e.numpy()).features.feature["image/id"].bytes_list.value[0] for e in examples]
    numbers = [min(int(name.decode().removesuffix(".jpg")), 63) for name in ids[:60]]
    drawn = _numbers(_batches(tiny_files["train"], epochs=1))
    np.testing.assert_array_equal(drawn, numbers)


def test_batches_are_mirrored_with_the_builder_s_classes(tmp_path):
    files = tiny_faces.write(tmp_path, [_serialized_parsing(encode_label_map(LABELS))] * 2)
    batches = _batches(files, steps=1, data=PARSING, batch_size=2, epochs=8, max_shift=0.0)
    flipped = inputs.mirror_label_map(LABELS, Builder.LABELS).numpy()
    seen = np.concatenate([labels["parsing"] for _, labels in batches])
    as_it_was, mirrored = ((seen == label_map).all(axis=(1, 2)) for label_map in (LABELS, flipped))
    assert (as_it_was != mirrored).all()
    assert as_it_was.any() and mirrored.any()


def test_a_grey_picture_has_three_channels():
    image, _ = inputs.parse(tiny_faces.serialized(5, mode="L"), tiny_faces.DATA)
    assert image.shape == (32, 32, 3)
    np.testing.assert_array_equal(image[..., 0], image[..., 2])


@pytest.mark.parametrize(
    ("example", "words"),
    [
        (tiny_faces.serialized(0, size=(32, 30)), "expected shape"),
        (tiny_faces.serialized(0, attributes=[1, 0]), "attributes"),
        (tiny_faces.serialized(0, landmarks=[0.5] * 136), "landmarks"),
        (b"no example", "Could not parse"),
    ],
)
def test_records_of_other_data_are_errors(tmp_path, example, words):
    files = tiny_faces.write(tmp_path, [example])
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=f"(?i){words}"):
        list(inputs.evaluation_examples(files, tiny_faces.DATA))


def test_a_label_map_of_another_size_is_an_error(tmp_path):
    files = tiny_faces.write(tmp_path, [_serialized_parsing(encode_label_map(LABELS[:30]))])
    with pytest.raises(tf.errors.InvalidArgumentError, match="shape"):
        list(inputs.evaluation_examples(files, PARSING))
