"""The contract between the one training loop (loop.py) and the ways of training: supervised.py and those of papers."""

from __future__ import annotations

import abc
import dataclasses
import inspect
import itertools
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow import keras

from components.config import BaseTraining, Experiment, Export, ObjectConfig
from components.tasks.annotation import BoundTask
from components.tasks.base import Learning, learning_of, serving_of
from components.trainer import inputs
from components.trainer.checkpoint import EpochCheckpoint
from components.trainer.optimizers import build_optimizer

_SOME_STEPS = 1000  # of a run whose data nobody has counted yet


@dataclasses.dataclass(frozen=True)
class Run:
    """Experiment, tasks and data of a training run.

    Attributes:
        experiment: whose training this is.
        tasks: what is learnt, without bars.
        train_files, validation_files: by split, gzipped TFRecords of transformed examples.
        log_folder: for TensorBoard, and for what the report shows of the training.
        warm_start: a SavedModel of components.serving to start from; None for none.
        strategy: that the network in training is under.
    """

    experiment: Experiment
    tasks: tuple[BoundTask, ...]
    train_files: Mapping[str, Sequence[str]]
    validation_files: Mapping[str, Sequence[str]]
    log_folder: str
    warm_start: str | None
    strategy: tf.distribute.Strategy

    def new_network(self) -> keras.Model:
        """The experiment's network, under the Keras policy and the strategy in force."""
        any_size = getattr(self.experiment.training, "half_size_epochs", 0)
        size = (None, None) if any_size else self.experiment.data.image_size
        return self.experiment.model.build(input_shape=(*size, 3))

    def new_learnings(self) -> dict[str, Learning]:
        """The tasks as they are learnt, by name, in the order of the experiment."""
        return {task.name: learning_of(task, self.experiment.data.image_size) for task in self.tasks}

    def validation_batches(self, files: Sequence[str], tasks: Sequence[BoundTask], batch_size: int) -> tf.data.Dataset:
        """(image, labels) of a validation split, in stored order."""
        examples = inputs.evaluation_examples(list(files), tasks, self.experiment.data.image_size)
        return examples.batch(batch_size).prefetch(tf.data.AUTOTUNE)


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of a training that Keras fits in one go.

    Attributes:
        name: for people; "" where there is one stage alone.
        start: the epoch of the run that the stage begins with, counted from 0.
        first_epoch, last_epoch: what is left of it to fit: from the first, without the last.
        steps: batches of an epoch.
        epochs: what the person who waits is told that epochs count up to.
        following: what the stages after it take, in its own batches, as far as that is known.
    """

    name: str
    start: int
    first_epoch: int
    last_epoch: int
    steps: int
    epochs: int
    following: float = dataclasses.field(default=0.0, kw_only=True)


class RunCallback(keras.callbacks.Callback):
    """A callback that is told of the recipe before a stopped run's state is restored."""

    def check(self, training: BaseTraining) -> None:
        """Raises ValueError for a training that it can't be part of; called before data are read."""

    def set_recipe(self, recipe: Recipe, model: keras.Model) -> None:
        """Called once, before training."""
        raise NotImplementedError


class Recipe(abc.ABC):
    """A way of training. The loop calls `build`, then `begin`, then goes through `stages`.

    Args:
        run: experiment, tasks and data.

    Attributes:
        callbacks: whose state is part of the checkpoints, in order.
        validation: batches that Keras validates on after each epoch; None where the recipe does so itself.
    """

    validation: tf.data.Dataset | None = None

    def __init__(self, run: Run):
        self.run = run
        self.callbacks: list[keras.callbacks.Callback] = []

    @abc.abstractmethod
    def build(self, checkpoint: EpochCheckpoint) -> keras.Model:
        """The model to fit, compiled and built, with `network`, `tasks` and `epoch_record`; under the strategy."""

    def begin(self, model: keras.Model) -> None:
        """Called once, before the first epoch of a new run: not where a stopped one continues."""
        del model

    @abc.abstractmethod
    def stages(self, model: keras.Model, checkpoint: EpochCheckpoint, epochs_done: int) -> Iterator[Stage]:
        """The stages left to fit; the model is prepared for each before it is yielded."""

    @abc.abstractmethod
    def batches(self, stage: Stage) -> tf.data.Dataset:
        """The stage's training batches, from its first epoch on."""

    def trained_network(self, model: keras.Model) -> keras.Model:
        """A network like the model's, with weights of its own, under the Keras policy in force."""
        return self.run.new_network()

    def record(self) -> dict:
        """What training leaves for the report beside its epochs: JSON values."""
        return {}


