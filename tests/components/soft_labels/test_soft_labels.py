"""SoftLabeler: who is asked about which records, what becomes of the answers, what is counted and refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, channel_utils, standard_artifacts
from tfx.types.experimental import simple_artifacts

from components.config import Teacher, to_json
from components.record import FaceRecord
from components.soft_labels.component import SoftLabeler
from components.soft_labels.executor import Executor, SoftLabels, check_counts, has_label, outcomes

ATTRIBUTES, CLOTHING = Teacher("attributes", "faces/old"), Teacher("clothing", "clothes/old")
LENGTHS = {"attributes": 3, "clothing": 2}


class LengthTeacher(tf.Module):
    """Score k of a image of n bytes is (n + k) / 100: each image has its own, none asks for its neighbours."""

    def __init__(self, label: str, length: int, divisor: float = 100.0):
        super().__init__()
        self.divisor = tf.Variable(divisor)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def answer(examples):
            features = tf.io.parse_example(examples, {"image/encoded": tf.io.FixedLenFeature([], tf.string)})
            size = tf.cast(tf.strings.length(features["image/encoded"]), tf.float32)
            return {label: (size[:, tf.newaxis] + tf.range(float(length))) / self.divisor, "other": size}

        self.answer = answer


def teacher_model(folder: Path, label: str, length: int, signature="from_examples", **options):
    """A Model artifact with a LengthTeacher in it."""
    module = LengthTeacher(label, length, **options)
    tf.saved_model.save(module, str(folder / "Format-Serving"), signatures={signature: module.answer})
    return artifact(standard_artifacts.Model, folder)


def scores(size: int, length: int) -> list[float]:
    """What LengthTeacher says."""
    return [(size + k) / 100 for k in range(length)]


def record(name: str, size: int, **labels) -> bytes:
    face = FaceRecord(id=name, dataset="test", image=b"x" * size, labels=labels)
    return face.to_example().SerializeToString()


def soft(serialized: bytes, label: str) -> list[float] | None:
    features = tf.train.Example.FromString(serialized).features.feature
    return list(features[f"{label}/soft"].float_list.value) if f"{label}/soft" in features else None


def without_soft(serialized: bytes) -> FaceRecord:
    example = tf.train.Example.FromString(serialized)
    for label in LENGTHS:
        example.features.feature.pop(f"{label}/soft", None)
    return FaceRecord.from_example(example)


def artifact(cls, folder: Path, split_names=()):
    folder.mkdir(parents=True, exist_ok=True)
    result = cls()
    result.uri = str(folder)
    if split_names:
        result.split_names = artifact_utils.encode_split_names(list(split_names))
    return result


def files(examples, split: str) -> list[Path]:
    return sorted(Path(artifact_utils.get_split_uri([examples], split)).iterdir())


def run_executor(folder: Path, splits, taught, models, teachers=(ATTRIBUTES, CLOTHING), lengths=LENGTHS, beam_args=()):
    """Writes `splits`, {split: shards of records}, as Examples, runs Executor.Do.

    Returns (input artifact, output artifact, records by split, counts).
    """
    examples = artifact(standard_artifacts.Examples, folder / "in", splits)
    labelled = artifact(standard_artifacts.Examples, folder / "out")
    counts = artifact(simple_artifacts.Metrics, folder / "counts")
    for split, shards in splits.items():
        place = Path(artifact_utils.get_split_uri([examples], split))
        place.mkdir()
        for number, records in enumerate(shards):
            name = f"data_tfrecord-{number:05}-of-{len(shards):05}.gz"
            with tf.io.TFRecordWriter(str(place / name), "GZIP") as writer:
                for serialized in records:
                    writer.write(serialized)
    Executor(Executor.Context(beam_pipeline_args=list(beam_args))).Do(
        {"examples": [examples], **{f"{label}_teacher": [model] for label, model in models.items()}},
        {"labelled_examples": [labelled], "counts": [counts]},
        {
            "teachers": to_json(teachers),
            "lengths": json.dumps(lengths),
            "splits": json.dumps(taught),
            "code_version": "1",
        },
    )
    outputs = {
        split: [r.numpy() for r in tf.data.TFRecordDataset(list(map(str, files(labelled, split))), "GZIP")]
        for split in splits
    }
    return examples, labelled, outputs, json.loads(Path(counts.uri, "soft_labels.json").read_text())


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {label: teacher_model(folder / label, label, length) for label, length in LENGTHS.items()}


SPLITS = {
    "faces_train": [[record(f"f{i}", 10 + i, attributes=np.array([1, 0, 1])) for i in range(40)], [record("bare", 90)]],
    "clothes_train": [
        [
            record("c0", 5, clothing=1),
            record("both", 6, attributes=np.array([0, 0, 1]), clothing=0),
            record("c1", 7, clothing=0),
        ]
    ],
    "empty_train": [[]],
    "faces_validation": [[record("e0", 3)], [record("e1", 4)]],
}
TRAIN = ["faces_train", "clothes_train", "empty_train"]


@pytest.mark.parametrize("beam_args", [(), ("--direct_running_mode=multi_threading", "--direct_num_workers=2")])
def test_what_is_lacking_is_labelled_and_counted(tmp_path, models, capsys, beam_args):
    examples, labelled, outputs, counts = run_executor(tmp_path, SPLITS, TRAIN, models, beam_args=beam_args)
    assert counts == {
        "faces_train": {
            "attributes": {"labelled": 1, "annotated": 40},
            "clothing": {"labelled": 41, "annotated": 0},
        },
        "clothes_train": {"attributes": {"labelled": 2, "annotated": 1}, "clothing": {"labelled": 0, "annotated": 3}},
        "empty_train": {"attributes": {"labelled": 0, "annotated": 0}, "clothing": {"labelled": 0, "annotated": 0}},
    }
    for split in TRAIN:
        given = {without_soft(record).id: record for shard in SPLITS[split] for record in shard}
        assert len(outputs[split]) == len(given)
        for serialized in outputs[split]:
            face = without_soft(serialized)
            np.testing.assert_equal(vars(face), vars(without_soft(given.pop(face.id))))
            for label, length in LENGTHS.items():
                expected = None if label in face.labels else scores(len(face.image), length)
                assert soft(serialized, label) == (expected and pytest.approx(expected))
        assert not given
    assert next(r for r in outputs["clothes_train"] if without_soft(r).id == "both") == SPLITS["clothes_train"][0][1]

    assert artifact_utils.decode_split_names(labelled.split_names) == list(SPLITS)
    assert examples_utils.get_payload_format(labelled) == example_gen_pb2.FORMAT_TF_EXAMPLE
    assert examples_utils.get_file_format(labelled) == "tfrecords_gzip"
    copied, left = ({f.name: f.read_bytes() for f in files(a, "faces_validation")} for a in (labelled, examples))
    assert copied == left and len(left) == 2
    said = capsys.readouterr().err
    assert "Soft labels: 44 images done" in said
    assert "  faces_train: attributes: 1 labelled, 40 annotated; clothing: 41 labelled, 0 annotated\n" in said


def test_one_worker_keeps_the_order_and_every_bit(tmp_path, models):
    annotated = {"attributes": np.array([0, 1, 0])}
    mixed = [record(f"{i}", 1 + i % 80, **(annotated if i % 3 else {})) for i in range(150)]
    first, again = (run_executor(tmp_path / run, {"train": [mixed]}, ["train"], models)[2] for run in "ab")
    assert first == again
    assert [without_soft(r).id for r in first["train"]] == [str(i) for i in range(150)]


def test_one_teacher(tmp_path, models):
    given = {"train": [[record("a", 20), record("b", 30, clothing=1)]]}
    _, _, outputs, counts = run_executor(tmp_path, given, ["train"], {"clothing": models["clothing"]}, [CLOTHING])
    assert counts == {"train": {"clothing": {"labelled": 1, "annotated": 1}}}
    assert soft(outputs["train"][0], "clothing") == pytest.approx([0.2, 0.21])
    assert soft(outputs["train"][0], "attributes") is None
    assert outputs["train"][1] == given["train"][0][1]


def test_a_label_without_values_is_none(tmp_path, models):
    empty = record("a", 20, attributes=np.array([], np.int64))
    assert not has_label(tf.train.Example.FromString(empty), "attributes")
    only = {"attributes": models["attributes"]}
    _, _, outputs, counts = run_executor(tmp_path, {"train": [[empty]]}, ["train"], only, [ATTRIBUTES])
    assert counts["train"]["attributes"] == {"labelled": 1, "annotated": 0}
    assert soft(outputs["train"][0], "attributes") == pytest.approx([0.2, 0.21, 0.22])


def test_annotated_records_are_not_even_shown(models):
    handler = SoftLabels(CLOTHING, f"{models['clothing'].uri}/Format-Serving", 2)
    batch = [("train", record("a", 20, clothing=0))]
    assert handler.run_inference(batch, model=None) == batch


def test_batches_are_all_of_one_size(models, monkeypatch, tmp_path):
    asked = []
    run_inference = SoftLabels.run_inference
    monkeypatch.setattr(
        SoftLabels,
        "run_inference",
        lambda self, batch, *more: asked.append(len(batch)) or run_inference(self, batch, *more),
    )
    records = [record(str(i), 20) for i in range(150)]
    run_executor(tmp_path, {"train": [records]}, ["train"], {"clothing": models["clothing"]}, [CLOTHING])
    assert asked == [64, 64, 22]


def test_no_blessed_model_yet(tmp_path, models):
    message = r"no blessed model of 'clothes/old' yet\. First: make run EXPERIMENT=clothes/old"
    with pytest.raises(ValueError, match=message):
        run_executor(tmp_path, {"train": [[]]}, ["train"], {"attributes": models["attributes"]})


def test_a_teacher_of_other_attributes(tmp_path, models):
    with pytest.raises(
        Exception, match=r"'faces/old' answers with attributes of shape \(3,\).*the data has 40 attributes"
    ):
        run_executor(
            tmp_path,
            {"train": [[record("a", 20)]]},
            ["train"],
            {"attributes": models["attributes"]},
            [ATTRIBUTES],
            {"attributes": 40},
        )


@pytest.mark.parametrize(("divisor", "said"), [(10.0, r"from 2\.0 to 2\.2"), (0.0, "inf"), (-100.0, r"from -0\.2")])
def test_answers_that_are_no_probabilities(tmp_path, divisor, said):
    model = teacher_model(tmp_path / "model", "attributes", 3, divisor=divisor)
    handler = SoftLabels(ATTRIBUTES, f"{model.uri}/Format-Serving", 3)
    with pytest.raises(ValueError, match=f"'faces/old' answers with attributes .*{said}.*in \\[0, 1\\]"):
        handler.run_inference([("train", record("a", 20))], handler.load_model())


def test_a_model_that_does_not_read_records(tmp_path):
    model = teacher_model(tmp_path / "model", "attributes", 3, signature="serving_default")
    with pytest.raises(ValueError, match=r"'faces/old' has no signature 'from_examples', but .*serving_default"):
        SoftLabels(ATTRIBUTES, f"{model.uri}/Format-Serving", 3)


def test_a_model_that_learnt_something_else(models):
    with pytest.raises(ValueError, match="'clothes/old' has no output 'clothing', but attributes, other"):
        SoftLabels(CLOTHING, f"{models['attributes'].uri}/Format-Serving", 2)


def test_lost_records_are_missed():
    counts = {"train": {"clothing": {"labelled": 3, "annotated": 4}}}
    check_counts(counts, {"train": 7})
    with pytest.raises(RuntimeError, match="'train' has 8 records, of which 7 came out with clothing"):
        check_counts(counts, {"train": 8})


def test_a_record_with_neither_is_in_no_count():
    example = tf.train.Example.FromString(record("a", 20, attributes=np.array([1, 0, 0])))
    assert list(outcomes(("train", example.SerializeToString()), ["attributes", "clothing"])) == [
        ("train", "attributes", "annotated")
    ]
    example.features.feature["clothing/soft"].float_list.value[:] = [0.5, 0.5]
    assert list(outcomes(("train", example.SerializeToString()), ["clothing"])) == [("train", "clothing", "labelled")]


def component(teachers, **models):
    examples = channel_utils.as_channel([standard_artifacts.Examples()])
    channels = {label: channel_utils.as_channel([model]) for label, model in models.items()}
    return SoftLabeler(
        examples=examples, teachers=teachers, models=channels, lengths=LENGTHS, splits=["train"], code_version="1"
    )


def test_component_gives_examples_and_counts(models):
    made = component([CLOTHING], clothing=models["clothing"])
    assert made.outputs["labelled_examples"].type is standard_artifacts.Examples
    assert made.outputs["counts"].type is simple_artifacts.Metrics
    assert set(made.inputs) == {"examples", "clothing_teacher"}
    assert set(component([ATTRIBUTES], attributes=models["attributes"]).inputs) == {"examples", "attributes_teacher"}
    assert json.loads(made.exec_properties["splits"]) == ["train"]
