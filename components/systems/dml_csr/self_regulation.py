"""Cyclical self-regulation against noisy labels (DML-CSR, Zheng et al. 2022, Section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow import keras

from components.record import IGNORE_LABEL
from components.tasks.segmentation.learning import MeanF1
from components.trainer.recipe import RunCallback
from keras_models.losses.parsing import csr_loss, distillation_kl, lovasz_softmax

ENSEMBLES = ("all", "last")


def self_ensemble(best: Sequence[np.ndarray], members: Sequence[Sequence[np.ndarray]], cycle: int) -> list[np.ndarray]:
    """Weights of the aggregated model (Eq. 6): k/(k+1) M_best + 1/((k+1)N) Σ M_n.

    Args:
        best: M_best, the weights of the best model so far.
        members: M_1 to M_N, each the weights of a model of the cycle, one or more.
        cycle: k, from 1.

    Returns:
        The aggregated weights, of the shapes of `best`.
    """
    return [
        (cycle * best_array + np.mean(arrays, axis=0)) / (cycle + 1)
        for best_array, *arrays in zip(best, *members, strict=True)
    ]


def reestimate_batch_norm(network: keras.Model, batches: tf.data.Dataset) -> None:
    """Sets the statistics of every batch norm to their means over the batches.

    Averaged weights have statistics of their own, which are not the average of the statistics.

    Args:
        network: trainable; only its moving statistics are changed.
        batches: (image [batch, H, W, 3], labels); at least one.
    """
    norms = [layer for layer in network._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    statistics = [variable for norm in norms for variable in (norm.moving_mean, norm.moving_variance)]

    @tf.function
    def forward(image):
        network(image, training=True)

    # Without momentum the statistics are those of the last batch.
    for norm in norms:
        norm.momentum = 0.0
    sums, count = [0.0] * len(statistics), 0
    for image, _ in batches:
        forward(image)
        sums = [total + variable.numpy() for total, variable in zip(sums, statistics, strict=True)]
        count += 1
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for variable, total in zip(statistics, sums, strict=True):
        variable.assign(total / count)


class Distillation:
    """L_CSR (Eq. 7): the teacher's soft labels in the place of the labels' cross-entropies.

    Args:
        teacher: image -> logits by the names of the outputs in training.
        task: the name of the task, which parses faces.
        weights: α0 to α2: parsing, binary and category edges.
    """

    def __init__(self, teacher: keras.Model, task: str, weights: Sequence[float]):
        self.teacher = teacher
        self.task = task
        self.weights = weights

    def __call__(self, image: tf.Tensor, labels: dict, outputs: dict) -> dict[str, tf.Tensor]:
        """The terms of `DMLLoss`; without edge branches the parsing alone is taught."""
        teacher = self.teacher(image, training=False)
        truth = labels[self.task]
        labelled = truth != IGNORE_LABEL
        divergences = {
            name: distillation_kl(teacher[name], outputs[name], labelled) if name in outputs else tf.constant(0.0)
            for name in (self.task, "binary_edge", "category_edge")
        }
        parsing, binary_edge, category_edge = divergences.values()
        lovasz = lovasz_softmax(truth, tf.nn.softmax(outputs[self.task]))
        return {
            "loss": csr_loss(parsing, lovasz, binary_edge, category_edge, self.weights),
            "parsing_loss": parsing + lovasz,
            "edge_loss": binary_edge + category_edge,
            "attention_loss": tf.constant(0.0),
        }


class _Weights(tf.Module):
    """A network's weights, kept on the host and in checkpoints."""

    def __init__(self, network: keras.Model):
        super().__init__()
        with tf.device("CPU"):
            self._variables = [tf.Variable(value, trainable=False) for value in network.get_weights()]

    def get(self) -> list[np.ndarray]:
        return [variable.numpy() for variable in self._variables]

    def set(self, arrays: Sequence[np.ndarray]) -> None:
        for variable, array in zip(self._variables, arrays, strict=True):
            variable.assign(array)


