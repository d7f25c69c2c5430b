"""What TensorBoard shows: numbers per attribute or class, what the network attends to, and how it parses."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow import keras

from components.config import Data
from components.datasets.annotation import annotated_names, binary_task_names

# Drawing is no part of the Trainer's cache key: another drawing doesn't make another model.
from components.report import attention_figures, figures, parsing_figures
from components.trainer.parsing_model import ParsingModel
from components.trainer.task_model import TaskModel
from keras_models.mgg_net import attention_groups, attention_maps

_NUM_IMAGES = 3


def summaries(
    log_folder: str, model: TaskModel, data: Data, validation: tf.data.Dataset
) -> list[keras.callbacks.Callback]:
    """What there is to show of a model's task.

    Args:
        log_folder: of TensorBoard.
        data: names what is learnt.
        validation: batches of (image [batch, H, W, 3] uint8, labels), of which the first pictures are shown.
    """
    if not isinstance(model, ParsingModel):
        return [
            AttributeSummaries(log_folder, binary_task_names(data)),
            *attention_summaries(log_folder, model.network, validation),
        ]
    examples = list(validation.unbatch().take(_NUM_IMAGES))
    images = np.stack([image.numpy() for image, _ in examples])
    truth = np.stack([labels["parsing"].numpy() for _, labels in examples])
    return [ParsingSummaries(log_folder, annotated_names(data, "parsing"), images, truth)]


class _Summaries(keras.callbacks.Callback):
    """Opens and closes an event file of its own, which `_writer` writes to."""

    def __init__(self, log_folder: str, suffix: str):
        super().__init__()
        self._log_folder = log_folder
        self._suffix = suffix

    def on_train_begin(self, logs=None):
        self._writer = tf.summary.create_file_writer(self._log_folder, filename_suffix=self._suffix)

    def on_train_end(self, logs=None):
        self._writer.close()


class AttributeSummaries(_Summaries):
    """Validation loss, loss weight and threshold of each attribute, after each epoch (DMM-CNN, Figs 5-7).

    Args:
        log_folder: of TensorBoard.
        attributes: N names.
    """

    def __init__(self, log_folder: str, attributes: Sequence[str]):
        super().__init__(log_folder, ".attributes")
        self._attributes = attributes

    def on_epoch_end(self, epoch, logs=None):
        series = {
            "validation_loss": self.model.validation.losses(),
            "loss_weight": self.model.attribute_weights.numpy(),
            "threshold": self.model.thresholds.numpy(),
        }
        with self._writer.as_default(step=epoch):
            for title, values in series.items():
                for name, value in zip(self._attributes, values, strict=True):
                    tf.summary.scalar(f"{title}/{name}", value)


def attention_summaries(
    log_folder: str, network: keras.Model, validation: tf.data.Dataset
) -> list[keras.callbacks.Callback]:
    """AttentionSummaries of a network on the first pictures of a data set; none if it attends to nothing.

    Args:
        log_folder: of TensorBoard.
        network: in training.
        validation: batches of (image [batch, H, W, 3] uint8, labels).
    """
    maps = attention_maps(network)
    if maps is None:
        return []
    images = np.stack([image.numpy() for image, _ in validation.unbatch().take(_NUM_IMAGES)])
    return [AttentionSummaries(log_folder, maps, images, attention_groups(network))]


class AttentionSummaries(_Summaries):
    """After each epoch, by block: masks over faces, who listens to whom, and the number of masks that are 0 everywhere.

    Args:
        log_folder: of TensorBoard.
        maps: image -> masks and affinities, see `keras_models.mgg_net.attention_maps`.
        images: [S, H, W, 3] uint8, the few to show.
        groups: K names.
    """

    def __init__(self, log_folder: str, maps: keras.Model, images: np.ndarray, groups: Sequence[str]):
        super().__init__(log_folder, ".attention")
        self._maps = maps
        self._images = images
        self._groups = groups

    def on_epoch_end(self, epoch, logs=None):
        maps = self._maps(tf.cast(self._images, tf.float32), training=False)
        with self._writer.as_default(step=epoch):
            for name, values in maps.items():
                kind, block = name.split("_", 1)
                write = {"masks": self._write_masks, "affinities": self._write_affinities}[kind]
                write(block, values.numpy())

    def _write_masks(self, block, masks):
        chosen = attention_figures.most_varied(masks)
        names = [self._groups[i] for i in chosen]
        drawing = attention_figures.mask_drawing(self._images, masks[..., chosen], names)
        tf.summary.image(f"masks/{block}", figures.pixels(drawing)[None])
        tf.summary.scalar(f"dead_masks/{block}", len(attention_figures.dead(masks)))

    def _write_affinities(self, block, affinities):
        """The mean of the pictures."""
        drawing = attention_figures.affinity_drawing(affinities.mean(axis=0), self._groups)
        tf.summary.image(f"affinities/{block}", figures.pixels(drawing)[None])


class ParsingSummaries(_Summaries):
    """After each epoch: F1 of each class on the validation split, and a few pictures with their parsing.

    Args:
        log_folder: of TensorBoard.
        classes: C names.
        images: [S, H, W, 3] uint8, the few to show.
        truth: [S, H, W] uint8, their label maps.
    """

    def __init__(self, log_folder: str, classes: Sequence[str], images: np.ndarray, truth: np.ndarray):
        super().__init__(log_folder, ".parsing")
        self._classes = classes
        self._images = images
        self._truth = truth

    def on_epoch_end(self, epoch, logs=None):
        logits = self.model.network(tf.cast(self._images, tf.float32), training=False)["parsing"]
        predicted = tf.argmax(logits, axis=-1).numpy().astype(np.uint8)
        drawing = parsing_figures.parsing_panel(self._images, predicted, self._truth, self._classes)
        with self._writer.as_default(step=epoch):
            for name, f1 in zip(self._classes, self.model.epoch_record()["val_f1"], strict=True):
                if not math.isnan(f1):
                    tf.summary.scalar(f"validation_f1/{name}", f1)
            tf.summary.image("parsing", figures.pixels(drawing)[None])
