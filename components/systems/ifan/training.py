"""Cross-dataset hybrid training (iFAN, Section 3.3, Algorithm 1): many tasks, data sets that share nothing.

First each task is trained alone on its own data set, at iteration 0. Then the tasks take turns, a batch each, with an
update for each iteration of their interaction: all tasks get as many updates, however large their data sets. Before
that, they may take turns at iteration 0 (not in the paper).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorflow import keras

from components.serving.export import restore_trained
from components.systems.ifan.config import HybridTraining
from components.systems.ifan.model import HybridModel, TurnStage, Validation
from components.tasks.base import Learning
from components.trainer import inputs
from components.trainer.optimizers import build_optimizer, scaling_losses
from components.trainer.recipe import Recipe, Run, check_outputs, epoch_steps
from components.trainer.schedules import Joined
from keras_models.ifan import network_iterations, network_tasks

PLAIN_TURNS, TURNS = "taking turns without feedback", "taking turns"


class Hybrid(Recipe):
    """Hybrid training; the experiment's model is one of keras_models.IFAN's kind."""

    def __init__(self, run: Run):
        super().__init__(run)
        self.training: HybridTraining = run.experiment.training
        self._bound = {task.name: task for task in run.tasks}
        self._configs = {each.task: each for each in self.training.tasks}
        self._files = {name: self._of_task(name, run.train_files, "train") for name in self._configs}
        self._epoch_steps = {
            name: epoch_steps(self._files[name], config.batch_size, f"The training split for {name}")
            for name, config in self._configs.items()
        }
        # Made outside the strategy's scope: validation counts once, not on every replica.
        self._tasks = run.new_learnings()
        validation = {
            name: run.validation_batches(
                self._of_task(name, run.validation_files, self.training.validation_split),
                [self._bound[name]],
                config.batch_size,
            )
            for name, config in self._configs.items()
        }
        self.callbacks = [Validation(validation)]

    def _of_task(self, name: str, files: Mapping[str, Sequence[str]], split: str) -> list[str]:
        return list(files[self.run.experiment.data.splits(split)[self._bound[name].dataset]])

    def build(self, checkpoint):
        network = self.run.new_network()
        check_outputs(network, self._tasks)
        if (networks := sorted(network_tasks(network))) != sorted(self._tasks):
            raise ValueError(f"The network's tasks are {', '.join(networks)}, but {', '.join(self._tasks)} train.")
        if self.run.warm_start:
            restore_trained(network, self.run.warm_start, self._tasks)
        self._stages = training_stages(self.training, self._epoch_steps, network_iterations(network))
        optimizers = {name: self._optimizer(name) for name in self._configs}
        model = HybridModel(network, self._tasks, optimizers, self.training.l2)
        model.compile(optimizer=next(iter(model.optimizers.values())), jit_compile=self.training.jit_compile)
        model.build((None, *self.run.experiment.data.image_size, 3))
        return model

    def begin(self, model):
        if self.training.initial_feedback == "mean":
            for name, task in self._tasks.items():
                size = self.run.experiment.data.image_size
                examples = inputs.evaluation_examples(self._files[name], [self._bound[name]], size)
                model.network.get_layer("initial").set_mean(name, mean_target(task, examples.batch(64)))

    def stages(self, model, checkpoint, epochs_done):
        for stage in self._stages:
            if epochs_done < stage.last_epoch:
                stage = dataclasses.replace(stage, first_epoch=max(epochs_done, stage.start))
                model.begin(stage)
                yield stage

    def batches(self, stage):
        """{task: (image, labels)} of the stage's tasks: each task's batches go on where they were left."""
        streams = {}
        for name in stage.tasks:
            earlier = [each for each in self._stages if name in each.tasks and each.last_epoch <= stage.start]
            streams[name] = inputs.training_batches(
                self._files[name],
                [self._bound[name]],
                self.run.experiment.data.image_size,
                self._configs[name],
                self._epoch_steps[name],
                epochs=None,
                seed=self.training.seed,
                first_step=sum((each.last_epoch - each.start) * each.steps for each in earlier)
                + (stage.first_epoch - stage.start) * stage.steps,
            )
        return tf.data.Dataset.zip(streams)

    def _optimizer(self, name: str) -> keras.optimizers.Optimizer:
        """A task's own, whose rate counts the task's own updates."""
        rates, lengths = [], []
        for stage in self._stages:
            if name in stage.tasks:
                rates.append(self.training.learning_rate if stage.name == TURNS else self.training.pretraining_rate)
                lengths.append((stage.last_epoch - stage.start) * stage.steps * len(stage.updates))
        # A task that is in no stage has no rate.
        rate = Joined(sum(lengths), rates, lengths) if lengths else 0.0
        return scaling_losses(build_optimizer(self.training.optimizer, rate))


def training_stages(training: HybridTraining, epoch_steps: Mapping[str, int], iterations: int) -> list[TurnStage]:
    """The stages of Algorithm 1, in order.

    Args:
        epoch_steps: by task, the batches of its training split.
        iterations: ITER of the network. Without any the tasks take turns at iteration 0.
    """
    stages, epoch = [], 0
    for config in training.tasks:
        if config.pretraining_epochs:
            name, steps = config.task, epoch_steps[config.task]
            last = epoch + config.pretraining_epochs
            stages.append(TurnStage(f"{name} alone", epoch, epoch, last, steps, last, (name,), (0,), False))
            epoch = last
    names = tuple(config.task for config in training.tasks)
    interacting = tuple(range(1, iterations + 1)) or (0,)
    for name, epochs, updates in ((PLAIN_TURNS, training.plain_epochs, (0,)), (TURNS, training.epochs, interacting)):
        if epochs:
            last = epoch + epochs
            stages.append(TurnStage(name, epoch, epoch, last, training.steps, last, names, updates, updates != (0,)))
            epoch = last
    following = [sum(later.work for later in stages[i + 1 :]) for i in range(len(stages))]
    return [
        dataclasses.replace(stage, following=work / stage.updates_a_step)
        for stage, work in zip(stages, following, strict=True)
    ]


def mean_target(task: Learning, batches: tf.data.Dataset) -> np.ndarray:
    """The mean of what is annotated in a split, as a prediction without batch axis; 0 where nothing is.

    Args:
        batches: (image, labels).
    """
    total = count = 0.0
    for _, labels in batches:
        values, annotated = task.mean_target(labels)
        total += tf.reduce_sum(values * annotated, axis=0).numpy().astype(np.float64)
        count += tf.reduce_sum(annotated, axis=0).numpy().astype(np.float64)
    return (total / np.maximum(count, 1)).astype(np.float32)
