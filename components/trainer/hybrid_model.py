"""A network of several tasks in training, each on pictures of its own (iFAN, Algorithm 1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import tensorflow as tf
from tensorflow import keras

from components.trainer.tasks import Task
from keras_models.ifan import task_network, task_variables


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of hybrid training.

    Attributes:
        name: for people.
        tasks: their labels, those that take turns.
        updates: the iterations I that a turn updates, in order; the last is the one that validation looks at.
        re_encoders: whether updates move the re-encoders.
        first_epoch, last_epoch: the epochs of the run that it is, from 0 on, without the last.
        steps: turns of each task an epoch.
    """

    name: str
    tasks: tuple[str, ...]
    updates: tuple[int, ...]
    re_encoders: bool
    first_epoch: int
    last_epoch: int
    steps: int


class HybridModel(keras.Model):
    """A network, as of keras_models.IFAN, with its tasks and an optimizer for each.

    An optimizer sees one task alone: the tasks' gradients differ by orders of magnitude, and running averages over all
    of them would leave the ones with small losses next to no updates.

    A batch is {label: (image, labels)} of the tasks that take turns in `stage`.

    Args:
        network: image -> dict of outputs by task and iteration.
        tasks: by label, in their order.
        optimizers: by label.
    """

    def __init__(
        self, network: keras.Model, tasks: Mapping[str, Task], optimizers: Mapping[str, keras.optimizers.Optimizer]
    ):
        super().__init__()
        self.network = network
        self.tasks = dict(tasks)
        self.optimizers = dict(optimizers)
        self.losses_seen = {label: keras.metrics.Mean(f"{label}_loss") for label in tasks}
        self.stage: Stage | None = None
        self._passes: dict[str, keras.Model] = {}
        for label, optimizer in self.optimizers.items():
            optimizer.build(task_variables(network, label))

    @property
    def metrics(self):
        """What Keras resets before an epoch."""
        return [self.losses_seen[label] for label in self.stage.tasks] if self.stage else []

    def begin(self, stage: Stage) -> None:
        """Turns to a stage; what it trains is traced anew."""
        self.stage = stage
        # Networks are built here, since not while a function is traced.
        self._trained = {label: [self._pass(label, iteration) for iteration in stage.updates] for label in stage.tasks}
        # The last batch of a split is smaller, for which nothing is traced again.
        self._validated = {
            label: tf.function(self._pass(label, stage.updates[-1]), reduce_retracing=True) for label in self.tasks
        }
        self.make_train_function(force=True)

    def call(self, image, training=False):
        return self.network(image, training=training)

    def train_step(self, data):
        for label in self.stage.tasks:
            image, labels = data[label]
            for network in self._trained[label]:
                loss = self._update(label, network, image, labels[label])
                self.losses_seen[label].update_state(loss)
        return {
            "loss": tf.add_n([mean.result() for mean in self.metrics]),
            **{m.name: m.result() for m in self.metrics},
        }

    def validate(self, validation: Mapping[str, tf.data.Dataset]) -> dict[str, float]:
        """Every task's figure on its validation split, at the stage's last iteration: "val_<label>_<figure>".

        Args:
            validation: by label, batches of (image, labels).
        """
        figures = {}
        for label, batches in validation.items():
            task = self.tasks[label]
            task.metric.reset_state()
            for image, labels in batches:
                task.count(labels[label], self._validated[label](image, training=False))
            figures[f"val_{label}_{task.metric.name}"] = float(task.metric.result())
        return figures

    def epoch_record(self):
        """The stage's name, and the learning rate of the task whose turn is first."""
        rate = self.optimizers[self.stage.tasks[0]].learning_rate
        return {"stage": self.stage.name, "learning_rate": float(keras.backend.get_value(rate))}

    def _update(self, label: str, network: keras.Model, image: tf.Tensor, truth: tf.Tensor) -> tf.Tensor:
        """Δ^t_I: one step on one task's loss at one iteration; returns the loss."""
        variables = task_variables(self.network, label, self.stage.re_encoders)
        with tf.GradientTape() as tape:
            output = network(image, training=True)
            loss = self.tasks[label].loss(truth, output)
            # A mean over the replicas' whole batch, whose gradients the optimizer sums.
            scaled = loss / self.distribute_strategy.num_replicas_in_sync
        gradients = zip(tape.gradient(scaled, variables), variables, strict=True)
        # A task that is decoded half-way leaves the rest of the backbone as it is.
        self.optimizers[label].apply_gradients((g, v) for g, v in gradients if g is not None)
        return loss

    def _pass(self, label: str, iteration: int) -> keras.Model:
        name = f"{label}_iter{iteration}"
        if name not in self._passes:
            self._passes[name] = task_network(self.network, label, iteration)
        return self._passes[name]


class Validation(keras.callbacks.Callback):
    """Adds every task's figures to an epoch's logs, for the callbacks behind it.

    Args:
        validation: by label, batches of (image, labels).
    """

    def __init__(self, validation: Mapping[str, tf.data.Dataset]):
        super().__init__()
        self._validation = validation

    def on_epoch_end(self, epoch, logs=None):
        logs.update(self.model.validate(self._validation))