class SelfRegulation(RunCallback):
    """Turns the epochs after the first phase into cycles of self-distillation that end in a self-ensemble.

    In the first phase the objective alone teaches, and the best model on the validation split, by its mean F1, is
    remembered. It teaches the first cycle. A cycle's models, one an epoch, and the best model are aggregated; the
    aggregated model teaches the next cycle, and is the best model if its own mean F1 is higher. The network in training
    goes on from where it is. In the end it takes the weights of the best model.

    The epochs' logs get `ensemble_mean_f1` where a cycle ends.

    Args:
        first_epochs: epochs of the first phase.
        cycle_epochs: N, the epochs of a cycle; the run's epochs make up a whole number of cycles.
        ensemble: "all" the models of a cycle, as the paper has it, or the "last" alone, as released.
        weights: α0 to α2 of Eq. 7.

    Raises:
        ValueError: for another ensemble, or cycles that don't fit the training (in `check`).
    """

    def __init__(
        self,
        first_epochs: int,
        cycle_epochs: int,
        ensemble: str = "all",
        weights: Sequence[float] = (1.0, 1.0, 0.1),
    ):
        super().__init__()
        if ensemble not in ENSEMBLES:
            raise ValueError(f"ensemble is one of {', '.join(ENSEMBLES)}; received {ensemble!r}.")
        self.first_epochs = first_epochs
        self.cycle_epochs = cycle_epochs
        self.ensemble = ensemble
        self.weights = weights
        self.best_mean_f1 = -1.0

    def check(self, training):
        cycles, rest = divmod(training.epochs - self.first_epochs, self.cycle_epochs)
        if cycles < 1 or rest:
            fitting = [self.first_epochs + cycles * self.cycle_epochs for cycles in (1, 2, 3)]
            raise ValueError(
                f"Self-regulation comes in cycles of {self.cycle_epochs} epochs (cycle_epochs) after the first "
                f"{self.first_epochs} (first_epochs): training.epochs is one of {', '.join(map(str, fitting))}, …; "
                f"received {training.epochs}."
            )

    def set_recipe(self, recipe, model):
        self._recipe = recipe
        (task,) = model.tasks.values()
        self._task, self._figure = task.task.name, f"val_{task.figure}"
        with recipe.run.strategy.scope():
            self.teacher = recipe.run.new_network()
        # Its statistics are estimated and its mean F1 is measured on one device.
        self.aggregated = recipe.run.new_network()
        self.aggregated_f1 = MeanF1(task.channels)
        self.best = _Weights(self.aggregated)
        self.members_mean = _Weights(self.aggregated)

    def on_epoch_begin(self, epoch, logs=None):
        if epoch >= self.first_epochs and self.model.training_objective is None:
            self.model.training_objective = Distillation(self.teacher, self._task, self.weights)
            self.model.make_train_function(force=True)

    def on_epoch_end(self, epoch, logs=None):
        weights = self.model.network.get_weights()
        self._consider(weights, logs[self._figure])
        if epoch == self.first_epochs - 1:
            self.teacher.set_weights(self.best.get())
        if epoch >= self.first_epochs:
            cycle, position = divmod(epoch - self.first_epochs, self.cycle_epochs)
            self._add_member(weights, position)
            if position == self.cycle_epochs - 1:
                logs["ensemble_mean_f1"] = self._end_cycle(cycle + 1, epoch)

    def on_train_end(self, logs=None):
        self.model.network.set_weights(self.best.get())

    def _consider(self, weights, mean_f1):
        if mean_f1 > self.best_mean_f1:
            self.best_mean_f1 = float(mean_f1)
            self.best.set(weights)

    def _add_member(self, weights, position):
        """Keeps the mean of the cycle's models, which Eq. 6 sums: N sets of weights would not fit into memory."""
        share = 1.0 if self.ensemble == "last" else 1.0 / (position + 1)
        mean = zip(self.members_mean.get(), weights, strict=True)
        self.members_mean.set([old + share * (new - old) for old, new in mean])

    def _end_cycle(self, cycle, epoch):
        """Makes the aggregated model the teacher; returns its mean F1 on the validation split."""
        self.aggregated.set_weights(self_ensemble(self.best.get(), [self.members_mean.get()], cycle))
        reestimate_batch_norm(self.aggregated, self._recipe.epoch(epoch))
        weights = self.aggregated.get_weights()
        self.teacher.set_weights(weights)
        self.aggregated_f1.reset_state()
        for image, labels in self._recipe.validation:
            self.aggregated_f1.update_state(labels[self._task], self._parse(image))
        mean_f1 = float(self.aggregated_f1.result())
        self._consider(weights, mean_f1)
        return mean_f1

    @tf.function
    def _parse(self, image):
        return self.aggregated(image, training=False)[self._task]
