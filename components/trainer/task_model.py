"""A network in training: what every kind of task has in common."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
from tensorflow import keras


class TaskModel(keras.Model):
    """A network with its objective. What is counted beside the losses is the subclass's business.

    Args:
        network: image -> dict of outputs.
        objective: labels and outputs to named scalars, of which "loss" is minimised; components.trainer.objectives.
    """

    def __init__(self, network: keras.Model, objective: Callable):
        super().__init__()
        self.network = network
        self.objective = objective
        self.terms = {name: keras.metrics.Mean(name=name) for name in objective.TERMS}

    @property
    def metrics(self):
        """What Keras resets before a pass."""
        return list(self.terms.values())

    def call(self, image, training=False):
        return self.network(image, training=training)

    def train_step(self, data):
        image, labels = data
        with tf.GradientTape() as tape:
            outputs = self(image, training=True)
            terms = self.training_terms(image, labels, outputs)
            # The objective gives a mean over the replicas' whole batch, and the optimizer sums their gradients.
            loss = terms["loss"] / self.distribute_strategy.num_replicas_in_sync
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        self.count_training(labels, outputs)
        return self._logs(terms, image)

    def test_step(self, data):
        image, labels = data
        outputs = self(image, training=False)
        counted = self.count_validation(labels, outputs)
        return {**self._logs(self.validation_terms(labels, outputs), image), **counted}

    def training_terms(self, image: tf.Tensor, labels: dict, outputs: dict) -> dict[str, tf.Tensor]:
        """The objective's scalars in training."""
        del image
        return self.validation_terms(labels, outputs)

    def validation_terms(self, labels: dict, outputs: dict) -> dict[str, tf.Tensor]:
        """The objective's scalars."""
        return self.objective(labels, outputs)

    def count_training(self, labels: dict, outputs: dict) -> None:
        """Adds a training batch to what is counted."""

    def count_validation(self, labels: dict, outputs: dict) -> dict[str, tf.Tensor]:
        """Adds a validation batch to what is counted; returns what Keras logs of it."""
        raise NotImplementedError

    def epoch_record(self) -> dict[str, list[float]]:
        """What an epoch leaves in the history beside its logs."""
        raise NotImplementedError

    def _logs(self, terms, image):
        for name, mean in self.terms.items():
            mean.update_state(terms[name], sample_weight=tf.shape(image)[0])
        return {name: mean.result() for name, mean in self.terms.items()}
