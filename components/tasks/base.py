"""The contracts of a kind of task. Each folder of components.tasks implements them under these names."""

from __future__ import annotations

import abc
import re
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from components import tasks
from components.tasks.annotation import Annotation, BoundTask

_SIDE = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)


class Labels(abc.ABC):
    """A label from the record to the batch: checked, transformed, read, and moved along with its image.

    A label of a batch is a dense tensor that says itself where nothing is annotated.

    Args:
        name: the label's.
        annotation: of the data set.
    """

    def __init__(self, name: str, annotation: Annotation):
        self.name = name
        self.annotation = annotation

    @property
    def feature(self) -> str:
        """Name of the record's feature."""
        return self.name

    @abc.abstractmethod
    def schema(self) -> schema_pb2.Feature:
        """The record's feature as TFX's schema describes it."""

    @abc.abstractmethod
    def check(self, value, image: bytes) -> None:
        """Raises RecordError with the reason if a record's label can't be used.

        Args:
            value: as FaceRecord.labels has it.
            image: the encoded image, which can be decoded.
        """

    @abc.abstractmethod
    def transform(self, feature: tf.SparseTensor, crops: tf.Tensor, size: tuple[int, int]) -> dict[str, tf.Tensor]:
        """Transform's features of the label, dense; what the training split has to say is added to every row.

        Args:
            feature: [batch, ?], the record's, empty where nothing is annotated.
            crops: [batch, 4], the parts of the images that are used.
            size: (height, width) that images are brought to.
        """

    @abc.abstractmethod
    def parsing_spec(self) -> dict[str, tf.io.FixedLenFeature]:
        """What `transform` gave, for one example."""

    def parse(self, features: Mapping[str, tf.Tensor], size: tuple[int, int]) -> dict[str, tf.Tensor]:
        """One parsed example -> labels of a batch without the batch axis, the label itself under its own name."""
        return {name.replace("/", "_"): features[name] for name in self.parsing_spec()}

    def shown(self, label: tf.Tensor) -> tf.Tensor:
        """[names] bool: which classes or attributes an image shows by its label; empty for a kind that has neither."""
        return tf.zeros([0], tf.bool)

    def in_numbers(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        """What labels of images can be compared by: [N] each by what it is of, NaN where not annotated; {} for nothing.

        Args:
            labels: [N, ...], as records have them.
        """
        return {}

    def mirror(self, label: tf.Tensor) -> tf.Tensor:
        """The label of the image flipped left to right; ValueError if that isn't known."""
        check_without_sides(self.annotation.names)
        return label

    def shift(self, label: tf.Tensor, pixels: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
        """The label of the image translated by `pixels` [2], down and to the right."""
        return label

    def resized(self, label: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
        """The labels [batch, ...] of images that are resized to `size`."""
        return label

    def warp(self, label: tf.Tensor, matrix: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
        """The label of the image moved by an affine map.

        Args:
            matrix: [3, 3] float32, from (x, y, 1) in pixels, from the centre of the top left one, to where it goes.
            size: (height, width).
        """
        return label


class Learning(tf.Module, abc.ABC):
    """How a task is learnt: its loss, what is measured of a validation split, what it keeps beside the network.

    Args:
        task: what is learnt.
        image_size: (height, width) of the images.

    Attributes:
        metric: keras.metrics.Metric of the validation split; `figure` is what it is called, `higher_is_better`.
    """

    metric: tf.keras.metrics.Metric
    higher_is_better = True

    def __init__(self, task: BoundTask, image_size: tuple[int, int]):
        super().__init__(name=task.name)
        self.task = task
        self.image_size = image_size

    @property
    def figure(self) -> str:
        """Name of the validation figure in logs and history, behind "val_"."""
        return f"{self.task.name}_{self.metric.name}"

    @property
    def channels(self) -> int:
        """How many channels the network's output has, on its last axis."""
        return len(self.task.names)

    @abc.abstractmethod
    def loss(self, labels: Mapping[str, tf.Tensor], output: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(sum, count) over what is annotated of a batch, scalars or [N]: batches and replicas add up exactly.

        Args:
            labels: of the batch, all that `Labels.parse` gave.
            output: the network's.
        """

    @abc.abstractmethod
    def update(self, labels: Mapping[str, tf.Tensor], output: tf.Tensor, losses: tuple[tf.Tensor, tf.Tensor]) -> None:
        """Adds a batch of the validation split to what is measured; `losses` as of `loss`, or an objective's own."""

    def update_training(
        self, labels: Mapping[str, tf.Tensor], output: tf.Tensor, losses: tuple[tf.Tensor, tf.Tensor]
    ) -> None:
        """Adds a training batch to what is measured."""

    def metrics(self) -> list[tf.keras.metrics.Metric]:
        """What is reset before a pass over the validation split."""
        return [self.metric]

    @abc.abstractmethod
    def mean_target(self, labels: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """What a perfect network predicts, and 1 or 0: whether it is annotated; both of the prediction's shape."""

    def state(self) -> dict[str, tf.Variable]:
        """What is served beside the network: the kind's Serving has variables of the same names."""
        return {}

    def epoch_record(self) -> dict[str, list[float]]:
        """What an epoch leaves in the history beside its logs: [N] by names that begin with the task's."""
        return {}

    def summaries(self, log_folder: str, validation: tf.data.Dataset) -> list[tf.keras.callbacks.Callback]:
        """What TensorBoard shows of the task beside the logs.

        Args:
            log_folder: of TensorBoard.
            validation: batches of (image [batch, H, W, 3] uint8, labels).
        """
        return []


def check_without_sides(names: Sequence[str]) -> None:
    """Raises ValueError for a name with a side in it: what such an attribute or class is in a mirror isn't known."""
    for name in names:
        if _SIDE.search(name):
            raise ValueError(
                f"It is not known what {name!r} becomes in a mirror: train with flip=False and export without "
                "flip_average, or leave it out."
            )


def mean_loss(learning: Learning, losses: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    """Scalar: a task's mean loss over all that is annotated; attributes weigh as their `weights` say."""
    total, count = losses
    return tf.math.divide_no_nan(tf.reduce_sum(getattr(learning, "weights", 1.0) * total), tf.reduce_sum(count))


class Serving(tf.Module):
    """From the network's output to what is served.

    A kind that answers in the image's own size sets `ONE_BY_ONE`: the network is then asked for one image after the
    other, `one` takes its output, and `outputs` gets what `one` gave, stacked.

    Args:
        task: what is served.
    """

    ONE_BY_ONE = False
    BLANK = 0  # what stands in the place of the answers for an image that can't be answered

    def __init__(self, task: BoundTask):
        super().__init__(name=task.name)
        self.task = task

    def check_mirror(self) -> None:
        """Raises ValueError if it isn't known what the task's output becomes when an image is flipped left to right."""
        check_without_sides(self.task.names)

    def mirrored(self, output: tf.Tensor) -> tf.Tensor:
        """[batch, ...]: what the network's output for images becomes when they are flipped left to right."""
        return output

    def spec(self, shape: tf.TensorShape) -> tf.TypeSpec:
        """Of what `one` gives; `shape` is that of the network's output without the batch axis."""
        return tf.TensorSpec(shape)

    def one(self, output: tf.Tensor, size: tf.Tensor, crop: tf.Tensor) -> tf.Tensor:
        """The output for one image, [1, ...], without the batch axis; `size` [2] of the image, `crop` [4]."""
        return output[0]

    @abc.abstractmethod
    def outputs(self, output: tf.Tensor, crops: tf.Tensor, sizes: tf.Tensor) -> dict[str, tf.Tensor]:
        """What is served, by name, each [batch, ...]; the names are the task's or begin with it and "_".

        Args:
            output: [batch, ...], the network's, or what `one` gave.
            crops: [batch, 4], the parts of the images that the network was shown.
            sizes: [batch, 2] of the images.
        """

    @abc.abstractmethod
    def contract(self) -> dict[str, dict]:
        """What every answer keeps to, by output, for the clean-process check and for clients: JSON values.

        Keys: "kind" ("scores", "decisions", "probabilities", "label_map", "points" or "number"), "dtype", "shape"
        (None for what varies), "names" (of the last axis, or of a label map's labels), "minimum", "maximum",
        "sums_to_one", and "scale" (of numbers: what the network's output was multiplied by, so that rounding is
        relative to it).
        """


def labels_of(name: str, annotation: Annotation) -> Labels:
    """The `Labels` of a kind."""
    return tasks.role(annotation.kind, "labels").Labels(name, annotation)


def learning_of(task: BoundTask, image_size: tuple[int, int]) -> Learning:
    """The `Learning` of a kind."""
    return tasks.role(task.kind, "learning").Learning(task, image_size)


def serving_of(task: BoundTask) -> Serving:
    """The `Serving` of a kind."""
    return tasks.role(task.kind, "serving").Serving(task)
