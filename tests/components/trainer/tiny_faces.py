"""Tiny pictures, networks and experiments for the trainer's tests. As a script: trains and may be killed on the way."""

from __future__ import annotations

import io
import os
import pathlib
import signal
import sys
from types import MappingProxyType

import numpy as np
import PIL.Image
import tensorflow as tf
from tensorflow import keras

from components.config import (
    Data,
    Evaluation,
    Experiment,
    Factory,
    Source,
    Training,
    WideningTraining,
    factory,
    from_json,
)
from components.datasets import _BUILDERS
from components.trainer import supervised, widening
from keras_models.branch_tree import BranchTree
from keras_models.branched_network import BranchedNetwork
from keras_models.branches import Branches, conv, dense, normalised, relu
from keras_models.flatten_branches import FlattenBranches

ATTRIBUTES = ("A", "B", "C", "D", "E", "F")
LABELS = ("background", "left_eye", "right_eye", "mouth")
POSITIVE_RATE = (0.5, 0.5, 0.5, 0.25, 0.1, 0.75)
SIZE = (32, 32)
SOURCES = (Source("tiny"),)
DATA = Data(SOURCES, image_size=SIZE, num_landmarks=5)
PARSING_DATA = Data(SOURCES, image_size=SIZE, attributes=False, num_landmarks=0, parsing=True)
LINEAR = factory("tiny_faces.linear_network")
CONVOLUTIONAL = factory("tiny_faces.convolutional_network")
PARSING = factory("tiny_faces.parsing_network")
TREE_DATA = Data(SOURCES, image_size=SIZE, num_landmarks=0)
TREE = factory("tiny_faces.tree_network")
KILL_AT = "TINY_FACES_KILL_AT"


class Builder:
    """What the trainer asks of a data set's builder."""

    ATTRIBUTES = ATTRIBUTES
    LABELS = LABELS
    EMOTIONS = ("calm", "moved")
    CLOTHING = ("coat", "dress", "hat")


_BUILDERS["tiny"] = "tiny_faces.Builder"  # the name of SOURCES


def serialized(number: int, size=SIZE, mode="RGB", attributes=None, landmarks=None, clothing=None) -> bytes:
    """A transformed example; its attributes are the binary digits of `number`, and its picture shows them roughly."""
    random = np.random.default_rng(number)
    digits = [number >> k & 1 for k in range(len(ATTRIBUTES))]
    pixels = random.integers(0, 64, (*size, 3), np.uint8)
    for k, digit in enumerate(digits):
        pixels[:, k * size[1] // len(ATTRIBUTES) :][:, :5] += np.uint8(128 * digit)
    encoded = io.BytesIO()
    PIL.Image.fromarray(pixels).convert(mode).save(encoded, "JPEG", quality=95)
    example = tf.train.Example()
    features = example.features.feature
    features["image/encoded"].bytes_list.value.append(encoded.getvalue())
    features["image/id"].bytes_list.value.append(f"{number}.jpg".encode())
    features["attributes"].int64_list.value.extend(digits if attributes is None else attributes)
    features["positive_rate"].float_list.value.extend(POSITIVE_RATE)
    features["landmarks"].float_list.value.extend(random.uniform(0.2, 0.8, 10) if landmarks is None else landmarks)
    if clothing is not None:
        features["clothing"].int64_list.value.append(clothing)
    return example.SerializeToString()


def serialized_parsing(number: int) -> bytes:
    """A transformed example with a label map: each part a square somewhere, as bright as its label."""
    random = np.random.default_rng(number)
    labels = np.zeros(SIZE, np.uint8)
    for label in range(1, len(LABELS)):
        top, left = random.integers(0, 22, 2)
        labels[top : top + 10, left : left + 10] = label
    pixels = (60 * labels[..., None] + random.integers(0, 50, (*SIZE, 3))).astype(np.uint8)
    example = tf.train.Example()
    for name, array in (("image/encoded", pixels), ("parsing/encoded", labels)):
        encoded = io.BytesIO()
        PIL.Image.fromarray(array).save(encoded, "JPEG" if array.ndim == 3 else "PNG")
        example.features.feature[name].bytes_list.value.append(encoded.getvalue())
    return example.SerializeToString()


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
    x = keras.layers.Flatten()(keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.5)(x)))
    outputs = {"attributes": len(ATTRIBUTES), "landmarks": 10}
    return keras.Model(image, {name: keras.layers.Dense(n, dtype="float32")(x) for name, n in outputs.items()})


def parsing_network(input_shape, num_classes=4) -> keras.Model:
    """Two convolutions with a batch norm between them, and edge branches."""
    image = keras.Input(input_shape)
    x = keras.layers.Conv2D(4, 3, padding="same", name="features")(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.5)(x))
    outputs = {"parsing": num_classes, "binary_edge": 2, "category_edge": num_classes}
    logits = {name: keras.layers.Conv2D(n, 1, dtype="float32")(x) for name, n in outputs.items()}
    return keras.Model(image, logits)


