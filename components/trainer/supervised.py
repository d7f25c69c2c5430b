"""The plain recipe: one network, batches of all its data, epochs."""

from __future__ import annotations

import dataclasses
import functools

import tensorflow as tf
from tensorflow import keras

from components.config import Experiment, Factory, Training
from components.datasets import FaceDataset
from components.datasets.annotation import binary_task_names
from components.trainer import inputs
from components.trainer.callbacks import Run, RunCallback
from components.trainer.checkpoint import EpochCheckpoint, History
from components.trainer.face_model import FaceModel
from components.trainer.parsing_model import ParsingModel
from components.trainer.progress import TrainingProgress
from components.trainer.summaries import summaries
from components.trainer.task_model import TaskModel


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a recipe leaves.

    Attributes:
        network: in float32, whatever precision it was trained in.
        epochs: per epoch a dict of numbers and lists of numbers (components.trainer.checkpoint.History).
        thresholds: [N] decision thresholds of attributes; None without attributes.
        branching: how a network that was widened came by its branches (components.trainer.widening.Rounds.record).
    """

    network: keras.Model
    epochs: list[dict]
    thresholds: tf.Variable | None
    branching: dict | None = None


def build_network(experiment: Experiment) -> keras.Model:
    """The experiment's network under the Keras policy in force."""
    return experiment.model.build(input_shape=(*experiment.data.image_size, 3))


def fit(
    experiment: Experiment,
    builder: type[FaceDataset],
    train_files: list[str],
    validation_files: list[str],
    checkpoint_folder: str,
    log_folder: str,
    warm_start: str | None = None,
) -> Trained:
    """Trains the experiment's network; continues from `checkpoint_folder` where a stopped run left it.

    Args:
        builder: the data set's, whose ATTRIBUTES and LABELS name what the records are annotated with.
        train_files, validation_files: gzipped TFRecords of transformed examples.
        log_folder: for TensorBoard.
        warm_start: the SavedModel of components.serving that the training's `start` is given.

    Raises:
        ValueError: for fewer training images than a batch, and a network that parses other classes than the data set's.
    """
    data, training = experiment.data, experiment.training
    keras.utils.set_random_seed(training.seed)
    keras.mixed_precision.set_global_policy(training.precision)
    try:
        strategy = training.strategy.build()
        steps = epoch_steps(train_files, training.batch_size)
        with strategy.scope():
            model = _task_model(experiment, builder)
            thresholds = getattr(model, "thresholds", None)
            if warm_start:
                training.start.build(model.network, warm_start, thresholds)
            model.compile(
                training.optimizer.build(learning_rate=learning_rate(training, steps * training.epochs)),
                weighted_metrics=[],
            )
            model.build((None, *data.image_size, 3))

        batches = functools.partial(
            inputs.training_batches, train_files, data, training, builder, steps, training.epochs, training.seed
        )
        validation = inputs.evaluation_examples(validation_files, data)
        validation = validation.batch(training.batch_size).prefetch(tf.data.AUTOTUNE)
        run = Run(
            training.epochs,
            strategy,
            functools.partial(build_network, experiment),
            lambda epoch: batches(first_step=epoch * steps).take(steps),
            validation,
        )
        history = History()
        callbacks = [*(callback.build() for callback in training.callbacks), history]
        for callback in callbacks:
            if isinstance(callback, RunCallback):
                callback.set_run(run)
        checkpoint = EpochCheckpoint(checkpoint_folder, callbacks)
        with strategy.scope():
            first_epoch = checkpoint.restore(model)
        model.fit(
            batches(first_step=first_epoch * steps),
            validation_data=validation,
            initial_epoch=first_epoch,
            epochs=training.epochs,
            steps_per_epoch=steps,
            callbacks=[
                *callbacks,
                checkpoint,
                keras.callbacks.TensorBoard(log_folder, write_graph=False),
                *summaries(log_folder, model, data, validation),
                TrainingProgress(first_epoch),
            ],
            verbose=0,
        )
    finally:
        keras.mixed_precision.set_global_policy("float32")
    network = build_network(experiment)
    network.set_weights(model.network.get_weights())
    if thresholds is not None:
        thresholds = tf.Variable(thresholds.numpy(), trainable=False, name="thresholds")
    return Trained(network, history.epochs, thresholds)


def epoch_steps(files: list[str], batch_size: int) -> int:
    """Batches of a training split; ValueError if it has fewer images than one."""
    steps = inputs.count_examples(files) // batch_size
    if steps == 0:
        raise ValueError(
            f"The training split has fewer images than one batch of {batch_size}. "
            "Give it more images or the experiment a smaller batch_size."
        )
    return steps


def learning_rate(training: Training, steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """What an optimizer takes, for a run of so many steps."""
    if isinstance(training.learning_rate, Factory):
        return training.learning_rate.build(steps=steps)
    return training.learning_rate


def _task_model(experiment: Experiment, builder: type[FaceDataset]) -> TaskModel:
    """The network with its objective, as what it learns is trained."""
    network, objective = build_network(experiment), experiment.training.loss.build()
    if not experiment.data.parsing:
        return FaceModel(network, objective, len(binary_task_names(experiment.data)))
    classes = network.output["parsing"].shape[-1]
    if classes != len(builder.LABELS):
        dataset = experiment.data.sources[0].name
        raise ValueError(
            f"The network parses {classes} classes, but {dataset} has {len(builder.LABELS)}: give the "
            "experiment's model num_classes of the data set."
        )
    return ParsingModel(network, objective)
