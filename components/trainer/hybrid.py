"""Cross-dataset hybrid training (iFAN, Section 3.3, Algorithm 1): many tasks, data sets that share nothing.

First each task is trained alone on its own data set, at iteration 0. Then the tasks take turns, a batch each, with an
update for each iteration of their interaction: all tasks get as many updates, however large their data sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf
from tensorflow import keras

from components.config import Data, Experiment, HybridTraining, TaskTraining
from components.datasets import source_class
from components.datasets.annotation import annotated_names
from components.serving.signatures import restore_trained
from components.trainer import inputs
from components.trainer.checkpoint import EpochCheckpoint, History
from components.trainer.hybrid_model import HybridModel, Stage, Validation
from components.trainer.progress import TrainingProgress
from components.trainer.schedules import Joined
from components.trainer.supervised import Trained, build_network
from components.trainer.tasks import TASKS, mean_target
from keras_models.ifan import network_iterations, network_tasks

TURNS = "taking turns"


def fit(
    experiment: Experiment,
    train_files: Mapping[str, list[str]],
    validation_files: Mapping[str, list[str]],
    checkpoint_folder: str,
    log_folder: str,
    warm_start: str | None = None,
) -> Trained:
    """Trains the experiment's network; continues from `checkpoint_folder` where a stopped run left it.

    Args:
        experiment: its training is a HybridTraining, its model one of keras_models.IFAN's kind.
        train_files, validation_files: by split, gzipped TFRecords of transformed examples.
        log_folder: for TensorBoard.
        warm_start: a SavedModel of components.serving to take network weights from.

    Raises:
        ValueError: for other tasks than the network's, another number of outputs than the data set's names, fewer
            training images than a batch, an unknown initial feedback.
    """
    data, training = experiment.data, experiment.training
    if training.initial_feedback not in ("mean", "zeros"):
        raise ValueError(f"initial_feedback is 'mean' or 'zeros', received {training.initial_feedback!r}.")
    labels = [task.label for task in training.tasks]
    files = {label: train_files[data.splits("train")[data.source_of(label).name]] for label in labels}
    epoch_steps = {task.label: _epoch_steps(task, files[task.label]) for task in training.tasks}
    keras.utils.set_random_seed(training.seed)
    keras.mixed_precision.set_global_policy(training.precision)
    try:
        strategy = training.strategy.build()
        with strategy.scope():
            network = build_network(experiment)
            outputs = _checked_outputs(network, data, labels)
            if warm_start:
                restore_trained(network, warm_start)
        stages = training_stages(training, epoch_steps, network_iterations(network))
        # Outside the scope: validation counts once, not on every replica.
        tasks = {label: TASKS[label](outputs[label], data.image_size) for label in labels}
        with strategy.scope():
            model = HybridModel(
                network,
                tasks,
                {task.label: _optimizer(training, stages, task.label) for task in training.tasks},
            )
            model.compile(optimizer=model.optimizers[labels[0]])
            model.build((None, *data.image_size, 3))
        history = History()
        callbacks = [Validation(_validation(experiment, validation_files)), history]
        checkpoint = EpochCheckpoint(checkpoint_folder, callbacks)
        with strategy.scope():
            epochs_done = checkpoint.restore(model)
        if not epochs_done and training.initial_feedback == "mean":
            _set_mean_feedback(model, files, data)
        tensorboard = keras.callbacks.TensorBoard(log_folder, write_graph=False)
        for stage in stages:
            if epochs_done >= stage.last_epoch:
                continue
            first_epoch = max(epochs_done, stage.first_epoch)
            model.begin(stage)
            model.fit(
                _batches(experiment, files, epoch_steps, stage, first_epoch),
                initial_epoch=first_epoch,
                epochs=stage.last_epoch,
                steps_per_epoch=stage.steps,
                callbacks=[
                    *callbacks,
                    checkpoint,
                    tensorboard,
                    TrainingProgress(first_epoch, stage.name, stage.first_epoch),
                ],
                verbose=0,
            )
    finally:
        keras.mixed_precision.set_global_policy("float32")
    network = build_network(experiment)
    network.set_weights(model.network.get_weights())
    return Trained(network, history.epochs, thresholds=None)


def training_stages(training: HybridTraining, epoch_steps: Mapping[str, int], iterations: int) -> list[Stage]:
    """The stages of Algorithm 1, in order.

    Args:
        epoch_steps: by label, the batches of a task's training split.
        iterations: ITER of the network. Without any the tasks take turns at iteration 0.
    """
    stages, epoch = [], 0
    for task in training.tasks:
        if task.pretraining_epochs:
            last = epoch + task.pretraining_epochs
            stages.append(
                Stage(f"{task.label} alone", (task.label,), (0,), False, epoch, last, epoch_steps[task.label])
            )
            epoch = last
    if training.epochs:
        labels = tuple(task.label for task in training.tasks)
        updates = tuple(range(1, iterations + 1)) or (0,)
        stages.append(Stage(TURNS, labels, updates, iterations > 0, epoch, epoch + training.epochs, training.steps))
    return stages


def _epoch_steps(task: TaskTraining, files: Sequence[str]) -> int:
    steps = inputs.count_examples(files) // task.batch_size
    if steps == 0:
        raise ValueError(
            f"The training split for {task.label} has fewer images than one batch of {task.batch_size}. "
            "Give it more images or the task a smaller batch_size."
        )
    return steps


def _checked_outputs(network: keras.Model, data: Data, labels: Sequence[str]) -> dict[str, int]:
    """By label, how many classes, points or answers the network has; it must be as many as the data set's."""
    if sorted(network_tasks(network)) != sorted(labels):
        raise ValueError(f"The network's tasks are {', '.join(network_tasks(network))}, but {', '.join(labels)} train.")
    outputs = {}
    for label in labels:
        channels = network.output[label].shape[-1]
        outputs[label] = channels // 2 if label == "landmarks" else channels
        expected = len(annotated_names(data, label))
        if outputs[label] != expected:
            raise ValueError(
                f"The network has {outputs[label]} outputs for {label}, but {data.source_of(label).name} has "
                f"{expected}: give the experiment's model the data set's number."
            )
    return outputs


