"""Progressive resizing: the first epochs of a training see small images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from components.tasks.annotation import BoundTask
from components.tasks.base import labels_of


def halved(
    image: tf.Tensor, labels: Mapping[str, tf.Tensor], tasks: Sequence[BoundTask]
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """A batch with half its sides, rounded up, and its labels.

    Args:
        image: [batch, H, W, 3] uint8.
        labels: by name, those of the tasks among them.
    """
    size = tuple(-(-side // 2) for side in image.shape[1:3])
    small = tf.saturate_cast(tf.round(tf.image.resize(image, size)), image.dtype)
    resized = {task.name: labels_of(task.name, task.annotation).resized(labels[task.name], size) for task in tasks}
    return small, {**labels, **resized}


class HalfSize(tf.keras.callbacks.Callback):
    """Has the model halve its training batches for the first epochs.

    Args:
        epochs: how many.
    """

    def __init__(self, epochs: int):
        super().__init__()
        self._epochs = epochs

    def on_epoch_begin(self, epoch, logs=None):
        half_size = epoch < self._epochs
        if half_size != self.model.half_size:
            self.model.half_size = half_size
            self.model.make_train_function(force=True)
