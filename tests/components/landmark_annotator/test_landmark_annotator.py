"""LandmarkAnnotator: what it adds, what it leaves alone and what it counts."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from PIL import Image
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, channel_utils, standard_artifacts
from tfx.types.experimental import simple_artifacts

from components.beam_workers import has_one_worker
from components.faces import dlib_models
from components.faces.detector import main_face
from components.landmark_annotator import executor
from components.landmark_annotator.component import LandmarkAnnotator
from components.landmark_annotator.detector import LandmarkDetector, normalised
from components.landmark_annotator.executor import Executor, annotate
from components.record import FaceRecord
from components.tasks.landmarks.markup import MARKUPS
from tests.support.photographs import SAMPLES, needs_dlib

needs_faces = pytest.mark.skipif(not (SAMPLES / "ibug68").is_dir(), reason="no sample data in ../shared/data/ibug68")

POINTS = np.linspace(0, 1, 136, dtype=np.float32).reshape(68, 2)


def encoded_image(mode="RGB", file_format="JPEG", shade=90) -> bytes:
    """A file of one shade: nothing that could be taken for a face."""
    file = io.BytesIO()
    Image.new("RGB", (120, 100), (shade, shade, shade)).convert(mode).save(file, file_format)
    return file.getvalue()


def record(name="a", image=None, landmarks=None) -> bytes:
    labels = {} if landmarks is None else {"points": landmarks}
    face = FaceRecord(id=name, dataset="test", image=image or encoded_image(), labels=labels)
    return face.to_example().SerializeToString()


def read(serialized: bytes) -> FaceRecord:
    return FaceRecord.from_example(tf.train.Example.FromString(serialized))


def points(serialized: bytes) -> np.ndarray:
    return read(serialized).labels["points"].reshape(68, 2)


def brighter_is_a_face(image):
    """Stands for the detector where the test is not about dlib."""
    return POINTS if image.mean() > 128 else None


def artifact(cls, folder: Path, split_names=()):
    folder.mkdir(parents=True)
    result = cls()
    result.uri = str(folder)
    if split_names:
        result.split_names = artifact_utils.encode_split_names(list(split_names))
    return result


def run_executor(folder: Path, splits: dict[str, list[bytes]], beam_args=()):
    """Writes `splits` as an Examples artifact, runs Executor.Do, returns (output artifact, splits, counts)."""
    examples = artifact(standard_artifacts.Examples, folder / "in", splits)
    annotated = artifact(standard_artifacts.Examples, folder / "out")
    counts = artifact(simple_artifacts.Metrics, folder / "counts")
    for split, records in splits.items():
        path = Path(artifact_utils.get_split_uri([examples], split), "data_tfrecord-00000-of-00001.gz")
        path.parent.mkdir()
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for serialized in records:
                writer.write(serialized)
    Executor(Executor.Context(beam_pipeline_args=list(beam_args))).Do(
        {"examples": [examples]},
        {"annotated_examples": [annotated], "counts": [counts]},
        {"label": "points", "code_version": "1"},
    )
    outputs = {}
    for split in splits:
        files = tf.io.gfile.glob(examples_utils.get_split_file_patterns([annotated], split))
        outputs[split] = [r.numpy() for r in tf.data.TFRecordDataset(files, "GZIP")]
    return annotated, outputs, json.loads(Path(counts.uri, "annotation.json").read_text())


@pytest.mark.parametrize("beam_args", [(), ("--direct_running_mode=multi_threading", "--direct_num_workers=2")])
def test_executor_annotates_each_split_and_counts(tmp_path, monkeypatch, capsys, beam_args):
    monkeypatch.setattr(executor, "LandmarkDetector", lambda: brighter_is_a_face)
    monkeypatch.setattr(executor, "require_extra", lambda: None)
    bright, dark = encoded_image(shade=200), encoded_image(shade=50)
    splits = {
        "train": [record("a", bright), record("b", dark), record("c", bright), record("d", dark, POINTS / 2)],
        "validation": [record("e", dark)],
        "test": [],
    }
    annotated, outputs, counts = run_executor(tmp_path, splits, beam_args)

    assert counts == {
        "train": {"annotated": 2, "had_landmarks": 1, "not_found": 1},
        "validation": {"annotated": 0, "had_landmarks": 0, "not_found": 1},
        "test": {"annotated": 0, "had_landmarks": 0, "not_found": 0},
    }
    assert artifact_utils.decode_split_names(annotated.split_names) == ["train", "validation", "test"]
    assert examples_utils.get_payload_format(annotated) == example_gen_pb2.FORMAT_TF_EXAMPLE
    assert examples_utils.get_file_format(annotated) == "tfrecords_gzip"
    assert {split: len(records) for split, records in outputs.items()} == {"train": 4, "validation": 1, "test": 0}

    by_id = {read(serialized).id: serialized for serialized in outputs["train"] + outputs["validation"]}
    for name in "ac":
        np.testing.assert_array_equal(points(by_id[name]), POINTS)
        assert read(by_id[name]).image == bright
    assert [by_id[name] for name in "bde"] == [splits["train"][1], splits["train"][3], splits["validation"][0]]
    said = capsys.readouterr().err
    assert "Annotating landmarks: 5 images done" in said
    assert "train: 2 annotated, 1 had landmarks, 1 without a face" in said


@needs_dlib
@needs_faces
def test_executor_with_dlib_on_real_images(tmp_path):
    paths = sorted((SAMPLES / "ibug68" / "helen").rglob("*.jpg"))[:4]
    faces = [record(path.stem, path.read_bytes()) for path in paths]
    _, outputs, counts = run_executor(tmp_path, {"train": [*faces, record("none")]})

    assert counts == {"train": {"annotated": 4, "had_landmarks": 0, "not_found": 1}}
    for annotated in outputs["train"]:
        name = read(annotated).id
        if name == "none":
            assert not read(annotated).labels
            continue
        path = next(path for path in paths if path.stem == name)
        lines = path.with_suffix(".pts").read_text().split("{")[1].split("}")[0].split()
        truth = normalised(np.array(lines, float).reshape(68, 2) - 1, 160, 160)
        distances = np.linalg.norm(points(annotated) - truth, axis=1)
        assert distances.mean() / MARKUPS[68].interocular(truth) < 0.1


@needs_dlib
@pytest.mark.parametrize(
    ("mode", "file_format"), [("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("L", "PNG"), ("RGBA", "PNG")]
)
def test_no_face_in_an_image_of_any_mode(mode, file_format, dlib_detector):
    unchanged = record(image=encoded_image(mode, file_format))
    assert annotate(unchanged, "points", dlib_detector) == (unchanged, "not_found")


@pytest.fixture(scope="module")
def dlib_detector():
    return LandmarkDetector()


def test_a_record_with_landmarks_is_not_even_decoded():
    unchanged = record(image=b"no image", landmarks=POINTS)
    assert annotate(unchanged, "points", brighter_is_a_face) == (unchanged, "had_landmarks")


def test_landmarks_without_values_are_not_landmarks():
    empty = record(image=encoded_image(shade=200), landmarks=np.zeros((0, 2)))
    serialized, outcome = annotate(empty, "points", brighter_is_a_face)
    assert outcome == "annotated"
    np.testing.assert_array_equal(points(serialized), POINTS)


def test_a_record_is_the_same_whichever_process_annotates_it():
    serialized, _ = annotate(record(image=encoded_image(shade=200)), "points", brighter_is_a_face)
    assert serialized == tf.train.Example.FromString(serialized).SerializeToString(deterministic=True)


def test_a_broken_image_is_named():
    with pytest.raises(ValueError, match=r"'face-7'.*decoded"):
        annotate(record("face-7", b"no image"), "points", brighter_is_a_face)


def test_normalised_by_hand():  # pixel 0 of 4 has its centre at 0.5 / 4; pixel 9 of 10 at 9.5 / 10
    np.testing.assert_allclose(normalised([[0, 9]], height=10, width=4), [[0.125, 0.95]])


def test_normalised_mirrors_to_one_minus_x():
    x = np.arange(7)
    points, mirrored = (normalised(np.stack([i, x], -1), 7, 7)[:, 0] for i in (x, x[::-1]))
    np.testing.assert_allclose(mirrored, 1 - points, atol=1e-6)


def test_main_face_is_the_larger():
    assert main_face([[40, 40, 60, 60], [10, 10, 70, 70]], height=100, width=100) == 1


def test_main_face_of_one_size_is_the_central():
    assert main_face([[0, 0, 30, 30], [35, 35, 65, 65], [70, 70, 100, 100]], height=100, width=100) == 1


def test_main_face_by_hand():
    # 50 x 50, 25 right of the centre: 2500 - 2 * 625 = 1250 loses to 40 x 40 in the centre, 1600.
    assert main_face([[50, 25, 100, 75], [30, 30, 70, 70]], height=100, width=100) == 1


@pytest.mark.parametrize(
    ("flags", "one"),
    [
        ([], True),
        (["--runner=DirectRunner", "--direct_running_mode=in_memory"], True),
        (["--direct_running_mode=multi_processing"], False),
        (["--runner=FlinkRunner"], False),
    ],
)
def test_records_are_spread_where_there_are_workers(flags, one):
    assert has_one_worker(PipelineOptions(flags)) is one


def test_the_missing_extra_is_named_when_the_pipeline_is_built(monkeypatch):
    monkeypatch.setattr(dlib_models, "EXTRA", ("dlib_that_nobody_has",))
    examples = channel_utils.as_channel([standard_artifacts.Examples()])
    with pytest.raises(ModuleNotFoundError, match=r'dlib_that_nobody_has.*pip install "\.\[landmarks\]"'):
        LandmarkAnnotator(examples=examples, label="points", code_version="1")


@needs_dlib
def test_component_gives_examples_and_counts():
    examples = channel_utils.as_channel([standard_artifacts.Examples()])
    component = LandmarkAnnotator(examples=examples, label="points", code_version="1")
    assert component.outputs["annotated_examples"].type is standard_artifacts.Examples
    assert component.outputs["counts"].type is simple_artifacts.Metrics
    assert component.exec_properties == {"label": "points", "code_version": "1"}