def _optimizer(training: HybridTraining, stages: Sequence[Stage], label: str) -> keras.optimizers.Optimizer:
    """A task's own, whose rate counts the task's own updates."""
    rates, lengths = [], []
    for stage in stages:
        if label in stage.tasks:
            rates.append(training.learning_rate if stage.name == TURNS else training.pretraining_rate)
            lengths.append((stage.last_epoch - stage.first_epoch) * stage.steps * len(stage.updates))
    if not lengths:
        return training.optimizer.build(learning_rate=0.0)  # a task that is in no stage
    return training.optimizer.build(learning_rate=Joined(sum(lengths), rates, lengths))


def _set_mean_feedback(model: HybridModel, files: Mapping[str, Sequence[str]], data: Data) -> None:
    for label, task in model.tasks.items():
        examples = inputs.evaluation_examples(files[label], data.only(label))
        model.network.get_layer("initial").set_mean(label, mean_target(task, label, examples.batch(64)))


def _validation(experiment: Experiment, files: Mapping[str, Sequence[str]]) -> dict[str, tf.data.Dataset]:
    data, training = experiment.data, experiment.training
    splits = data.splits(training.validation_split)
    batches = {}
    for task in training.tasks:
        source = data.source_of(task.label)
        examples = inputs.evaluation_examples(files[splits[source.name]], data.only(task.label))
        batches[task.label] = examples.batch(task.batch_size).prefetch(tf.data.AUTOTUNE)
    return batches


def _batches(
    experiment: Experiment,
    files: Mapping[str, Sequence[str]],
    epoch_steps: Mapping[str, int],
    stage: Stage,
    first_epoch: int,
) -> tf.data.Dataset:
    """{label: (image, labels)} of a stage's tasks from an epoch on: each task's batches go on where they were left."""
    data, training = experiment.data, experiment.training
    streams = {}
    for task in training.tasks:
        if task.label in stage.tasks:
            before = task.pretraining_epochs * epoch_steps[task.label] if stage.name == TURNS else 0
            streams[task.label] = inputs.training_batches(
                files[task.label],
                data.only(task.label),
                task,
                source_class(data.source_of(task.label)),
                epoch_steps[task.label],
                epochs=None,
                seed=training.seed,
                first_step=before + (first_epoch - stage.first_epoch) * stage.steps,
            )
    return tf.data.Dataset.zip(streams)
