"""What the tests of exported models share: pictures to send, records of them, and a run of ServingCheck."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image
from tfx.types import artifact_utils, standard_artifacts

from components.config import Task
from components.record import FaceRecord
from components.serving import check
from components.serving.export import export
from components.serving.module import ServingModule
from components.systems.base import System
from components.tasks.annotation import Annotation, BoundTask


def picture(seed: int, size=(40, 48), file_format="JPEG", mode="RGB") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).convert(mode).save(file, file_format)
    return file.getvalue()


# Of different sizes, formats and modes.
PICTURES = [
    *(picture(seed, (20 + 9 * seed, 64 - 5 * seed)) for seed in range(5)),
    picture(5, file_format="PNG"),
    picture(6, mode="L"),
    picture(7, mode="CMYK"),
]


def png(pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "PNG")
    return file.getvalue()


def serialized(image: bytes, name="a", crop=None) -> bytes:
    face = FaceRecord(name, "test", image, labels={"attributes": [0, 1, 1]}, crop=crop)
    return face.to_example().SerializeToString()


class State(tf.Module):
    """What training keeps of a task, as far as serving looks at it."""

    def __init__(self, task: BoundTask, **variables):
        super().__init__()
        self.task = task
        for name, value in variables.items():
            setattr(self, name, tf.Variable(value, trainable=False))


def bound(name: str, kind: str, names: Sequence[str], **options) -> BoundTask:
    """A task as its data set has it."""
    return BoundTask(Task(name, kind, options), Annotation(kind, tuple(names)), "test")


def exported(module: ServingModule, folder: Path, images=None, system: System | None = None, trained=None) -> Path:
    """The folder, with the SavedModel in it."""
    export(module, str(folder), images or PICTURES[:4], system or System(), trained or module.network)
    return folder


def answers_of(signature, *inputs: bytes) -> dict[str, np.ndarray]:
    return {name: values.numpy() for name, values in signature(tf.constant(inputs)).items()}


def run_check(model: Path, tmp_path: Path, splits=(("test", PICTURES),), crops=(None,), time_limit=600):
    """ServingCheck's executor on `model`/Format-Serving: (blessed, message, files in the blessing).

    `splits`: name and pictures of each. `crops`: of the pictures in turn.
    """
    artifacts = standard_artifacts.Model(), standard_artifacts.Examples(), standard_artifacts.InfraBlessing()
    model_artifact, examples, blessing = artifacts
    model_artifact.uri, examples.uri, blessing.uri = str(model), str(tmp_path / "examples"), str(tmp_path / "blessing")
    names = [name for name, _ in splits]
    examples.split_names = artifact_utils.encode_split_names(names)
    for name, pictures in splits:
        split = Path(artifact_utils.get_split_uri([examples], name))
        split.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(split / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
            for image, crop in zip(pictures, itertools.cycle(crops), strict=False):
                writer.write(serialized(image, crop=crop))
    check.Executor().Do(
        {"model": [model_artifact], "examples": [examples]},
        {"blessing": [blessing]},
        {"splits": json.dumps(names), "code_version": "", "time_limit": time_limit},
    )
    message = blessing.get_string_custom_property("message")
    (file,) = Path(blessing.uri).iterdir()
    assert file.read_text() == message
    return blessing.get_int_custom_property("blessed"), message, file.name
