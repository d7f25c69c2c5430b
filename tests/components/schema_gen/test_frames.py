"""The frame of a data set, measured and written into its schema."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tensorflow_metadata.proto.v0 import schema_pb2

from components.config import DatasetConfig
from components.datasets import build_dataset
from components.faces.frame import Frame
from components.images.decoding import decode
from components.record import FaceRecord
from components.schema_gen.frames import measured_frames, read_frames, write_frames
from tests.support import tiny_faces
from tests.support.photographs import CELEB_A, grace_hopper, needs_celeb_a, needs_dlib
from tests.support.serving import image, png


def files(folder, records) -> list[str]:
    return tiny_faces.write(folder, [record.to_example().SerializeToString() for record in records])


@needs_dlib
def test_of_crops_it_is_theirs(tmp_path):
    photograph = grace_hopper()
    high, wide = photograph.shape[:2]
    whole = [FaceRecord(str(i), "faces", png(photograph)) for i in range(5)]
    upper_half = [FaceRecord(str(i), "faces", png(photograph), crop=(0.0, 0.1, 0.5, 0.8)) for i in range(5)]
    frames = measured_frames({"whole": files(tmp_path / "a", whole), "half": files(tmp_path / "b", upper_half)})
    assert frames["whole"].aspect == pytest.approx(wide / high, abs=1e-3)
    assert frames["half"].aspect == pytest.approx(0.8 * wide / (0.5 * high), abs=1e-2)
    points = np.array(frames["whole"].points)
    np.testing.assert_allclose(frames["half"].points, (points - (0.1, 0.0)) / (0.8, 0.5), atol=0.02)


@needs_dlib
def test_images_without_faces_have_none_and_soon(tmp_path, monkeypatch):
    clouds = files(tmp_path, (FaceRecord(str(i), "clouds", image(i)) for i in range(60)))
    looked_at = []
    monkeypatch.setattr("components.schema_gen.frames.decode", lambda encoded: looked_at.append(1) or decode(encoded))
    assert measured_frames({"clouds": clouds}) == {}
    assert len(looked_at) == 40


@needs_dlib
@needs_celeb_a
def test_of_celeb_a_the_eyes_are_where_it_aligned_them(tmp_path):
    """CelebA's aligned images have the eyes' centres at (69, 111) and (107, 112) or so, of 178 x 218 pixels."""
    builder = build_dataset(DatasetConfig("celeb_a", {"landmarks": False}), str(CELEB_A))
    records = map(builder.load, itertools.islice(builder.references(), 40))
    frame = measured_frames({"celeb_a": files(tmp_path, records)})["celeb_a"]
    assert frame.aspect == pytest.approx(178 / 218, abs=1e-3)
    points = np.array(frame.points) * (178, 218)
    np.testing.assert_allclose(points[2:4].mean(axis=0), (69, 111), atol=4)
    np.testing.assert_allclose(points[:2].mean(axis=0), (107, 112), atol=4)


def test_written_and_read():
    schema = schema_pb2.Schema()
    assert read_frames(schema) == {}
    points = tuple((0.125 * place, 0.75) for place in range(5))
    frames = {"a": Frame(0.8, points), "b": Frame(1.0, points[::-1])}
    write_frames(frames, schema)
    assert read_frames(schema) == frames


def test_without_dlib_there_are_none_and_no_error(monkeypatch):
    def missing(**options):
        raise ModuleNotFoundError("no dlib")

    monkeypatch.setattr("components.schema_gen.frames.FaceDetector", missing)
    assert measured_frames({"a": []}) == {}