class TreeNetwork(BranchedNetwork):
    """Two convolutions and a fully connected layer that may branch; at width 2 into 2, 4 and 6."""

    LAYERS = ("conv1", "conv2", "fc")
    WIDTHS = MappingProxyType({"conv1": 4, "conv2": 8, "fc": 12})
    POOLING_ABOVE = MappingProxyType({"conv1": 1, "conv2": 0, "fc": 0})

    @classmethod
    def features(cls, x, width, tree, folded):
        for name, strides in (("conv1", 4), ("conv2", 1)):
            x = conv(x, tree.parents(name), cls.branch_width(name, width), 3, name, strides, use_bias=folded)
            x = relu(normalised(x, name, folded), f"{name}_relu")
            if name == "conv1":
                x = Branches(keras.layers.MaxPooling2D(2)(x.features), x.count)
        x = Branches(FlattenBranches(x.count)(x.features), x.count)
        x = dense(x, tree.parents("fc"), cls.branch_width("fc", width), "fc", use_bias=folded)
        return relu(normalised(x, "fc", folded), "fc_relu")


def tree_network(input_shape, width=2, outputs=None) -> TreeNetwork:
    """Without branches, for the attributes or for `outputs`."""
    tasks = sum(outputs.values()) if outputs else len(ATTRIBUTES)
    return TreeNetwork(input_shape, width, BranchTree.unbranched(TreeNetwork.LAYERS, tasks), outputs)


def widening_experiment(callbacks: tuple[Factory, ...] = (), data=TREE_DATA, model=TREE, **settings) -> Experiment:
    """Five rounds of three steps with SGD on batches of 8: as many as the layers have, and two of the final phase."""
    settings = {
        "epochs": 5,
        "steps": 3,
        "alpha": 1.0,
        "batch_size": 8,
        "optimizer": factory("tensorflow.keras.optimizers.SGD", momentum=0.9),
        "learning_rate": 0.05,
        "loss": factory("components.trainer.objectives.TaskCrossEntropy"),
        "seed": 3,
        **settings,
    }
    training = WideningTraining(callbacks=callbacks, **settings)
    return Experiment("tiny", "none", data, model, training, Evaluation(min_balanced_accuracy=0.5))


def parsing_experiment(callbacks: tuple[Factory, ...] = (), **settings) -> Experiment:
    """Four epochs of Adam on batches of 8, turned and enlarged."""
    settings = {
        "epochs": 4,
        "batch_size": 8,
        "optimizer": factory("tensorflow.keras.optimizers.Adam"),
        "learning_rate": 0.01,
        "loss": factory("components.trainer.objectives.DecoupledObjective"),
        "flip": False,
        "max_rotation": 20.0,
        "scale": (0.8, 1.2),
        "seed": 3,
        **settings,
    }
    training = Training(callbacks=callbacks, **settings)
    return Experiment("tiny", "none", PARSING_DATA, PARSING, training, Evaluation(min_mean_f1=0.1))


def experiment(model: Factory = CONVOLUTIONAL, callbacks: tuple[Factory, ...] = (), **settings) -> Experiment:
    """Four epochs of Adam on batches of 12, mirrored and shifted."""
    settings = {
        "epochs": 4,
        "batch_size": 12,
        "optimizer": factory("tensorflow.keras.optimizers.Adam"),
        "loss": factory("components.trainer.objectives.JointObjective", beta=0.5),
        "max_shift": 0.1,
        "seed": 3,
        **settings,
    }
    training = Training(callbacks=callbacks, **settings)
    return Experiment("tiny", "none", DATA, model, training, Evaluation(min_balanced_accuracy=0.5))


def fit(tiny: Experiment, folder: pathlib.Path, files: dict[str, list[str]], **more) -> supervised.Trained:
    """`fit` of the experiment's recipe with its checkpoints and logs in `folder`."""
    recipe = widening if isinstance(tiny.training, WideningTraining) else supervised
    return recipe.fit(
        tiny,
        Builder,
        train_files=files["train"],
        validation_files=files["validation"],
        checkpoint_folder=f"{folder}/checkpoints",
        log_folder=f"{folder}/logs",
        **more,
    )


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


if __name__ == "__main__":
    # The module under the name by which the experiment's factories find it.
    import tiny_faces

    written = pathlib.Path(sys.argv[1])
    split_files = {split: sorted(map(str, (written / split).iterdir())) for split in ("train", "validation")}
    tiny_faces.fit(from_json(sys.argv[2]), pathlib.Path(sys.argv[3]), split_files)
