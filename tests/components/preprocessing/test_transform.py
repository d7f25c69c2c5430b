"""TFX's Transform with our preprocessing_fn on small artifacts: labels, statistics, and the pixels training reads."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from PIL import Image
from tensorflow_transform.tf_metadata import schema_utils
from tfx.components import Transform
from tfx.components.transform.executor import Executor
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2, transform_pb2
from tfx.types import artifact_utils, channel_utils, standard_artifacts

from components.config import Data, DatasetConfig, Task, Teacher, to_json
from components.datasets import builder_class
from components.datasets.binding import bind
from components.images.decoding import decode_and_resize, decode_and_resize_labels
from components.preprocessing.transform import preprocessing_fn
from components.record import FaceRecord
from components.schema_gen.executor import record_schema
from components.tasks.annotation import Annotation, BoundTask, points
from components.tasks.segmentation.label_maps import encode_grey
from components.trainer.inputs import parse

pytestmark = pytest.mark.slow

DRAWN = DatasetConfig("synthetic_faces")
DATA = Data((DRAWN,), image_size=(96, 80))
BUILDER = builder_class(DRAWN.name)
CLASSES = BUILDER.ANNOTATIONS["parsing"].names
N = 40
KINDS = {
    "attributes": "multi_label",
    "landmarks": "landmarks",
    "parsing": "segmentation",
    "emotion": "classification",
    "clothing": "classification",
}


def bound(data: Data, *labels: str) -> list[BoundTask]:
    return [bind(data, Task(label, KINDS[label])) for label in labels]


def landmarks(count: int) -> BoundTask:
    """Of fewer points than the drawn faces have."""
    return BoundTask(Task("landmarks", "landmarks"), Annotation("landmarks", points(count)), "synthetic_faces")


TASKS = [*bound(DATA, "attributes", "parsing"), landmarks(5)]
PARSING = bound(DATA, "parsing")


def encoded_image(file_format="PNG", size=(24, 30), mode="RGB") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (200, 100, 50)).convert(mode).save(file, file_format)
    return file.getvalue()


def label_map(size=(24, 30)) -> bytes:
    """Every label of the data set, and 255, in turn; `size` as of `encoded_image`."""
    labels = np.arange(size[0] * size[1]) % (len(CLASSES) + 1)
    labels = np.where(labels == len(CLASSES), 255, labels).astype(np.uint8)
    return encode_grey(labels.reshape(size[::-1]))


def record(name, attributes=None, landmarks=None, image=None, parsing=None, soft=None, crop=None, **labels):
    labels = {"attributes": attributes, "landmarks": landmarks, "parsing": parsing, **labels}
    labels = {label: value for label, value in labels.items() if value is not None}
    return FaceRecord(name, "test", image or encoded_image(), labels, soft or {}, crop)


def attributes(*positive: int) -> np.ndarray:
    return np.isin(np.arange(N), positive).astype(np.int64)


def artifact(kind, folder: Path):
    folder.mkdir(parents=True)
    result = kind()
    result.uri = str(folder)
    return result


def transformed(
    folder: Path, splits: dict[str, list[FaceRecord]], data=DATA, tasks=TASKS, analyze=("train",)
) -> dict[str, list[tf.train.Example]]:
    """Runs Transform's executor as the pipeline does; the examples that it writes."""
    examples = artifact(standard_artifacts.Examples, folder / "examples")
    examples.split_names = artifact_utils.encode_split_names(list(splits))
    examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
    for split, records in splits.items():
        path = Path(artifact_utils.get_split_uri([examples], split), "data_tfrecord-00000-of-00001.gz")
        path.parent.mkdir()
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for face in records:
                writer.write(face.to_example().SerializeToString())
    schema = artifact(standard_artifacts.Schema, folder / "schema")
    Path(schema.uri, "schema.pbtxt").write_text(text_format.MessageToString(record_schema(data)))
    component = Transform(
        examples=channel_utils.as_channel([examples]),
        schema=channel_utils.as_channel([schema]),
        preprocessing_fn="components.preprocessing.transform.preprocessing_fn",
        splits_config=transform_pb2.SplitsConfig(analyze=analyze, transform=list(splits)),
        custom_config={"tasks": to_json(tasks), "image_size": data.image_size},
        disable_statistics=True,
        disable_analyzer_cache=True,
    )
    outputs = {name: [artifact(channel.type, folder / name)] for name, channel in component.outputs.items()}
    Executor().Do({"examples": [examples], "schema": [schema]}, outputs, component.exec_properties)
    return {split: _read(outputs["transformed_examples"][0], split) for split in splits}


