"""What the tests of exported models share: images, records, tasks, a network that is easily followed, the check."""

from __future__ import annotations

import io
import itertools
import pathlib
import sys
import sysconfig
import types
from collections.abc import Mapping, Sequence
from unittest import mock

import numpy as np
import PIL.Image
import tensorflow as tf
from tensorflow import keras
from tensorflow.core.protobuf import saved_model_pb2

from components.config import Task
from components.faces.frame import Frame
from components.images.decoding import decode_and_resize
from components.images.status import STATUS, Status
from components.record import FaceRecord
from components.serving import replay
from components.serving.export import export
from components.serving.module import ServingModule
from components.systems.base import System
from components.tasks.annotation import Annotation, BoundTask, points
from components.tasks.base import Learning, learning_of, serving_of

SIZE = (32, 32)
CROPS = (None, (0.25, 0.1, 0.5, 0.8), (0.0, 0.3, 1.0, 0.7))


def image(seed: int, size=(40, 48), file_format="JPEG", mode="RGB") -> bytes:
    """An image file of coloured clouds; `size` is (width, height)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.BICUBIC).convert(mode).save(file, file_format)
    return file.getvalue()


# Of different sizes, formats and modes; the highest has 64 rows, the widest 56 columns.
IMAGES = [
    *(image(seed, (20 + 9 * seed, 64 - 5 * seed)) for seed in range(5)),
    image(5, file_format="PNG"),
    image(6, mode="L"),
    image(7, mode="CMYK"),
]


def png(pixels) -> bytes:
    """[H, W, 3] as a file."""
    file = io.BytesIO()
    PIL.Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "PNG")
    return file.getvalue()


def pixels(encoded: bytes) -> np.ndarray:
    """[H, W, 3] of a file."""
    return np.asarray(PIL.Image.open(io.BytesIO(encoded)).convert("RGB"))


def seen(encoded: bytes, size=SIZE) -> tf.Tensor:
    """[1, H, W, 3], what a network is shown of an image."""
    return tf.cast(decode_and_resize(encoded, size), tf.float32)[None]


def record(encoded: bytes, crop=None) -> bytes:
    """A serialized face record."""
    return FaceRecord("a", "test", encoded, crop=crop).to_example().SerializeToString()


def bound(name: str, kind: str, names: Sequence[str] = (), **options) -> BoundTask:
    """A task as its data set has it."""
    return BoundTask(Task(name, kind, options), Annotation(kind, tuple(names)), "test")


def learnt(*tasks: BoundTask, size=SIZE) -> dict[str, Learning]:
    """The tasks as they are learnt, by name."""
    return {task.name: learning_of(task, size) for task in tasks}


COLOURS = (
    bound("parsing", "segmentation", ("red", "green", "blue")),
    bound("landmarks", "landmarks", points(2)),
    bound("emotion", "classification", ("r", "g", "b")),
    bound("clothing", "classification", ("r", "g", "b"), scores="probabilities"),
    bound("attributes", "multi_label", ("redder", "bluer")),
    bound("age", "regression", scale=100.0),
)


def colours(factor: float = 1.0, **changed) -> keras.Model:
    """A network that is quickly exported and easily followed.

    A pixel's label is its strongest colour's. With r, g and b the mean colours from 0 to 1, the landmarks are (r, g)
    and (b, r), the emotions' logits and the probabilities of clothing r, g and b, the attributes' scores r - g and
    b - g, and the age is r of a hundred.

    Args:
        factor: of the pixels' logits.
        changed: functions of an output, by its name, that make another one.
    """
    shown = keras.Input((*SIZE, 3))
    kernel = keras.initializers.Constant(factor)
    mean = keras.layers.GlobalAveragePooling2D()(shown) / 255
    red, green, blue = mean[:, :1], mean[:, 1:2], mean[:, 2:]
    outputs = {
        "parsing": keras.layers.DepthwiseConv2D(1, depthwise_initializer=kernel, name="pixels")(shown),
        "landmarks": tf.concat([red, green, blue, red], axis=-1),
        "emotion": mean,
        "clothing": mean,
        "attributes": tf.concat([red - green, blue - green], axis=-1),
        "age": red,
    }
    return keras.Model(shown, outputs | {name: change(outputs[name]) for name, change in changed.items()})


def served(network: keras.Model, *tasks: BoundTask, size=SIZE, **options) -> ServingModule:
    """A network with its tasks, before it is written."""
    return ServingModule(network, size, [serving_of(task) for task in tasks], **options)


def exported(
    network: keras.Model,
    tasks: Mapping[str, Learning],
    folder: pathlib.Path,
    system: System | None = None,
    warmup: Sequence[bytes] = IMAGES[:4],
    size=SIZE,
    fast: keras.Model | None = None,
    frames: Mapping[str, Frame] = types.MappingProxyType({}),
) -> pathlib.Path:
    """The folder, with the SavedModel in it."""
    export(network, tasks, size, system or System(), str(folder), warmup, fast, frames)
    return folder


def answers_of(signature, *inputs: bytes) -> dict[str, np.ndarray]:
    """By output, of images that can be answered."""
    answers = {name: values.numpy() for name, values in signature(tf.constant(inputs)).items()}
    assert answers.pop(STATUS).tolist() == [Status.ANSWERED] * len(inputs)
    return answers


def operations(folder: pathlib.Path) -> set[str]:
    """The kinds of all operations in a SavedModel's functions."""
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    functions = (function for graph in saved.meta_graphs for function in graph.graph_def.library.function)
    return {node.op for function in functions for node in function.node_def}


def specs(signature) -> dict[str, tuple[tf.DType, list[int | None]]]:
    """What a signature of a SavedModel promises: dtype and shape by output, the images' status left out."""
    found = {name: (spec.dtype, spec.shape.as_list()) for name, spec in signature.structured_outputs.items()}
    assert found.pop(STATUS) == (tf.int64, [None])
    return found


def write_records(file: pathlib.Path, images: Sequence[bytes] = IMAGES, crops: Sequence = (None,)) -> str:
    """A file of records of the images, with the crops in turn; returns its name."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(file), "GZIP") as writer:
        for encoded, crop in zip(images, itertools.cycle(crops), strict=False):
            writer.write(record(encoded, crop))
    return str(file)


def replayed(folder: pathlib.Path, images: Sequence[bytes] = IMAGES, crops: Sequence = (None,)) -> str:
    """What the check says of a SavedModel and records beside it, in this process, which is not clean."""
    examples = write_records(folder.parent / "examples.gz", images, crops)
    clean = types.SimpleNamespace(util=types.SimpleNamespace(find_spec=lambda package: None))
    with mock.patch.object(replay, "importlib", clean), mock.patch.object(sys, "path", [*sys.path]):
        return replay.main(sysconfig.get_path("purelib"), str(folder), examples)
