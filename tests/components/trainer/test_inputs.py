"""The training input: batches with the labels of the tasks, and a continued run sees what an unbroken one sees."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from components.config import InputConfig, Task
from components.tasks.annotation import Annotation, BoundTask
from components.tasks.segmentation.label_maps import encode_grey
from components.tasks.segmentation.labels import mirror_label_map
from components.trainer import inputs
from tests.support import tiny_faces

NUM_ATTRIBUTES = len(tiny_faces.ATTRIBUTES)
PARTS = ("background", "l_eye", "r_eye", "u_lip", "l_lip", "ear_r", "left_eyebrow", "right_eyebrow")
ATTRIBUTES, LANDMARKS = tiny_faces.bound(Task("attributes", "multi_label"), Task("landmarks", "landmarks"))
EMOTION, CLOTHING = tiny_faces.bound(Task("emotion", "classification"), Task("clothing", "classification"))
PARSING = BoundTask(Task("parsing", "segmentation"), Annotation("segmentation", PARTS), "tiny")
FACES = (ATTRIBUTES, LANDMARKS)
SEED, EPOCHS = 3, 4


def _dataset(files, first_step=0, steps=5, tasks=FACES, epochs=EPOCHS, seed=SEED, **settings):
    config = InputConfig(**{"batch_size": 12, "max_shift": 0.1, **settings})
    return inputs.training_batches(files, tasks, tiny_faces.SIZE, config, steps, epochs, seed, first_step)


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


def test_what_earlier_passes_read_is_not_read_again(tiny_files, monkeypatch):
    """Whatever the global seed."""
    tf.random.set_seed(0)
    read, examples = [], inputs._examples
    counted = lambda number: tf.numpy_function(lambda n: read.append(n) or n, [number], tf.int64)  # noqa: E731
    monkeypatch.setattr(
        inputs, "_examples", lambda files: examples(files).enumerate().map(lambda n, e: (counted(n), e)[1])
    )
    assert len(_batches(tiny_files["train"], first_step=17)) == 3
    assert len(read) <= 64


def test_a_run_without_end_begins_like_others_and_goes_on(tiny_files):
    batches = _dataset(tiny_files["train"], epochs=None)
    drawn = list(batches.take(27).as_numpy_iterator())
    _assert_equal(drawn[:20], _batches(tiny_files["train"]))
    _assert_equal(_dataset(tiny_files["train"], 22, epochs=None).take(5).as_numpy_iterator(), drawn[22:])


def test_another_seed_is_another_order(tiny_files):
    one, other = (_numbers(_batches(tiny_files["train"], seed=seed, epochs=1)) for seed in (3, 4))
    assert not np.array_equal(one, other)


def test_evaluation_reads_the_files_by_name(tiny_files):
    backwards = tiny_files["train"][::-1]
    examples = list(inputs.evaluation_examples(backwards, FACES, tiny_faces.SIZE).as_numpy_iterator())
    numbers = _numbers([(None, {"attributes": np.stack([labels["attributes"] for _, labels in examples])})])
    assert numbers.tolist() == [*range(0, 64, 2), *range(1, 64, 2)]


def test_not_annotated_is_told_by_the_labels(tiny_files):
    examples = list(inputs.evaluation_examples(tiny_files["train"], FACES, tiny_faces.SIZE))
    (_, unlabelled), (_, faceless) = examples[31], examples[63]
    assert unlabelled["attributes"].numpy().tolist() == [-1] * 6 and np.isfinite(unlabelled["landmarks"]).all()
    assert np.isnan(faceless["landmarks"]).all() and min(faceless["attributes"].numpy()) >= 0


def test_counting_and_first_images(tiny_files):
    assert inputs.count_examples(tiny_files["train"]) == 64
    assert inputs.count_examples([]) == 0
    images = inputs.example_images(tiny_files["train"], 3)
    everything = inputs.example_images(tiny_files["train"], 1000)
    assert inputs.sampled_images(tiny_files["train"], 1000) == everything and len(everything) > 10
    last = len(everything) - 1
    assert inputs.sampled_images(tiny_files["train"], 3) == [everything[at] for at in (0, round(last / 2), last)]
    assert len(images) == 3 and all(image[:2] == b"\xff\xd8" for image in images)


def test_attributes_alone():
    image, labels = inputs.parse(tiny_faces.serialized(5), [ATTRIBUTES], tiny_faces.SIZE)
    assert image.shape == (32, 32, 3)
    assert {name: values.numpy().tolist() for name, values in labels.items()} == {
        "attributes": [1, 0, 1, 0, 0, 0],
        "attributes_positive_rate": pytest.approx(tiny_faces.POSITIVE_RATE),
    }


def _serialized_parsing(label_map: bytes) -> bytes:
    pixels = np.random.default_rng(5).integers(0, 256, (32, 32, 3), np.uint8)
    return tiny_faces.example(pixels, parsing__encoded=[label_map])


LABELS = np.random.default_rng(0).choice([*range(8), 255], (32, 32)).astype(np.uint8)


def test_data_with_label_maps_alone():
    for encoded, expected in ((encode_grey(LABELS), LABELS), (b"", np.full((32, 32), 255))):
        image, labels = inputs.parse(_serialized_parsing(encoded), [PARSING], tiny_faces.SIZE)
        assert image.shape == (32, 32, 3)
        assert list(labels) == ["parsing"]
        assert labels["parsing"].dtype == tf.uint8
        np.testing.assert_array_equal(labels["parsing"], expected)


def test_a_batch_with_label_maps(tmp_path):
    files = tiny_faces.write(tmp_path, [_serialized_parsing(encode_grey(LABELS)), _serialized_parsing(b"")])
    settings = {"batch_size": 2, "epochs": 3, "max_rotation": 30.0, "scale": (0.75, 1.25)}
    batches = _batches(files, steps=1, tasks=[PARSING], **settings)
    assert len(batches) == 3
    for image, labels in batches:
        assert image.shape == (2, 32, 32, 3) and image.dtype == np.uint8
        assert list(labels) == ["parsing"]
        assert labels["parsing"].shape == (2, 32, 32) and labels["parsing"].dtype == np.uint8
        assert sorted((labels["parsing"] == 255).all(axis=(1, 2))) == [False, True]
    _assert_equal(_batches(files, first_step=1, steps=1, tasks=[PARSING], **settings), batches[1:])


def test_a_batch_with_emotions(tmp_path):
    files = tiny_faces.write(tmp_path, [tiny_faces.serialized(number, emotion=[number - 1]) for number in range(4)])
    ((image, labels),) = _batches(files, steps=1, tasks=[EMOTION], batch_size=4, epochs=1)
    assert image.shape == (4, 32, 32, 3)
    assert list(labels) == ["emotion"]
    assert labels["emotion"].shape == (4,) and labels["emotion"].dtype == np.int64
    assert sorted(labels["emotion"]) == [-1, 0, 1, 2]
    in_order = inputs.evaluation_examples(files, [EMOTION], tiny_faces.SIZE).as_numpy_iterator()
    assert [labels["emotion"] for _, labels in in_order] == [-1, 0, 1, 2]


def test_a_batch_with_soft_labels(tmp_path):
    tasks = [replace(ATTRIBUTES, taught=True), replace(CLOTHING, taught=True)]
    soft = {
        "attributes_soft": [[number / 4] * 6 for number in range(4)],
        "clothing_soft": [[0.5, 0.25, 0.0]] + [[-1.0] * 3] * 3,
    }
    examples = [
        tiny_faces.serialized(
            number,
            clothing=[number - 1],
            attributes__soft=soft["attributes_soft"][number],
            clothing__soft=soft["clothing_soft"][number],
        )
        for number in range(4)
    ]
    files = tiny_faces.write(tmp_path, examples)
    ((_, labels),) = _batches(files, steps=1, tasks=tasks, batch_size=4, epochs=1)
    assert labels.keys() == {"attributes", "attributes_positive_rate", "clothing", *soft}
    order = labels["clothing"] + 1
    assert labels["clothing"].dtype == np.int64 and sorted(order) == [0, 1, 2, 3]
    for name, rows in soft.items():
        assert labels[name].dtype == np.float32
        np.testing.assert_array_equal(labels[name], np.array(rows, np.float32)[order])


def test_an_interleaving_worked_by_hand():
    # Middles of the examples' stretches: 1/8, 3/8, 5/8, 7/8 and 1/4, 3/4; of equal ones the first split is first.
    assert inputs.interleaving([4, 2]).tolist() == [0, 1, 0, 0, 1, 0]
    assert inputs.interleaving([2, 2]).tolist() == [0, 1, 0, 1]
    assert inputs.interleaving([3]).tolist() == [0, 0, 0]
    assert inputs.interleaving([2, 0, 1]).tolist() == [0, 2, 0]


@pytest.mark.parametrize("sizes", [(160, 200), (1000, 7), (31, 64, 5)])
def test_an_interleaving_has_the_right_share_of_each_split_everywhere(sizes):
    drawn = inputs.interleaving(sizes)
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


def test_batches_are_mirrored_with_the_data_set_s_classes(tmp_path):
    files = tiny_faces.write(tmp_path, [_serialized_parsing(encode_grey(LABELS))] * 2)
    batches = _batches(files, steps=1, tasks=[PARSING], batch_size=2, epochs=8, max_shift=0.0)
    flipped = mirror_label_map(LABELS, PARTS).numpy()
    seen = np.concatenate([labels["parsing"] for _, labels in batches])
    as_it_was, mirrored = ((seen == label_map).all(axis=(1, 2)) for label_map in (LABELS, flipped))
    assert (as_it_was != mirrored).all()
    assert as_it_was.any() and mirrored.any()


def test_a_grey_image_has_three_channels():
    image, _ = inputs.parse(tiny_faces.serialized(5, mode="L"), FACES, tiny_faces.SIZE)
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
        list(inputs.evaluation_examples(files, FACES, tiny_faces.SIZE))


def test_a_label_map_of_another_size_is_an_error(tmp_path):
    files = tiny_faces.write(tmp_path, [_serialized_parsing(encode_grey(LABELS[:30]))])
    with pytest.raises(tf.errors.InvalidArgumentError, match="shape"):
        list(inputs.evaluation_examples(files, [PARSING], tiny_faces.SIZE))


def _clothing(split, count, coats):
    """A file of so many images, of which those in `coats` show a coat, the others a dress; the pixels are numbers."""
    split.mkdir()
    with tf.io.TFRecordWriter(str(split / "data.gz"), "GZIP") as writer:
        for number in range(count):
            pixels = tf.fill([*tiny_faces.SIZE, 3], tf.constant(number, tf.uint8))
            features = {
                "image/encoded": tf.train.Feature(
                    bytes_list=tf.train.BytesList(value=[tf.io.encode_jpeg(pixels, quality=100).numpy()])
                ),
                "clothing": tf.train.Feature(int64_list=tf.train.Int64List(value=[0 if number in coats else 1])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return [str(split / "data.gz")]


@pytest.mark.parametrize("buffer", [16_384, 10])
def test_images_of_rare_classes_are_drawn_more_often(buffer, tmp_path, monkeypatch):
    """Two of twenty show a coat: √(0.9 : 0.1) = 3 times as often as the others, 2.5 and 0.83 times of 20 draws a pass.

    However far the shuffle buffer reaches, those at the end are drawn like those at the beginning.
    """
    monkeypatch.setattr(inputs, "_SHUFFLE_BUFFER", buffer)
    files, passes = _clothing(tmp_path / "Split-train", 20, coats=(3, 19)), 300
    settings = {"tasks": (CLOTHING,), "steps": 2, "batch_size": 10, "flip": False, "max_shift": 0.0, "epochs": passes}
    drawn = {}
    for threshold in (0.0, 0.9):
        batches = _batches(files, repeat_threshold=threshold, **settings)
        assert [len(image) for image, _ in batches] == [10] * 2 * passes
        numbers = np.concatenate([image[:, 0, 0, 0] for image, _ in batches])
        drawn[threshold] = np.bincount(numbers, minlength=20) / passes
    assert drawn[0.0].tolist() == [1.0] * 20
    expected = np.where(np.isin(np.arange(20), (3, 19)), 2.5, 2.5 / 3)
    np.testing.assert_allclose(drawn[0.9], expected, atol=0.2)


def test_drawn_more_often_a_continued_run_sees_what_an_unbroken_one_sees(tiny_files):
    whole = _batches(tiny_files["train"], repeat_threshold=0.5)
    assert len(whole) == 4 * 5
    _assert_equal(_batches(tiny_files["train"], first_step=7, repeat_threshold=0.5), whole[7:])
