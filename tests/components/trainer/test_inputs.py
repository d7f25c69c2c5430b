"""The training input: pictures and landmarks move together, and a continued run sees what an unbroken one sees."""

import numpy as np
import pytest
import tensorflow as tf
import tiny_faces

from components.config import Data, Training
from components.landmark_markup import MARKUPS
from components.trainer import inputs

HEIGHT, WIDTH = 20, 30
# Row and column of five landmarks, far enough from the border for shifts by a fifth, each a pixel of its own grey.
PIXELS = np.array([[6, 9], [7, 19], [10, 14], [14, 11], [13, 20]])
GREYS = np.array([50, 90, 130, 170, 210])
NUM_ATTRIBUTES = len(tiny_faces.ATTRIBUTES)


def _face():
    """A black picture with its landmarks lit, and the landmarks at the middle of their pixels."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[PIXELS[:, 0], PIXELS[:, 1]] = GREYS[:, None]
    return image, ((PIXELS[:, ::-1] + 0.5) / [WIDTH, HEIGHT]).astype(np.float32).ravel()


def _training(**settings):
    return tiny_faces.experiment(**settings).training


def _augmented(training: Training, count=200, image=None, points=None):
    """The face under the seeds (training.seed, 0), (training.seed, 1), ...: [(image, [T, 2] points), ...]."""
    face = _face()
    image, points = face[0] if image is None else image, face[1] if points is None else points

    def one(index):
        seed = tf.stack([tf.constant(training.seed, tf.int64), index])
        return inputs.augment(tf.constant(image), {"landmarks": tf.constant(points)}, training, seed)

    dataset = tf.data.Dataset.range(count).map(one)
    return [(i, labels["landmarks"].reshape(-1, 2)) for i, labels in dataset.as_numpy_iterator()]


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
    image, left = inputs.augment(tf.constant(_face()[0]), labels, _training(max_shift=0.2), tf.constant([0, 0]))
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert left == labels


def test_the_seed_decides_everything():
    first, again = _augmented(_training(seed=5, max_shift=0.2), 20), _augmented(_training(seed=5, max_shift=0.2), 20)
    other = _augmented(_training(seed=6, max_shift=0.2), 20)
    assert all(np.array_equal(a, b) and np.array_equal(p, q) for (a, p), (b, q) in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for (a, _), (b, _) in zip(first, other, strict=True))


def _batches(files, first_epoch=0, steps=5, **settings):
    training = _training(**settings)
    batches = inputs.training_batches(files, tiny_faces.DATA, training, NUM_ATTRIBUTES, steps, first_epoch)
    return list(batches.as_numpy_iterator())


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


@pytest.mark.parametrize("first_epoch", [1, 3, 4])
def test_a_continued_run_sees_the_rest_of_an_unbroken_one(tiny_files, first_epoch):
    unbroken, continued = _batches(tiny_files["train"]), _batches(tiny_files["train"], first_epoch)
    assert len(continued) == (4 - first_epoch) * 5
    for (image, labels), (expected_image, expected) in zip(continued, unbroken[first_epoch * 5 :], strict=True):
        np.testing.assert_array_equal(image, expected_image)
        for name, values in expected.items():
            np.testing.assert_array_equal(labels[name], values)


def test_another_seed_is_another_order(tiny_files):
    one, other = (_numbers(_batches(tiny_files["train"], seed=seed, epochs=1)) for seed in (3, 4))
    assert not np.array_equal(one, other)


def test_evaluation_reads_the_files_by_name(tiny_files):
    backwards = tiny_files["train"][::-1]
    examples = list(inputs.evaluation_examples(backwards, tiny_faces.DATA, NUM_ATTRIBUTES).as_numpy_iterator())
    numbers = _numbers([(None, {"attributes": np.stack([labels["attributes"] for _, labels in examples])})])
    assert numbers.tolist() == [*range(0, 64, 2), *range(1, 64, 2)]


def test_not_annotated_is_told_by_the_labels(tiny_files):
    examples = list(inputs.evaluation_examples(tiny_files["train"], tiny_faces.DATA, NUM_ATTRIBUTES))
    (_, unlabelled), (_, faceless) = examples[31], examples[63]
    assert unlabelled["attributes"].numpy().tolist() == [-1] * 6 and np.isfinite(unlabelled["landmarks"]).all()
    assert np.isnan(faceless["landmarks"]).all() and min(faceless["attributes"].numpy()) >= 0


def test_counting_and_first_pictures(tiny_files):
    assert inputs.count_examples(tiny_files["train"]) == 64
    assert inputs.count_examples([]) == 0
    pictures = inputs.example_images(tiny_files["train"], 3)
    assert len(pictures) == 3 and all(picture[:2] == b"\xff\xd8" for picture in pictures)


def test_data_without_landmarks():
    image, labels = inputs.parse(tiny_faces.serialized(5), Data("tiny", image_size=(32, 32), num_landmarks=0), 6)
    assert image.shape == (32, 32, 3)
    assert {name: values.numpy().tolist() for name, values in labels.items()} == {
        "attributes": [1, 0, 1, 0, 0, 0],
        "positive_rate": pytest.approx(tiny_faces.POSITIVE_RATE),
    }


def test_a_grey_picture_has_three_channels():
    image, _ = inputs.parse(tiny_faces.serialized(5, mode="L"), tiny_faces.DATA, NUM_ATTRIBUTES)
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
        list(inputs.evaluation_examples(files, tiny_faces.DATA, NUM_ATTRIBUTES))
