"""What TensorBoard shows of face parsing."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

# Drawing is no part of the Trainer's cache key: another drawing doesn't make another model.
from components.tasks.segmentation.drawings import error_map, label_colours
from components.tasks.segmentation.learning import Learning
from components.tasks.summaries import Summaries

_NUM_IMAGES = 3


class ParsingSummaries(Summaries):
    """After each epoch: a few images with their parsing.

    Args:
        log_folder: of TensorBoard.
        learning: of the label maps.
        validation: batches of (image [batch, H, W, 3] uint8, labels), of which the first images are shown.
    """

    def __init__(self, log_folder: str, learning: Learning, validation: tf.data.Dataset):
        super().__init__(log_folder, f".{learning.task.name}")
        self._learning = learning
        examples = list(validation.unbatch().take(_NUM_IMAGES))
        self._images = np.stack([image.numpy() for image, _ in examples])
        self._truth = np.stack([labels[learning.task.name].numpy() for _, labels in examples])

    def on_epoch_end(self, epoch, logs=None):
        name = self._learning.task.name
        logits = self.model.network(tf.cast(self._images, tf.float32), training=False)[name]
        predicted = tf.argmax(logits, axis=-1).numpy().astype(np.uint8)
        rows = [
            np.concatenate([image, label_colours(labels), label_colours(truth), error_map(image, labels, truth)], 1)
            for image, labels, truth in zip(self._images, predicted, self._truth, strict=True)
        ]
        with self.writer.as_default(step=epoch):
            description = "From left to right: the image, its classes as predicted, as labelled, and the wrong pixels."
            tf.summary.image(name, np.stack(rows), max_outputs=_NUM_IMAGES, description=description)