def epoch_steps(files: Sequence[str], batch_size: int, what: str = "The training split") -> int:
    """Batches of a training split; ValueError if it has fewer images than one."""
    steps = inputs.count_examples(list(files)) // batch_size
    if steps == 0:
        raise ValueError(
            f"{what} has fewer images than one batch of {batch_size}. Give it more images or the experiment a smaller "
            "batch_size."
        )
    return steps


def check_outputs(network: keras.Model, tasks: Mapping[str, Learning]) -> None:
    """Raises ValueError if the network lacks a task's output, or has another number of channels there."""
    for name, task in tasks.items():
        if name not in network.output:
            raise ValueError(
                f"The network {network.name!r} has no output for task {name!r}, but "
                f"{', '.join(sorted(network.output))}. Drop the task, or name a model that has it."
            )
        received, expected = network.output[name].shape[-1], task.channels
        if received != expected:
            raise ValueError(
                f"The network {network.name!r} has {received} channels for task {name!r}, the labels of "
                f"{task.task.dataset} need {expected}: give the experiment's model that number."
            )


def check_network(experiment: Experiment, tasks: Sequence[BoundTask]) -> int:
    """How many weights the network has; all is built and forgotten again, before any data are read.

    Raises:
        ValueError: the network or a part of its training can't be built, or doesn't fit the labels; or as of
            `check_export`.
        OSError: pretrained weights can't be fetched.
    """
    check_training(experiment.training)
    check_export(experiment.export, tasks)
    run = Run(experiment, tuple(tasks), {}, {}, "", None, tf.distribute.get_strategy())
    try:
        network = run.new_network()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"The network can't be built as the experiment says: {error}") from error
    check_outputs(network, run.new_learnings())
    weights = network.count_params()
    keras.backend.clear_session()
    return weights


def check_export(how: Export, tasks: Sequence[BoundTask]) -> None:
    """Raises ValueError if answers are to be averaged with a mirror's, and it isn't known what that makes of a task."""
    if how.flip_average:
        for task in tasks:
            serving_of(task).check_mirror()


def check_training(training: BaseTraining) -> None:
    """Raises ValueError if a part of the training can't be built, or called with the arguments that it is given.

    Optimizer, rates, loss and callbacks are built; of the others the names of the arguments are looked at.
    """
    rate = {"steps": _SOME_STEPS}
    built: list[Any] = []
    given = {"learning_rate": rate, "pretraining_rate": rate, "loss": {}, "callbacks": {}}
    for field in dataclasses.fields(training):
        value = getattr(training, field.name)
        for part in value if isinstance(value, tuple) else (value,):
            if not isinstance(part, ObjectConfig):
                continue
            try:
                if field.name == "optimizer":
                    build_optimizer(part, 0.1)
                elif field.name in given:
                    built.append(part.build(**given[field.name]))
                else:
                    inspect.signature(pkgutil.resolve_name(part.path)).bind_partial(**part.kwargs)
            except (AttributeError, ImportError, TypeError, ValueError) as error:
                raise ValueError(f"training.{field.name}, {part.path}, can't be called so: {error}") from error
    for part in built:
        if isinstance(part, RunCallback):
            part.check(training)


def all_files(files: Mapping[str, Sequence[str]]) -> list[str]:
    """The files of all splits, in order."""
    return sorted(itertools.chain.from_iterable(files.values()))
