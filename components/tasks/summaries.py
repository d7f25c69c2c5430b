"""What writes to TensorBoard after each epoch."""

from __future__ import annotations

import math
from collections.abc import Iterable

import tensorflow as tf
from tensorflow import keras

from components.tasks.base import Learning


class Summaries(keras.callbacks.Callback):
    """Opens and closes an event file of its own, which `writer` writes to.

    Args:
        log_folder: of TensorBoard.
        suffix: of the file's name.
    """

    def __init__(self, log_folder: str, suffix: str):
        super().__init__()
        self._log_folder = log_folder
        self._suffix = suffix

    def on_train_begin(self, logs=None):
        self.writer = tf.summary.create_file_writer(self._log_folder, filename_suffix=self._suffix)

    def on_train_end(self, logs=None):
        self.writer.close()


class FiguresByName(Summaries):
    """What tasks know of each attribute, class or point after an epoch.

    Of attributes loss, weight and threshold (DMM-CNN, Figs 5-7), of classes recall or F1, of points the NME.

    Args:
        log_folder: of TensorBoard.
        tasks: whose `epoch_record` is written.
    """

    def __init__(self, log_folder: str, tasks: Iterable[Learning]):
        super().__init__(log_folder, ".by_name")
        self._tasks = tuple(tasks)

    def on_epoch_end(self, epoch, logs=None):
        with self.writer.as_default(step=epoch):
            for learning in self._tasks:
                for figure, values in learning.epoch_record().items():
                    for name, value in zip(learning.task.names, values, strict=True):
                        if not math.isnan(value):
                            tf.summary.scalar(f"{figure}/{name}", value)
