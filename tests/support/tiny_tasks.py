"""Tiny data sets of one label each, and hybrid training on them."""

from __future__ import annotations

import pathlib
from types import MappingProxyType

import numpy as np
import PIL.Image

from components.config import Data, DatasetConfig, Experiment, Task, configured
from components.systems.ifan.config import HybridTraining, TaskTraining
from components.systems.ifan.training import Hybrid
from components.tasks.annotation import Annotation, BoundTask, points
from components.trainer.loop import Trained
from tests.support import tiny_faces

SIZE = (32, 32)
OUTPUTS = MappingProxyType({"parsing": 19, "landmarks": 5, "emotion": 7, "attributes": 40})
KINDS = MappingProxyType(
    {"parsing": "segmentation", "landmarks": "landmarks", "emotion": "classification", "attributes": "multi_label"}
)
ANNOTATIONS = MappingProxyType({name: Annotation(KINDS[name], points(count)) for name, count in OUTPUTS.items()})
THREE = ("parsing", "landmarks", "emotion")
FACE = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.5], [0.35, 0.7], [0.65, 0.7]])


def serialized(label: str, number: int) -> bytes:
    """A transformed example with one label, which its image shows: by brightness, place or stripes.

    The other labels are not annotated.
    """
    random = np.random.default_rng([len(label), number])
    pixels = random.integers(0, 40, (*SIZE, 3))
    features = {}
    for name, annotation in ANNOTATIONS.items():
        features |= tiny_faces.labels_of_none(annotation, name)
    features["attributes/positive_rate"] = [0.5] * OUTPUTS["attributes"]
    if label == "parsing":
        labels = np.zeros(SIZE, np.uint8)
        for part in (1, 2):
            top, left = random.integers(0, 16, 2)
            labels[top : top + 16, left : left + 16] = part
        labels[:2] = 255
        pixels += 100 * (labels % 255)[..., None]
        features["parsing/encoded"] = [tiny_faces.encoded(PIL.Image.fromarray(labels), "PNG")]
    elif label == "landmarks":
        shift = random.uniform(-0.25, 0.25, 2)
        column, row = (shift * SIZE).round().astype(int)
        pixels[10 + row : 22 + row, 10 + column : 22 + column] += 200
        features["landmarks"] = (FACE + shift).ravel().tolist()
    elif label == "emotion":
        emotion = number % OUTPUTS["emotion"]
        pixels[:, 4 * emotion : 4 * emotion + 6] += 200
        features["emotion"] = [emotion]
    else:
        answer = number % 2
        pixels += 100 * answer
        features["attributes"] = [answer, -1] * (OUTPUTS["attributes"] // 2)
    return tiny_faces.example(pixels.astype(np.uint8), **features)


def write(folder: pathlib.Path, sizes: dict[str, int], validation: int = 7) -> None:
    """Splits <label>_train of `sizes` and <label>_validation of `validation` images, each a folder."""
    for label, size in sizes.items():
        tiny_faces.write(folder / f"{label}_train", [serialized(label, number) for number in range(size)])
        numbers = range(1000, 1000 + validation)
        tiny_faces.write(folder / f"{label}_validation", [serialized(label, number) for number in numbers])


# Of an IFAN that is as small as it goes.
SMALL = {
    "levels": 3,
    "width": 8,
    "stem_kernel": 3,
    "growth": 4,
    "block_layers": 1,
    "up_width": 8,
    "re_encoder_widths": [4],
    "momentum": 0.9,
}


def model(labels=THREE, iterations=2, **arguments):
    """A small network."""
    tasks = {label: OUTPUTS[label] for label in labels}
    return configured("keras_models.IFAN", **{"tasks": tasks, "iterations": iterations, **SMALL, **arguments})


def data(labels=THREE) -> Data:
    """A data set for each label, called by its name."""
    return Data(tuple(DatasetConfig(label, labels=(label,)) for label in labels), image_size=SIZE)


def tasks(labels=THREE) -> tuple[Task, ...]:
    """One for each label."""
    return tuple(Task(label, KINDS[label]) for label in labels)


def bound(labels=THREE) -> list[BoundTask]:
    """The tasks with the data sets' annotations."""
    return [BoundTask(task, ANNOTATIONS[task.name], task.name) for task in tasks(labels)]


def experiment(labels=THREE, iterations=2, pretraining=1, network=None, batch_size=4, **settings) -> Experiment:
    """An epoch for each task alone, then two of three turns; RMSprop at 0.002."""
    rate = configured("components.trainer.schedules.constant", rate=0.002)
    settings = {
        "epochs": 2,
        "steps": 3,
        "optimizer": configured("tensorflow.keras.optimizers.RMSprop"),
        "pretraining_rate": rate,
        "learning_rate": rate,
        "seed": 3,
        **settings,
    }
    trainings = tuple(
        TaskTraining(task=label, batch_size=batch_size, pretraining_epochs=pretraining, max_shift=0.05, flip=False)
        for label in labels
    )
    training = HybridTraining(tasks=trainings, **settings)
    return Experiment("tiny", "none", data(labels), tasks(labels), network or model(labels, iterations), training)


def fit(tiny: Experiment, outputs: pathlib.Path, files: dict[str, list[str]], **more) -> Trained:
    """Trains with checkpoints and logs in `outputs`."""
    return tiny_faces.fit(tiny, outputs, files, bound([task.name for task in tiny.tasks]), **more)


class WatchedHybrid(Hybrid):
    """Hybrid training that can be stopped, and whose last model is kept."""

    last = None

    def __init__(self, run):
        super().__init__(run)
        self.callbacks.append(tiny_faces.StopAt())

    def build(self, checkpoint):
        WatchedHybrid.last = super().build(checkpoint)
        return WatchedHybrid.last