def preprocessed(records: list[FaceRecord], data: Data, tasks: list[BoundTask]) -> list[tf.train.Example]:
    """The same without Transform, of tasks that need no statistics: what preprocessing_fn makes of the records."""
    specs = schema_utils.schema_as_feature_spec(record_schema(data)).feature_spec
    inputs = tf.io.parse_example([face.to_example().SerializeToString() for face in records], specs)
    outputs = preprocessing_fn(inputs, {"tasks": to_json(tasks), "image_size": list(data.image_size)})
    examples = []
    for row in range(len(records)):
        examples.append(tf.train.Example())
        for name, found in outputs.items():
            feature, value = examples[-1].features.feature[name], np.ravel(found[row]).tolist()
            {bytes: feature.bytes_list, int: feature.int64_list, float: feature.float_list}[
                type(value[0])
            ].value.extend(value)
    return examples


def _read(examples, split):
    files = tf.io.gfile.glob(examples_utils.get_split_file_patterns([examples], split))
    return [tf.train.Example.FromString(e.numpy()) for e in tf.data.TFRecordDataset(sorted(files), "GZIP")]


def values(example: tf.train.Example, name: str) -> np.ndarray:
    feature = example.features.feature[name]
    return np.array(getattr(feature, feature.WhichOneof("kind")).value)


POINTS = np.linspace(-0.1, 1.1, 10, dtype=np.float32).reshape(5, 2)
FACES = list(BUILDER(num_train=2, num_validation=0, num_test=0, image_size=128).references())
TRAIN = [
    record("a", attributes(0, 3), POINTS),
    record("b", attributes(0), None, encoded_image("JPEG", mode="CMYK"), label_map()),
    record("c", None, POINTS / 2, encoded_image("JPEG", mode="L")),
    record("d", None, None),
    record("e", attributes(0, 3, 39), None, encoded_image(size=(90, 17)), label_map((90, 17))),
    record("f", attributes(3), POINTS),
]
EVAL = [record("g", attributes(*range(N)), POINTS), record("h")]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    drawn = BUILDER(image_size=128)
    faces = [drawn.load(reference) for reference in FACES]
    faces = [record(face.id, image=face.image, parsing=face.labels["parsing"]) for face in faces]
    return transformed(tmp_path_factory.mktemp("transform"), {"train": TRAIN, "validation": EVAL, "test": faces}), faces


def test_the_records_stay_in_order(outputs):
    ids = {split: [values(e, "image/id")[0].decode() for e in examples] for split, examples in outputs[0].items()}
    assert ids["train"] == list("abcdef")
    assert ids["validation"] == list("gh")


def test_labels_are_dense_and_what_is_not_annotated_is_told_apart(outputs):
    for split, records in {"train": TRAIN, "validation": EVAL}.items():
        for face, example in zip(records, outputs[0][split], strict=True):
            expected = face.labels.get("attributes", np.full(N, -1))
            np.testing.assert_array_equal(values(example, "attributes"), expected)
            points = np.ravel(face.labels.get("landmarks", np.full(10, np.nan)))
            np.testing.assert_array_equal(values(example, "landmarks").astype(np.float32), points.astype(np.float32))


