"""A network in training with its tasks and its objective."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf
from tensorflow import keras

from components.tasks.base import Learning
from components.trainer.half_size import halved
from components.trainer.objectives import Objective


class TaskModel(keras.Model):
    """A network, what is minimised, and what is measured of each task.

    Args:
        network: image -> dict of outputs, those of the tasks among them.
        tasks: by name.
        objective: what is minimised.
        accumulate: parts of a batch whose gradients are computed one after the other.

    Attributes:
        half_size: whether training batches are halved first.
        training_objective: where labels are not all that teaches: (image, labels, outputs) -> the objective's scalars,
            in training instead of it.
    """

    def __init__(self, network: keras.Model, tasks: Mapping[str, Learning], objective: Objective, accumulate: int = 1):
        super().__init__()
        # A metric is the same everywhere; over several machines Keras would add them up.
        self.distribute_reduction_method = "first"
        self.network = network
        self.accumulate = accumulate
        self.half_size = False
        self.tasks = dict(tasks)
        self.objective = objective
        objective.bind(self.tasks)
        self.terms = {name: keras.metrics.Mean(name=name) for name in objective.TERMS}
        self.training_objective: Callable | None = None

    @property
    def metrics(self):
        """What Keras resets before a pass. Training losses are still needed after the validation pass."""
        return [*self.terms.values(), *(metric for task in self.tasks.values() for metric in task.metrics())]

    def compile(self, *args, **kwargs):
        """As of Keras. A model whose network was exchanged is compiled again: nothing keeps the old one's graph."""
        super().compile(*args, **kwargs)
        self.mean_losses = tf.function(self._mean_losses)

    def _mean_losses(self, image, labels):
        """By task, the mean losses of a batch at inference: scalars, or [N] with 0 for what is annotated nowhere."""
        losses = self.objective.task_losses(labels, self(image, training=False))
        return {name: tf.math.divide_no_nan(*each) for name, each in losses.items()}

    def call(self, image, training=False):
        return self.network(image, training=training)

    def train_step(self, data):
        gradients = []
        for image, labels in self._parts(*data):
            # One after the other: a part's activations are gone when the next one begins.
            with tf.control_dependencies([gradient for gradient, _ in gradients if gradient is not None]):
                image = tf.identity(image)
            with tf.GradientTape() as tape:
                outputs = self(image, training=True)
                terms = (
                    self.objective(labels, outputs)
                    if self.training_objective is None
                    else self.training_objective(image, labels, outputs)
                )
                # The objective gives a mean over the replicas' whole part, and the optimizer sums their gradients.
                loss = terms["loss"] / (self.distribute_strategy.num_replicas_in_sync * self.accumulate)
            found = self.optimizer.compute_gradients(loss, self.trainable_variables, tape)
            gradients = _sums(gradients, found) if gradients else found
            self.observe(labels, outputs)
            logs = self._logs(terms, image)
        self.optimizer.apply_gradients(gradients)
        return logs

    def _parts(self, image, labels):
        """A batch in `accumulate` parts, halved if images are."""
        if self.half_size:
            image, labels = halved(image, labels, [task.task for task in self.tasks.values()])
        if self.accumulate == 1:
            return [(image, labels)]
        images = tf.split(image, self.accumulate)
        by_name = {name: tf.split(values, self.accumulate) for name, values in labels.items()}
        return [(part, {name: values[i] for name, values in by_name.items()}) for i, part in enumerate(images)]

    def test_step(self, data):
        image, labels = data
        outputs = self(image, training=False)
        losses = self.objective.task_losses(labels, outputs)
        for name, task in self.tasks.items():
            task.update(labels, outputs[name], losses[name])
        figures = {task.figure: task.metric.result() for task in self.tasks.values()}
        return {**self._logs(self.objective(labels, outputs), image), **figures}

    def observe(self, labels: Mapping[str, tf.Tensor], outputs: Mapping[str, tf.Tensor]) -> None:
        """Adds a training batch to what the tasks measure."""
        losses = self.objective.task_losses(labels, outputs)
        for name, task in self.tasks.items():
            task.update_training(labels, outputs[name], losses[name])

    def epoch_record(self) -> dict[str, float | list[float]]:
        """What an epoch leaves in the history beside its logs."""
        return {key: value for task in self.tasks.values() for key, value in task.epoch_record().items()}

    def _logs(self, terms, image):
        for name, mean in self.terms.items():
            mean.update_state(terms[name], sample_weight=tf.shape(image)[0])
        return {name: mean.result() for name, mean in self.terms.items()}


def _sums(gradients, others):
    """Two lists of (gradient, variable) added up; what the loss doesn't depend on has None in both."""
    return [
        (None if gradient is None else gradient + other, variable)
        for (gradient, variable), (other, _) in zip(gradients, others, strict=True)
    ]
