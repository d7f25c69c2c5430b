"""The plain recipe: one network, batches of all its data, epochs."""

from __future__ import annotations

import tensorflow as tf

from components.config import ObjectConfig
from components.serving.export import restore_trained
from components.trainer import inputs
from components.trainer.half_size import HalfSize
from components.trainer.optimizers import build_optimizer
from components.trainer.recipe import Recipe, Run, Stage, all_files, check_outputs, epoch_steps
from components.trainer.task_model import TaskModel


class Supervised(Recipe):
    """Trains on what is annotated, whatever the tasks; the images of several data sets come in the same batches."""

    def __init__(self, run: Run):
        super().__init__(run)
        self.training = run.experiment.training
        self.files = all_files(run.train_files)
        self.pass_steps = epoch_steps(self.files, self.training.batch_size)
        self.callbacks = [callback.build() for callback in self.training.callbacks]
        if self.training.half_size_epochs:
            self.callbacks.insert(0, HalfSize(self.training.half_size_epochs))
        self.validation = run.validation_batches(all_files(run.validation_files), run.tasks, self.training.batch_size)

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return self.pass_steps

    def build(self, checkpoint):
        network, tasks = self.run.new_network(), self.run.new_learnings()
        check_outputs(network, tasks)
        model = TaskModel(network, tasks, self.training.loss.build(), self.training.accumulate)
        self.initialize(model)
        return self.compiled(model)

    def initialize(self, model: TaskModel) -> None:
        """Gives the network what the training starts from."""
        if self.training.initializer:
            self.training.initializer.build(model.network, self.run.warm_start, model.tasks)
        elif self.run.warm_start:
            restore_trained(model.network, self.run.warm_start, model.tasks)

    def compiled(self, model: TaskModel) -> TaskModel:
        """The model, with its optimizer and variables; ValueError if a device's share of a batch has no such parts."""
        batch, parts = self.training.batch_size, self.training.accumulate
        devices = self.run.strategy.num_replicas_in_sync
        if parts > 1 and batch % (devices * parts):
            raise ValueError(
                f"A batch of {batch} on {devices} devices can't be parted in {parts} on each: choose a batch_size that "
                f"is a multiple of {devices * parts}, or another training.accumulate."
            )
        model.compile(self.optimizer(), weighted_metrics=[], jit_compile=self.training.jit_compile)
        model.build((None, *self.run.experiment.data.image_size, 3))
        return model

    def optimizer(self):
        """Whose rate knows the length of the run."""
        rate = self.training.learning_rate
        if isinstance(rate, ObjectConfig):
            rate = rate.build(steps=self.steps * self.training.epochs)
        return build_optimizer(self.training.optimizer, rate)

    def stages(self, model, checkpoint, epochs_done):
        # Also where nothing is left to do: callbacks end what they began.
        epochs = self.training.epochs
        yield Stage("", 0, epochs_done, epochs, self.steps, epochs)

    def batches(self, stage):
        return self.batches_from(stage.first_epoch, self.training.epochs)

    def batches_from(self, epoch: int, epochs: int | None) -> tf.data.Dataset:
        """Training batches from an epoch on."""
        return inputs.training_batches(
            self.files,
            self.run.tasks,
            self.run.experiment.data.image_size,
            self.training,
            self.pass_steps,
            epochs,
            self.training.seed,
            first_step=epoch * self.steps,
        )

    def epoch(self, epoch: int) -> tf.data.Dataset:
        """The batches of one epoch, as training sees them."""
        return self.batches_from(epoch, self.training.epochs).take(self.steps)