def test_positive_rates_by_hand(outputs):
    # Four records of train are annotated: a, b, e and f. Attribute 0 is on a, b, e; 3 on a, e, f; 39 on e.
    expected = np.zeros(N)
    expected[[0, 3, 39]] = 3 / 4, 3 / 4, 1 / 4
    for example in outputs[0]["train"] + outputs[0]["validation"]:
        np.testing.assert_allclose(values(example, "attributes/positive_rate"), expected, rtol=1e-6)


def test_images_have_the_working_size(outputs):
    for example in outputs[0]["train"]:
        image = Image.open(io.BytesIO(values(example, "image/encoded")[0]))
        assert (image.format, image.size, image.mode) == ("JPEG", (80, 96), "RGB")


def test_label_maps_have_the_working_size_and_the_nearest_labels(outputs):
    for records, split in ((TRAIN, "train"), (EVAL, "validation"), (outputs[1], "test")):
        for face, example in zip(records, outputs[0][split], strict=True):
            (encoded,) = values(example, "parsing/encoded")
            if "parsing" not in face.labels:
                assert encoded == b""
                continue
            image, original = Image.open(io.BytesIO(encoded)), Image.open(io.BytesIO(face.labels["parsing"]))
            assert (image.format, image.size, image.mode) == ("PNG", (80, 96), "L")
            np.testing.assert_array_equal(
                image, decode_and_resize_labels(tf.constant(face.labels["parsing"]), (96, 80))
            )
            assert set(np.unique(image)) <= set(np.unique(original))


def test_training_ignores_all_of_an_image_without_a_label_map(outputs):
    without, with_one = (
        parse(e.SerializeToString(), TASKS, DATA.image_size)[1]["parsing"] for e in outputs[0]["train"][:2]
    )
    for read in (without, with_one):
        assert read.dtype == tf.uint8 and read.shape == (96, 80)
    assert (without.numpy() == 255).all()
    assert set(np.unique(with_one)) == {*range(len(CLASSES)), 255}


def test_label_maps_alone_need_no_statistics(tmp_path):
    splits = {"train": [record("a", attributes(0), parsing=label_map()), record("b")], "validation": [record("c")]}
    examples = transformed(tmp_path, splits, Data((DRAWN,), image_size=(48, 40)), PARSING)
    assert {split: len(found) for split, found in examples.items()} == {"train": 2, "validation": 1}
    for example in examples["train"] + examples["validation"]:
        assert set(example.features.feature) == {"image/encoded", "image/id", "parsing/encoded"}
        image, labels = parse(example.SerializeToString(), PARSING, (48, 40))
        assert image.shape == (48, 40, 3)
        assert set(labels) == {"parsing"}
        assert labels["parsing"].shape == (48, 40)
        annotated = values(example, "image/id")[0] == b"a"
        assert annotated != (labels["parsing"].numpy() == 255).all()


def test_training_reads_nearly_the_pixels_that_serving_decodes(outputs):
    transformed_examples, faces = outputs
    for face, example in zip(faces, transformed_examples["test"], strict=True):
        trained, _ = parse(tf.constant(example.SerializeToString()), TASKS, DATA.image_size)
        served = decode_and_resize(tf.constant(face.image), DATA.image_size)
        difference = np.abs(trained.numpy().astype(float) - served.numpy())
        assert difference.mean() < 3


CROP = (0.25, 0.5, 0.5, 0.25)
CROPPED = Data((DRAWN,), image_size=(12, 12))
CROPPED_TASKS = [*bound(CROPPED, "parsing", "emotion"), landmarks(2)]


