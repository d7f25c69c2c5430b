"""What writes to TensorBoard after each epoch."""

from __future__ import annotations

import tensorflow as tf
from tensorflow import keras


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
