"""What the tests of exported models share: pictures to send, records of them, and a run of ServingCheck."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image
from tfx.types import artifact_utils, standard_artifacts

from components.record import FaceRecord
from components.serving import check


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


def serialized(image: bytes, name="a") -> bytes:
    face = FaceRecord(name, "test", image, attributes=[0, 1, 1])
    return face.to_example().SerializeToString()


def run_check(model: Path, tmp_path: Path):
    """ServingCheck's executor on `model`/Format-Serving: (blessed, message, files in the blessing)."""
    artifacts = standard_artifacts.Model(), standard_artifacts.Examples(), standard_artifacts.InfraBlessing()
    model_artifact, examples, blessing = artifacts
    model_artifact.uri, examples.uri, blessing.uri = str(model), str(tmp_path / "examples"), str(tmp_path / "blessing")
    examples.split_names = artifact_utils.encode_split_names(["test"])
    split = Path(artifact_utils.get_split_uri([examples], "test"))
    split.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(split / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
        for image in PICTURES:
            writer.write(serialized(image))
    check.Executor().Do(
        {"model": [model_artifact], "examples": [examples]},
        {"blessing": [blessing]},
        {"split": "test", "code_version": ""},
    )
    message = blessing.get_string_custom_property("message")
    (file,) = Path(blessing.uri).iterdir()
    assert file.read_text() == message
    return blessing.get_int_custom_property("blessed"), message, file.name