def test_a_crop_worked_by_hand():
    """Of 24 x 24 pixels those of rows 6 to 17 and columns 12 to 17 are red, the rest is blue; twice as wide then."""
    pixels = np.zeros((24, 24, 3), np.uint8)
    pixels[..., 2], pixels[6:18, 12:18] = 255, (255, 0, 0)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    labels = np.full((24, 24), 255, np.uint8)
    labels[6:18, 12:18] = np.arange(12 * 6).reshape(12, 6) % 19
    points = np.array([[0.5, 0.25], [0.625, 1.0]], np.float32)
    given = {"landmarks": points, "image": file.getvalue(), "parsing": encode_grey(labels)}
    bare = record("bare", crop=CROP, image=given["image"])
    records = [record("part", crop=CROP, **given), record("whole", **given), bare]
    part, whole, bare = preprocessed(records, CROPPED, CROPPED_TASKS)

    np.testing.assert_allclose(values(part, "landmarks"), [0, 0, 0.5, 1.5], atol=1e-6)
    np.testing.assert_array_equal(values(whole, "landmarks").astype(np.float32), points.ravel())
    (red, part_labels), (mixed, whole_labels) = (
        parse(e.SerializeToString(), CROPPED_TASKS, (12, 12)) for e in (part, whole)
    )
    np.testing.assert_allclose(red, np.broadcast_to([254, 0, 0], (12, 12, 3)), atol=2)
    np.testing.assert_array_equal(part_labels["parsing"], labels[6:18, 12:18].repeat(2, axis=1))
    np.testing.assert_array_equal(np.argwhere(mixed.numpy()[..., 0] > 127), np.argwhere(labels[1::2, 1::2] < 255))
    np.testing.assert_array_equal(whole_labels["parsing"], labels[1::2, 1::2])
    assert np.isnan(values(bare, "landmarks")).all() and values(bare, "parsing/encoded")[0] == b""


def test_several_data_sets_have_sparse_labels_each(tmp_path):
    datasets = (
        DatasetConfig("masks", builder="synthetic_faces", labels=("parsing",)),
        DatasetConfig("people", builder="mtfl", labels=("attributes", "landmarks")),
        DatasetConfig("moods", builder="fer2013", labels=("emotion",)),
    )
    data = Data(datasets, image_size=(16, 16))
    tasks = bound(data, "attributes", "landmarks", "parsing", "emotion")
    splits = {
        "masks_train": [record("a", parsing=label_map())],
        "people_train": [record("b", [1] * 8, POINTS), record("c", [0] * 8, POINTS / 2)],
        "moods_train": [record("d", emotion=6), record("e")],
        "moods_validation": [record("f", emotion=0)],
    }
    trains = [split for split in splits if split.endswith("train")]
    examples = transformed(tmp_path, splits, data, tasks, trains)
    assert {split: len(found) for split, found in examples.items()} == {s: len(found) for s, found in splits.items()}
    emotions = {split: [values(e, "emotion").tolist() for e in found] for split, found in examples.items()}
    assert emotions == {
        "masks_train": [[-1]],
        "people_train": [[-1], [-1]],
        "moods_train": [[6], [-1]],
        "moods_validation": [[0]],
    }
    for split, found in examples.items():
        for face, example in zip(splits[split], found, strict=True):
            # Of all training splits together, one of the two records with attributes has them.
            np.testing.assert_array_equal(values(example, "attributes/positive_rate"), [0.5] * 8)
            assert values(example, "attributes").tolist() == face.labels.get("attributes", [-1] * 8)
            assert np.isnan(values(example, "landmarks")).all() == ("landmarks" not in face.labels)
            assert (values(example, "parsing/encoded")[0] == b"") == ("parsing" not in face.labels)
    _, labels = parse(examples["moods_train"][0].SerializeToString(), tasks[3:], data.image_size)
    assert labels["emotion"].dtype == tf.int64 and {name: int(label) for name, label in labels.items()} == {
        "emotion": 6
    }


PEOPLE = DatasetConfig("people", builder="mtfl", labels=("attributes",))
CLOTHES = DatasetConfig("clothes", builder="clothing_subset", labels=("clothing",))


