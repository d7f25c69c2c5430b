"""A network of several tasks in training, each on images of its own (iFAN, Algorithm 1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import tensorflow as tf
from tensorflow import keras

from components.tasks.base import Learning, mean_loss
from components.trainer.recipe import Stage
from keras_models.ifan import task_network, task_variables


@dataclasses.dataclass(frozen=True)
class TurnStage(Stage):
    """A part of hybrid training.

    Attributes:
        tasks: their names, those that take turns.
        updates: the iterations I that a turn updates, in order; the last is the one that validation looks at.
        re_encoders: whether updates move the re-encoders.
    """

    tasks: tuple[str, ...]
    updates: tuple[int, ...]
    re_encoders: bool

    @property
    def updates_a_step(self) -> int:
        """Updates of all tasks together; a step without iterations takes less time than one with them."""
        return len(self.tasks) * len(self.updates)

    @property
    def work(self) -> int:
        """The whole stage's updates."""
        return (self.last_epoch - self.start) * self.steps * self.updates_a_step


class HybridModel(keras.Model):
    """A network, as of keras_models.IFAN, with its tasks and an optimizer for each.

    An optimizer sees one task alone: the tasks' gradients differ by orders of magnitude, and running averages over all
    of them would leave the ones with small losses next to no updates.

    A batch is {task: (image, labels)} of the tasks that take turns in `stage`.

    Args:
        network: image -> dict of outputs by task and iteration.
        tasks: by name, in their order.
        optimizers: by task.
        l2: what the sum of the squares of all weights that an update moves weighs in its loss.
    """

    def __init__(
        self,
        network: keras.Model,
        tasks: Mapping[str, Learning],
        optimizers: Mapping[str, keras.optimizers.Optimizer],
        l2: float = 0.0,
    ):
        super().__init__()
        # A metric is the same everywhere; over several machines Keras would add them up.
        self.distribute_reduction_method = "first"
        self.l2 = l2
        self.network = network
        self.tasks = dict(tasks)
        self.optimizers = dict(optimizers)
        self.losses_seen = {name: keras.metrics.Mean(f"{name}_loss") for name in tasks}
        self.stage: TurnStage | None = None
        self._passes: dict[str, keras.Model] = {}
        self._traced_passes: dict[str, tf.types.experimental.PolymorphicFunction] = {}
        for name, optimizer in self.optimizers.items():
            optimizer.build(task_variables(network, name))

    @property
    def metrics(self):
        """What Keras resets before an epoch."""
        return [self.losses_seen[name] for name in self.stage.tasks] if self.stage else []

    def begin(self, stage: TurnStage) -> None:
        """Turns to a stage; what it trains is traced anew."""
        self.stage = stage
        # Networks are built here, since not while a function is traced.
        self._trained = {name: [self._pass(name, iteration) for iteration in stage.updates] for name in stage.tasks}
        self._validated = {name: self._traced_pass(name, stage.updates[-1]) for name in self.tasks}
        self.make_train_function(force=True)

    def call(self, image, training=False):
        return self.network(image, training=training)

    def train_step(self, data):
        for name in self.stage.tasks:
            image, labels = data[name]
            for network in self._trained[name]:
                self.losses_seen[name].update_state(self._update(name, network, image, labels))
        return {
            "loss": tf.add_n([mean.result() for mean in self.metrics]),
            **{m.name: m.result() for m in self.metrics},
        }

    def validate(self, validation: Mapping[str, tf.data.Dataset]) -> dict[str, float]:
        """Every task's figure on its validation split, at the stage's last iteration: "val_<figure>".

        Args:
            validation: by task, batches of (image, labels).
        """
        figures = {}
        for name, batches in validation.items():
            task = self.tasks[name]
            for metric in task.metrics():
                metric.reset_state()
            for image, labels in batches:
                output = self._validated[name](image, training=False)
                task.update(labels, output, task.loss(labels, output))
            figures[f"val_{task.figure}"] = float(task.metric.result())
        return figures

    def epoch_record(self):
        """The stage's name, the learning rate of the task whose turn is first, and what each task leaves."""
        rate = self.optimizers[self.stage.tasks[0]].learning_rate
        by_name = {key: value for task in self.tasks.values() for key, value in task.epoch_record().items()}
        return {"stage": self.stage.name, "learning_rate": float(keras.backend.get_value(rate)), **by_name}

    def _update(self, name: str, network: keras.Model, image: tf.Tensor, labels: dict) -> tf.Tensor:
        """Δ^t_I: one step on one task's loss at one iteration; returns the loss."""
        variables = task_variables(self.network, name, self.stage.re_encoders)
        with tf.GradientTape() as tape:
            output = network(image, training=True)
            loss = mean_loss(self.tasks[name], self.tasks[name].loss(labels, output))
            # A mean over the replicas' whole batch, whose gradients the optimizer sums.
            scaled = loss / self.distribute_strategy.num_replicas_in_sync
        gradients = self.optimizers[name].compute_gradients(scaled, variables, tape)
        # A task that is decoded half-way leaves the rest of the backbone as it is.
        gradients = [(g, v) for g, v in gradients if g is not None]
        if self.l2:
            penalty = 2 * self.l2 / self.distribute_strategy.num_replicas_in_sync
            gradients = [(g + penalty * v, v) for g, v in gradients]
        self.optimizers[name].apply_gradients(gradients)
        return loss

    def _pass(self, name: str, iteration: int) -> keras.Model:
        key = f"{name}_iter{iteration}"
        if key not in self._passes:
            self._passes[key] = task_network(self.network, name, iteration)
        return self._passes[key]

    def _traced_pass(self, name: str, iteration: int) -> tf.types.experimental.PolymorphicFunction:
        """`_pass` for validation: traced once for all stages, and for the smaller last batch of a split as well."""
        key = f"{name}_iter{iteration}"
        if key not in self._traced_passes:
            self._traced_passes[key] = tf.function(self._pass(name, iteration), reduce_retracing=True)
        return self._traced_passes[key]


class Validation(keras.callbacks.Callback):
    """Adds every task's figures to an epoch's logs, for the callbacks behind it.

    Args:
        validation: by task, batches of (image, labels).
    """

    def __init__(self, validation: Mapping[str, tf.data.Dataset]):
        super().__init__()
        self._validation = validation

    def on_epoch_end(self, epoch, logs=None):
        logs.update(self.model.validate(self._validation))
