"""What TensorBoard shows of attributes."""

from __future__ import annotations

import tensorflow as tf

from components.tasks.multi_label.learning import Learning
from components.tasks.summaries import Summaries


class AttributeSummaries(Summaries):
    """Validation loss, loss weight and threshold of each attribute, after each epoch (DMM-CNN, Figs 5-7).

    Args:
        log_folder: of TensorBoard.
        learning: of the attributes.
    """

    def __init__(self, log_folder: str, learning: Learning):
        super().__init__(log_folder, f".{learning.task.name}")
        self._learning = learning

    def on_epoch_end(self, epoch, logs=None):
        series = {
            "validation_loss": self._learning.metric.losses(),
            "loss_weight": self._learning.weights.numpy(),
            "threshold": self._learning.thresholds.numpy(),
        }
        with self.writer.as_default(step=epoch):
            for title, values in series.items():
                for name, value in zip(self._learning.task.names, values, strict=True):
                    tf.summary.scalar(f"{title}/{name}", value)
