"""Tiny data sets of one label each, and hybrid training on them. As a script: trains and may be killed on the way."""

from __future__ import annotations

import io
import os
import pathlib
import signal
import sys

import numpy as np
import PIL.Image
import tensorflow as tf
import tiny_faces

from components.config import Data, Experiment, HybridTraining, Source, TaskTraining, factory, from_json
from components.trainer import hybrid
from components.trainer.hybrid_model import Validation
from components.trainer.supervised import Trained

SIZE = (32, 32)
OUTPUTS = {"parsing": 19, "landmarks": 5, "emotion": 7, "attributes": 40}  # of the drawn faces, but for the landmarks
THREE = ("parsing", "landmarks", "emotion")
FACE = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.5], [0.35, 0.7], [0.65, 0.7]])
KILL_AT = "TINY_TASKS_KILL_AT"


def serialized(label: str, number: int) -> bytes:
    """A transformed example with one label, which its picture shows: by brightness, place or stripes."""
    random = np.random.default_rng([len(label), number])
    pixels = random.integers(0, 40, (*SIZE, 3))
    example = tf.train.Example()
    features = example.features.feature
    if label == "parsing":
        labels = np.zeros(SIZE, np.uint8)
        for part in (1, 2):
            top, left = random.integers(0, 16, 2)
            labels[top : top + 16, left : left + 16] = part
        labels[:2] = 255
        pixels += 100 * (labels % 255)[..., None]
        features["parsing/encoded"].bytes_list.value.append(_encoded(labels, "PNG"))
    elif label == "landmarks":
        shift = random.uniform(-0.25, 0.25, 2)
        column, row = (shift * SIZE).round().astype(int)
        pixels[10 + row : 22 + row, 10 + column : 22 + column] += 200
        features["landmarks"].float_list.value.extend((FACE + shift).ravel())
    elif label == "emotion":
        emotion = number % OUTPUTS["emotion"]
        pixels[:, 4 * emotion : 4 * emotion + 6] += 200
        features["emotion"].int64_list.value.append(emotion)
    else:
        answer = number % 2
        pixels += 100 * answer
        features["attributes"].int64_list.value.extend([answer, -1] * (OUTPUTS["attributes"] // 2))
        features["positive_rate"].float_list.value.extend([0.5] * OUTPUTS["attributes"])
    features["image/encoded"].bytes_list.value.append(_encoded(pixels.astype(np.uint8), "JPEG", quality=95))
    return example.SerializeToString()


def _encoded(pixels, kind, **options):
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def write(folder: pathlib.Path, sizes: dict[str, int], validation: int = 7) -> None:
    """Splits <label>_train of `sizes` and <label>_eval of `validation` pictures, each a folder."""
    for label, size in sizes.items():
        tiny_faces.write(folder / f"{label}_train", [serialized(label, number) for number in range(size)])
        numbers = range(1000, 1000 + validation)
        tiny_faces.write(folder / f"{label}_validation", [serialized(label, number) for number in numbers])


def files(folder: pathlib.Path) -> dict[str, list[str]]:
    """The names of the files by split."""
    return {split.name: sorted(map(str, split.iterdir())) for split in folder.iterdir()}


def model(labels=THREE, iterations=2, **arguments):
    """A network as narrow as it goes."""
    arguments = {
        "tasks": {label: OUTPUTS[label] for label in labels},
        "iterations": iterations,
        "width": 8,
        "growth": 4,
        "block_layers": 1,
        "up_width": 8,
        "re_encoder_widths": [4, 4, 4],
        **arguments,
    }
    return factory("keras_models.IFAN", **arguments)


def data(labels=THREE) -> Data:
    """A data set for each label, called by its name."""
    return Data(
        tuple(Source(label, builder="synthetic_faces", labels=(label,)) for label in labels),
        image_size=SIZE,
        attributes="attributes" in labels,
        num_landmarks=OUTPUTS["landmarks"] if "landmarks" in labels else 0,
        parsing="parsing" in labels,
        emotion="emotion" in labels,
    )


def experiment(labels=THREE, iterations=2, pretraining=1, network=None, batch_size=4, **settings) -> Experiment:
    """An epoch for each task alone, then two of three turns; RMSprop at 0.002."""
    rate = factory("components.trainer.schedules.constant", rate=0.002)
    settings = {
        "epochs": 2,
        "steps": 3,
        "optimizer": factory("tensorflow.keras.optimizers.RMSprop"),
        "pretraining_rate": rate,
        "learning_rate": rate,
        "seed": 3,
        **settings,
    }
    tasks = tuple(
        TaskTraining(label=label, batch_size=batch_size, pretraining_epochs=pretraining, max_shift=0.05, flip=False)
        for label in labels
    )
    training = HybridTraining(tasks=tasks, **settings)
    return Experiment("tiny", "none", data(labels), network or model(labels, iterations), training, None)


def fit(tiny: Experiment, outputs: pathlib.Path, split_files: dict[str, list[str]], **more) -> Trained:
    """`hybrid.fit` with its checkpoints and logs in `outputs`."""
    return hybrid.fit(
        tiny,
        {split: names for split, names in split_files.items() if split.endswith("_train")},
        {split: names for split, names in split_files.items() if split.endswith("_validation")},
        checkpoint_folder=f"{outputs}/checkpoints",
        log_folder=f"{outputs}/logs",
        **more,
    )


class StoppingValidation(Validation):
    """Stops the run inside an epoch: at `where` = (epoch, batch), both from 0, or the batch "end", before the save.

    Takes the place of `hybrid.Validation`. `where` None looks into the environment, and kills the process.
    """

    where = None
    now = 0

    def on_epoch_begin(self, epoch, logs=None):
        StoppingValidation.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        self._stop((StoppingValidation.now, batch))

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self._stop((epoch, "end"))

    def _stop(self, now):
        if now == StoppingValidation.where:
            raise tiny_faces.Stopped
        if os.environ.get(KILL_AT) == "{}/{}".format(*now):
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    hybrid.Validation = StoppingValidation
    fit(from_json(sys.argv[2]), pathlib.Path(sys.argv[3]), files(pathlib.Path(sys.argv[1])))
