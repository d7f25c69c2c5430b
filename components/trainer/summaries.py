"""What TensorBoard shows per attribute."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
from tensorflow import keras


class AttributeSummaries(keras.callbacks.Callback):
    """Validation loss, loss weight and threshold of each attribute, after each epoch (DMM-CNN, Figs 5-7).

    Args:
        log_folder: of TensorBoard.
        attributes: N names.
    """

    def __init__(self, log_folder: str, attributes: Sequence[str]):
        super().__init__()
        self._log_folder = log_folder
        self._attributes = attributes

    def on_train_begin(self, logs=None):
        self._writer = tf.summary.create_file_writer(self._log_folder, filename_suffix=".attributes")

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

    def on_train_end(self, logs=None):
        self._writer.close()
