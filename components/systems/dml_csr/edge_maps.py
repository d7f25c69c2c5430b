"""What the edge branches of a network for face parsing see: kept for the report, since they are not exported."""

from __future__ import annotations

import io
import os

import numpy as np
import tensorflow as tf
from tensorflow import keras

from components.trainer.recipe import Recipe
from keras_models.edges import edge_labels

EDGES_FILE = "edges.npz"
_NUM_IMAGES = 4


class EdgeMaps(keras.callbacks.Callback):
    """Leaves the edges of the first few validation images in the log folder when training ends.

    Args:
        recipe: of the training.
    """

    def __init__(self, recipe: Recipe):
        super().__init__()
        self._recipe = recipe

    def on_train_end(self, logs=None):
        (task,) = self.model.tasks
        path = os.path.join(self._recipe.run.log_folder, EDGES_FILE)
        write_edge_maps(self.model.network, task, self._recipe.validation.unbatch(), path)


def write_edge_maps(network: keras.Model, task: str, examples: tf.data.Dataset, path: str) -> None:
    """Writes the edges of the first few images as arrays.

    Written are `image` [P, H, W, 3] uint8; `true_binary` [P, H, W] uint8, 0 or 1, and `binary` float16, the probability
    of an edge; `true_category` and `category` [P, H, W] uint8, the class whose edge a pixel is on, 0 for none.

    Args:
        network: image -> logits of the task, `binary_edge` and `category_edge`.
        task: the name of the task, which parses faces.
        examples: single (image [H, W, 3] uint8, {task: [H, W] uint8, ...}).
        path: of the .npz file.
    """
    image, labels = next(iter(examples.batch(_NUM_IMAGES)))
    outputs = network(tf.cast(image, tf.float32), training=False)
    true_binary, true_category = edge_labels(labels[task], network.output[task].shape[-1])
    # In memory first: an archive is written back and forth, which remote files can't.
    archive = io.BytesIO()
    np.savez_compressed(
        archive,
        image=image.numpy(),
        true_binary=true_binary.numpy(),
        binary=tf.nn.softmax(tf.cast(outputs["binary_edge"], tf.float32))[..., 1].numpy().astype(np.float16),
        true_category=tf.argmax(true_category, axis=-1).numpy().astype(np.uint8),
        category=tf.argmax(outputs["category_edge"], axis=-1).numpy().astype(np.uint8),
    )
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(archive.getvalue())
