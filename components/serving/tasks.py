"""The exported model of several tasks: raw pictures or face records in; what each task says of them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf
from tensorflow import keras

from components.serving.names import names_signatures, output_names
from components.serving.signatures import Served, decisions, pictures_and_crops, points
from keras_models.ifan import network_iterations, network_tasks


class ServedTasks(Served):
    """Label maps, landmarks, probabilities of emotions, scores and decisions: of those tasks that the network has.

    Args:
        network: of keras_models.IFAN, or with outputs like those.
        image_size: (H, W).
        names: by task, of its classes of pixels, emotions or attributes.

    Attributes:
        thresholds: [N] zeros, above which a decision is 1; only if attributes are a task.

    Raises:
        ValueError: if the names of a task are not as many as the network's outputs for it.
    """

    def __init__(self, network: keras.Model, image_size: tuple[int, int], names: Mapping[str, Sequence[str]]):
        super().__init__(network, image_size)
        self._tasks = network_tasks(network)
        self._iterations = range(network_iterations(network) + 1)
        self._names = output_names(network, self._tasks, names)
        if "attributes" in self._tasks:
            self.thresholds = tf.Variable(tf.zeros(len(self._names["attributes"])), trainable=False, name="thresholds")

    def answers(self, image_bytes, crops):
        """What the tasks say at the last iteration.

        Returns:
            dict: "parsing" [batch, H', W'] uint8, of the size of the highest and the widest picture: a smaller one's
                labels lie at the top left, and the rest is 255; around a crop is background. "landmarks" [batch, L, 2]
                in [0, 1] of the pictures. "emotion" [batch, E] probabilities. "attributes" [batch, N] scores, and
                "decisions" [batch, N] 0/1.
        """
        return self._answers(image_bytes, crops, [""])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def iterations_from_examples(self, examples):
        """Serialized face records -> as `from_examples`, and "<answer>_iter<I>" for each iteration from 0 on."""
        suffixes = [f"_iter{iteration}" for iteration in self._iterations]
        answers = self._answers(*pictures_and_crops(examples), suffixes)
        last = suffixes[-1]
        return answers | {name.removesuffix(last): value for name, value in answers.items() if name.endswith(last)}

    def signatures(self):
        """By their served names; those of names only for tasks that the network has."""
        return {
            **super().signatures(),
            "iterations_from_examples": self.iterations_from_examples,
            **names_signatures(self._names),
        }

    def _answers(self, image_bytes, crops, suffixes):
        """All tasks' answers, with the suffixes of the network's outputs that they are made of."""
        outputs = [f"{task}{suffix}" for task in self._tasks for suffix in suffixes]
        said = self.by_picture(image_bytes, crops, outputs)
        return {
            f"{name}{suffix}": value
            for task in self._tasks
            for suffix in suffixes
            for name, value in self._task_answers(task, said[f"{task}{suffix}"], crops).items()
        }

    def _task_answers(self, task, output, crops):
        if task == "landmarks":
            return {task: points(output, crops)}
        if task == "emotion":
            return {task: tf.nn.softmax(output)}
        if task == "attributes":
            return {task: output, "decisions": decisions(output, self.thresholds)}
        return {task: output}
