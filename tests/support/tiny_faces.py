"""Tiny images, networks and experiments for whatever tests a training."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import PIL.Image
import tensorflow as tf
from tensorflow import keras

from components.config import Data, DatasetConfig, Experiment, ObjectConfig, Task, Training, configured, to_json
from components.serving.export import export
from components.systems.base import System
from components.systems.branching.config import WideningTraining
from components.tasks.annotation import Annotation, BoundTask, points
from components.tasks.base import Learning
from components.trainer.loop import Trained, train
from keras_models.branch_tree import BranchTree
from keras_models.branched_network import BranchedNetwork
from keras_models.branches import Branches, conv, dense, flatten, normalised, relu
from keras_models.normalization import batch_norm

ATTRIBUTES = ("A", "B", "C", "D", "E", "F")
LABELS = ("background", "left_eye", "right_eye", "mouth")
ANNOTATIONS = MappingProxyType(
    {
        "attributes": Annotation("multi_label", ATTRIBUTES),
        "landmarks": Annotation("landmarks", points(5)),
        "parsing": Annotation("segmentation", LABELS),
        "emotion": Annotation("classification", ("calm", "moved")),
        "clothing": Annotation("classification", ("coat", "dress", "hat")),
    }
)
POSITIVE_RATE = (0.5, 0.5, 0.5, 0.25, 0.1, 0.75)
SIZE = (32, 32)
DATA = Data((DatasetConfig("tiny"),), image_size=SIZE)
LANDMARKS = Task("landmarks", "landmarks")
PARSED = Task("parsing", "segmentation")
SIGNED, LIKELY = (Task("attributes", "multi_label", {"scores": scores}) for scores in ("signed", "probabilities"))
CLOTHING = Task("clothing", "classification", {"scores": "probabilities"})
LINEAR = configured("tests.support.tiny_faces.linear_network")
CONVOLUTIONAL = configured("tests.support.tiny_faces.convolutional_network")
PARSING = configured("tests.support.tiny_faces.parsing_network")
TREE = configured("tests.support.tiny_faces.tree_network")
STOP = configured("tests.support.tiny_faces.StopAt")
KILL_AT = "TINY_FACES_KILL_AT"
ROOT = pathlib.Path(__file__).parents[2]


def bound(*tasks: Task, annotations: Mapping[str, Annotation] = ANNOTATIONS, dataset: str = "tiny") -> list[BoundTask]:
    """The tasks with what the tiny data set, or another, says of them."""
    return [BoundTask(task, annotations[task.name], dataset) for task in tasks]


def labels_of_none(annotation: Annotation, name: str) -> dict[str, list]:
    """What Transform leaves of a label in a record that is not annotated."""
    return {
        "multi_label": {name: [-1] * len(annotation.names)},
        "classification": {name: [-1]},
        "landmarks": {name: [float("nan")] * 2 * len(annotation.names)},
        "segmentation": {f"{name}/encoded": [b""]},
    }[annotation.kind]


def example(pixels: np.ndarray, mode: str = "RGB", **features: Sequence) -> bytes:
    """A transformed example of an image [H, W, 3] uint8; features by name, "/" written as "__"."""
    written = {"image/encoded": [encoded(PIL.Image.fromarray(pixels).convert(mode), "JPEG", quality=95)]}
    written |= {name.replace("__", "/"): list(values) for name, values in features.items()}
    example = tf.train.Example()
    for name, values in written.items():
        feature = example.features.feature[name]
        lists = {bytes: feature.bytes_list, int: feature.int64_list, float: feature.float_list}
        lists[type(values[0])].value.extend(values)
    return example.SerializeToString()


def encoded(image: PIL.Image.Image, kind: str, **options) -> bytes:
    """An image file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def serialized(number: int, size=SIZE, mode="RGB", attributes=None, landmarks=None, **labels) -> bytes:
    """A transformed example; its attributes are the binary digits of `number`, and its image shows them roughly.

    Args:
        labels: further features, as `example` takes them.
    """
    random = np.random.default_rng(number)
    digits = [number >> k & 1 for k in range(len(ATTRIBUTES))]
    pixels = random.integers(0, 64, (*size, 3), np.uint8)
    for k, digit in enumerate(digits):
        pixels[:, k * size[1] // len(ATTRIBUTES) :][:, :5] += np.uint8(128 * digit)
    return example(
        pixels,
        mode,
        image__id=[f"{number}.jpg".encode()],
        attributes=digits if attributes is None else attributes,
        attributes__positive_rate=POSITIVE_RATE,
        landmarks=random.uniform(0.2, 0.8, 10).tolist() if landmarks is None else landmarks,
        **labels,
    )


def serialized_parsing(number: int) -> bytes:
    """A transformed example with a label map: each part a square somewhere, as bright as its label."""
    random = np.random.default_rng(number)
    labels = np.zeros(SIZE, np.uint8)
    for label in range(1, len(LABELS)):
        top, left = random.integers(0, 22, 2)
        labels[top : top + 10, left : left + 10] = label
    pixels = (60 * labels[..., None] + random.integers(0, 50, (*SIZE, 3))).astype(np.uint8)
    return example(pixels, parsing__encoded=[encoded(PIL.Image.fromarray(labels), "PNG")])


def write(folder: pathlib.Path, examples: list[bytes], shards: int = 1) -> list[str]:
    """Writes gzipped TFRecords in turn to `shards` files; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{folder}/transformed-{k:05}-of-{shards:05}.gz" for k in range(shards)]
    for k, name in enumerate(names):
        with tf.io.TFRecordWriter(name, "GZIP") as writer:
            for example in examples[k::shards]:
                writer.write(example)
    return names


def linear_network(input_shape) -> keras.Model:
    """One dense layer and no landmarks: as far from DMM-CNN as a network with an `attributes` output can be."""
    image = keras.Input(input_shape)
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    return keras.Model(image, {"attributes": keras.layers.Dense(len(ATTRIBUTES), dtype="float32")(x)})


def convolutional_network(input_shape, filters=4) -> keras.Model:
    """Convolution, batch norm, attributes and landmarks."""
    image = keras.Input(input_shape)
    x = keras.layers.Conv2D(filters, 3, 4)(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Flatten()(keras.layers.ReLU()(batch_norm("bn", 0.5, 1e-3)(x)))
    outputs = {"attributes": len(ATTRIBUTES), "landmarks": 10}
    return keras.Model(image, {name: keras.layers.Dense(n, dtype="float32")(x) for name, n in outputs.items()})


def parsing_network(input_shape, num_classes=4, edges=True) -> keras.Model:
    """Two convolutions with a batch norm between them, and perhaps edge branches."""
    image = keras.Input(input_shape)
    x = keras.layers.Conv2D(4, 3, padding="same", name="features")(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.5)(x))
    outputs = {"parsing": num_classes, **({"binary_edge": 2, "category_edge": num_classes} if edges else {})}
    logits = {name: keras.layers.Conv2D(n, 1, dtype="float32")(x) for name, n in outputs.items()}
    return keras.Model(image, logits)


class TreeNetwork(BranchedNetwork):
    """Two convolutions and a fully connected layer that may branch; at width 2 into 2, 4 and 6."""

    LAYERS = ("conv1", "conv2", "fc")
    WIDTHS = MappingProxyType({"conv1": 4, "conv2": 8, "fc": 12})
    POOLING_ABOVE = MappingProxyType({"conv1": 1, "conv2": 0, "fc": 0})

    @classmethod
    def features(cls, x, width, tree):
        for name, strides in (("conv1", 4), ("conv2", 1)):
            x = conv(x, tree.parents(name), cls.branch_width(name, width), 3, name, strides)
            x = relu(normalised(x, name), f"{name}_relu")
            if name == "conv1":
                x = Branches(keras.layers.MaxPooling2D(2)(x.features), x.count)
        x = dense(flatten(x, "flatten"), tree.parents("fc"), cls.branch_width("fc", width), "fc")
        return relu(normalised(x, "fc"), "fc_relu")


def tree_network(input_shape, width=2, outputs=None) -> TreeNetwork:
    """Without branches, for the attributes or for `outputs`."""
    tasks = sum(outputs.values()) if outputs else len(ATTRIBUTES)
    return TreeNetwork(input_shape, width, BranchTree.unbranched(TreeNetwork.LAYERS, tasks), outputs)


def _experiment(tasks, model, training, data=DATA) -> Experiment:
    return Experiment("tiny", "none", data, tasks, model, training)


def widening_experiment(
    callbacks: tuple[ObjectConfig, ...] = (), tasks=(LIKELY,), model=TREE, **settings
) -> Experiment:
    """A round of three steps for each of the three layers, with SGD on batches of 8, and two such epochs at the end."""
    settings = {
        "epochs": 2,
        "steps": 3,
        "widening_rate": 0.05,
        "alpha": 1.0,
        "batch_size": 8,
        "optimizer": configured("tensorflow.keras.optimizers.SGD", momentum=0.9),
        "learning_rate": 0.05,
        "loss": configured("components.systems.branching.loss.TaskCrossEntropy"),
        "seed": 3,
        **settings,
    }
    return _experiment(tasks, model, WideningTraining(callbacks=callbacks, **settings))


def parsing_experiment(callbacks: tuple[ObjectConfig, ...] = (), model=PARSING, **settings) -> Experiment:
    """Four epochs of Adam on batches of 8, turned and enlarged."""
    settings = {
        "epochs": 4,
        "batch_size": 8,
        "optimizer": configured("tensorflow.keras.optimizers.Adam"),
        "learning_rate": 0.01,
        "loss": configured("components.systems.dml_csr.loss.DMLLoss"),
        "flip": False,
        "max_rotation": 20.0,
        "scale": (0.8, 1.2),
        "seed": 3,
        **settings,
    }
    return _experiment((PARSED,), model, Training(callbacks=callbacks, **settings))


def experiment(
    model: ObjectConfig = CONVOLUTIONAL,
    callbacks: tuple[ObjectConfig, ...] = (),
    tasks: tuple[Task, ...] = (SIGNED, LANDMARKS),
    data: Data = DATA,
    **settings,
) -> Experiment:
    """Four epochs of Adam on batches of 12, mirrored and shifted."""
    settings = {
        "epochs": 4,
        "batch_size": 12,
        "optimizer": configured("tensorflow.keras.optimizers.Adam"),
        "loss": configured("components.systems.dmm_cnn.loss.DMMLoss", beta=0.5),
        "max_shift": 0.1,
        "seed": 3,
        **settings,
    }
    return _experiment(tasks, model, Training(callbacks=callbacks, **settings), data)


def files_in(folder: pathlib.Path) -> dict[str, list[str]]:
    """The names of the files by split, each of which has a folder."""
    return {split.name: sorted(map(str, split.iterdir())) for split in folder.iterdir()}


def fit(
    tiny: Experiment, folder: pathlib.Path, files: Mapping[str, Sequence[str]], tasks: Sequence[BoundTask] = (), **more
) -> Trained:
    """Trains with checkpoints and logs in `folder`; `tasks` if the tiny data set has others than the experiment."""
    return train(
        tiny,
        tasks or bound(*tiny.tasks),
        *({name: files[name] for name in files if name.endswith(split)} for split in ("train", "validation")),
        checkpoint_folder=f"{folder}/checkpoints",
        log_folder=f"{folder}/logs",
        **more,
    )


@contextlib.contextmanager
def eagerly():
    """For trainings of a few steps, of which tracing the network would take most of the time."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


def export_network(
    network: keras.Model, tasks: Mapping[str, Learning], folder: pathlib.Path | str, system: System | None = None
) -> None:
    """A SavedModel of a network and its tasks, as a run leaves it."""
    image = encoded(PIL.Image.new("RGB", network.input_shape[2:0:-1]), "PNG")
    export(network, tasks, network.input_shape[1:3], system or System(), str(folder), [image])


def newest_save(folder: pathlib.Path) -> int:
    """The number of the last save of a stopped run in `folder`; 0 if there is none. At most two are kept."""
    numbers = sorted(int(path.stem.removeprefix("ckpt-")) for path in (folder / "checkpoints").glob("*.index"))
    assert len(numbers) <= 2
    return numbers[-1] if numbers else 0


class Stopped(Exception):
    """Raised by StopAt."""


class StopAt(keras.callbacks.Callback):
    """Stops the run inside an epoch: at `where` = (epoch, batch), both from 0, or the batch "end", before the save.

    `where` None looks into the environment, and kills the process like a machine that is taken away.
    """

    where = None
    epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        StopAt.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self._stop((StopAt.epoch, batch))

    def on_epoch_end(self, epoch, logs=None):
        self._stop((epoch, "end"))

    def _stop(self, now):
        if now == StopAt.where:
            raise Stopped
        if os.environ.get(KILL_AT) == "{}/{}".format(*now):
            os.kill(os.getpid(), signal.SIGKILL)


def in_a_process(module: str, *arguments, **environment) -> subprocess.CompletedProcess:
    """Runs a module as a script."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def fit_and_be_killed(tiny: Experiment, folder: pathlib.Path, files_folder: pathlib.Path, where: str) -> None:
    """`fit` in a process that gets SIGKILL at `where`, "<epoch>/<batch>"."""
    killed = in_a_process("tests.support.fit", files_folder, to_json(tiny), folder, **{KILL_AT: where})
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-3000:]


def assert_same(continued: Trained, unbroken: Trained, **tolerance) -> None:
    """That two runs left the same."""
    tolerance = {"rtol": 1e-6, "atol": 1e-6, **tolerance}
    for one, other in zip(continued.network.get_weights(), unbroken.network.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, **tolerance)
    assert continued.tasks.keys() == unbroken.tasks.keys()
    for name, task in unbroken.tasks.items():
        for one, other in zip(continued.tasks[name].variables, task.variables, strict=True):
            np.testing.assert_allclose(one, other, **tolerance, err_msg=name)
    assert len(continued.epochs) == len(unbroken.epochs)
    for epoch, expected in zip(continued.epochs, unbroken.epochs, strict=True):
        assert epoch.keys() == expected.keys()
        for name, value in expected.items():
            if name in ("stage", "branches"):
                assert epoch[name] == value
            else:
                np.testing.assert_allclose(epoch[name], value, **tolerance, err_msg=name)
