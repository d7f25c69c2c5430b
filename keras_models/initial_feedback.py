"""The feedback of the first iteration, before there are predictions (iFAN, I = 0)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

_OUTSIDE = -1.0  # of the image: a landmark there leaves its heat map empty


@keras.saving.register_keras_serializable("facetfx")
class InitialFeedback(keras.layers.Layer):
    """A constant prediction of each task, the same for every image: empty until `set_mean` sets the data's mean.

    Args:
        tasks: names of tasks, with the number of classes, points or attributes, as in `keras_models.IFAN`.
        size: (H, W) of the image.

    Call: any tensor of the graph (unused) -> dict by task: "parsing" probabilities [1, H, W, classes], "landmarks"
        [1, 2·L], vectors [1, N], float32.
    """

    def __init__(self, tasks: Mapping[str, int], size: tuple[int, int], **kwargs: Any):
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
        """Sets a task's mean label, in the shape of its prediction without the batch axis."""
        self.means[task].assign(mean)

    def call(self, anything):
        del anything
        return {task: mean[None] for task, mean in self.means.items()}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tasks": self.tasks, "size": self.size}