def test_each_record_has_its_own_labels_or_a_teacher_s(tmp_path):
    teachers = (Teacher("attributes", "a"), Teacher("clothing", "b"))
    data = Data((PEOPLE, CLOTHES), image_size=(16, 16), teachers=teachers)
    tasks = bound(data, "attributes", "clothing")
    soft = {"attributes": np.linspace(0, 1, 8, dtype=np.float32), "clothing": np.linspace(1, 0, 10, dtype=np.float32)}
    splits = {
        "people_train": [
            record("a", [1] * 8, soft={"clothing": soft["clothing"]}),
            record("b", [0] * 8, soft={"clothing": soft["clothing"] / 2}),
        ],
        "clothes_train": [record("c", clothing=9, soft={"attributes": soft["attributes"]})],
        "clothes_validation": [record("d", clothing=0)],
    }
    examples = transformed(tmp_path, splits, data, tasks, ["people_train", "clothes_train"])
    found = [example for split in splits for example in examples[split]]
    assert [values(e, "clothing").tolist() for e in found] == [[-1], [-1], [9], [0]]
    assert [values(e, "attributes").tolist() for e in found] == [[1] * 8, [0] * 8, [-1] * 8, [-1] * 8]
    none = [-1.0] * 8
    np.testing.assert_array_equal([values(e, "attributes/soft") for e in found], [none, none, soft["attributes"], none])
    none = [-1.0] * 10
    by_hand = [soft["clothing"], soft["clothing"] / 2, none, none]
    np.testing.assert_array_equal([values(e, "clothing/soft") for e in found], by_hand)
    # What a teacher says and the record without attributes count for nothing: one of two is annotated as positive.
    np.testing.assert_allclose(values(found[2], "attributes/positive_rate"), [0.5] * 8, rtol=1e-6)

    for example, clothing in zip(found, (-1, -1, 9, 0), strict=True):
        _, labels = parse(example.SerializeToString(), tasks, data.image_size)
        assert set(labels) == {"attributes", "attributes_positive_rate", "clothing", "attributes_soft", "clothing_soft"}
        assert labels["clothing"].dtype == tf.int64 and int(labels["clothing"]) == clothing
        for label, expected in soft.items():
            assert labels[f"{label}_soft"].dtype == tf.float32 and labels[f"{label}_soft"].shape == expected.shape
            np.testing.assert_array_equal(labels[f"{label}_soft"], values(example, f"{label}/soft"))


def test_scores_of_another_number_of_categories_stop():
    data = Data((CLOTHES,), (16, 16), teachers=(Teacher("clothing", "a"),))
    with pytest.raises(tf.errors.InvalidArgumentError, match="clothing/soft: a record should have 10 values or none"):
        preprocessed([record("a", soft={"clothing": np.zeros(50)})], data, bound(data, "clothing"))


def test_a_split_without_any_annotation_has_rate_0(tmp_path):
    for example in transformed(tmp_path, {"train": [record("a"), record("b")]})["train"]:
        np.testing.assert_array_equal(values(example, "attributes/positive_rate"), np.zeros(N))
        np.testing.assert_array_equal(values(example, "attributes"), np.full(N, -1))
        assert np.isnan(values(example, "landmarks")).all()


def test_what_is_not_annotated_counts_for_nothing_in_a_rate(tmp_path):
    """An attribute may be annotated on some records alone: -1 on the others."""
    data = Data((PEOPLE, CLOTHES), image_size=(16, 16))
    rows = [[1, 0, -1, -1, 1, 0, 0, 1], [-1, 0, 1, -1, 0, 0, 1, 1], [0, 1, -1, -1, 1, -1, 1, 1]]
    records = [record(str(number), row) for number, row in enumerate(rows)]
    examples = transformed(tmp_path, {"people_train": records}, data, bound(data, "attributes"), ["people_train"])
    for row, example in zip(rows, examples["people_train"], strict=True):
        assert values(example, "attributes").tolist() == row
        by_hand = [1 / 2, 1 / 3, 1, 0, 2 / 3, 0, 2 / 3, 1]
        np.testing.assert_allclose(values(example, "attributes/positive_rate"), by_hand, rtol=1e-6)


def test_half_a_label_stops_with_the_feature_s_name():
    half = record("b", attributes(1), POINTS[:3])
    with pytest.raises(tf.errors.InvalidArgumentError, match="landmarks: a record should have 10 values or none"):
        preprocessed([record("a", attributes(0), POINTS), half], DATA, [landmarks(5)])
