"""What stands for predictions before there are any (iFAN at I = 0)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow import keras

_OUTSIDE = -1.0  # of the picture: where a landmark leaves no trace in its heat map


@keras.saving.register_keras_serializable("facetfx")
class InitialFeedback(keras.layers.Layer):
    """One prediction of each task, the same for every picture: nothing, until `set_mean` gives the data's mean.

    Args:
        tasks: names and numbers of outputs, as of `keras_models.IFAN`.
        size: (H, W) of the picture.

    Call: whatever tells Keras where in a network it stands -> by task [1, ...]: "parsing" probabilities
        [1, H, W, classes], "landmarks" [1, 2·L], vectors [1, N].
    """

    def __init__(self, tasks: Mapping[str, int], size: tuple[int, int], **kwargs):
        super().__init__(**kwargs)
        self.tasks = dict(tasks)
        self.size = tuple(size)

    def build(self, input_shape):
        shapes = {"parsing": lambda classes: (*self.size, classes), "landmarks": lambda points: (2 * points,)}
        self.means = {
            task: self.add_weight(
                f"mean_{task}",
                shapes.get(task, lambda outputs: (outputs,))(number),
                tf.float32,
                keras.initializers.Constant(_OUTSIDE if task == "landmarks" else 0.0),
                trainable=False,
                experimental_autocast=False,
            )
            for task, number in self.tasks.items()
        }
        super().build(input_shape)

    def set_mean(self, task: str, mean: np.ndarray) -> None:
        """Sets a task's mean label, of the shape of its prediction without the batch axis."""
        self.means[task].assign(mean)

    def call(self, anything):
        del anything
        return {task: mean[None] for task, mean in self.means.items()}

    def get_config(self):
        return {**super().get_config(), "tasks": self.tasks, "size": self.size}
