"""The one training loop: what every way of training has in common."""

from __future__ import annotations

import dataclasses
import functools
import json
import pkgutil
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf
from tensorflow import keras

from components.config import Experiment, to_json
from components.systems.base import system_of
from components.tasks.annotation import BoundTask
from components.tasks.base import Learning
from components.tasks.summaries import FiguresByName
from components.trainer.checkpoint import EpochCheckpoint, History
from components.trainer.devices import devices
from components.trainer.precision import precision_here
from components.trainer.progress import TrainingProgress
from components.trainer.recipe import Recipe, Run, RunCallback
from components.trainer.workers import check_alike, num_machines, shared_out, strategy_of, told_chief


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a training leaves.

    Attributes:
        network: in float32 and on one device, whatever it was trained in and on.
        build: builds its like under the Keras policy in force, with weights of its own.
        tasks: by name, with the state that they have beside the network.
        epochs: per epoch a dict of numbers and lists of numbers (components.trainer.checkpoint.History).
        minutes: of the epochs, and what `processor_minutes` they took of all processors of this machine.
        chief: whether this process is the one of several machines that exports.
        record: what the report is told beside them: the precision, and what the recipe leaves.
    """

    network: keras.Model
    build: Callable[[], keras.Model]
    tasks: Mapping[str, Learning]
    epochs: list[dict]
    minutes: float
    processor_minutes: float
    chief: bool
    record: dict


def train(
    experiment: Experiment,
    tasks: Sequence[BoundTask],
    train_files: Mapping[str, Sequence[str]],
    validation_files: Mapping[str, Sequence[str]],
    checkpoint_folder: str,
    log_folder: str,
    warm_start: str | None = None,
) -> Trained:
    """Trains the experiment's network; continues from `checkpoint_folder` where a stopped run left it.

    Args:
        tasks: the experiment's, with their annotations.
        train_files, validation_files: by split, gzipped TFRecords of transformed examples.
        log_folder: for TensorBoard.
        warm_start: a SavedModel of components.serving to start from.

    Raises:
        ValueError: for fewer training images than a batch, a network that doesn't fit the tasks, and what the recipe
            can't do.
    """
    training = experiment.training
    strategy = strategy_of(training)
    chief = told_chief()
    told = [train_files, validation_files, checkpoint_folder, warm_start]
    check_alike(strategy, to_json(experiment), to_json(tuple(tasks)), json.dumps(told))
    # What the others write, as they have to where variables are spread over all, nobody reads.
    scratch = None if chief else tempfile.mkdtemp(prefix="facetfx-worker-")
    keras.utils.set_random_seed(training.seed)
    # The time that one machine takes must not decide for all.
    precision = precision_here(training.precision) if num_machines() == 1 else training.precision
    keras.mixed_precision.set_global_policy(precision)
    try:
        logs = scratch or log_folder
        run = Run(experiment, tuple(tasks), train_files, validation_files, logs, warm_start, strategy)
        recipe: Recipe = pkgutil.resolve_name(training.RECIPE)(run)
        history = History()
        callbacks = [*recipe.callbacks, history]
        checkpoint = EpochCheckpoint(checkpoint_folder, callbacks, scratch)
        with strategy.scope():
            model = recipe.build(checkpoint)
        for callback in callbacks:
            if isinstance(callback, RunCallback):
                callback.check(training)
                callback.set_recipe(recipe, model)
        with strategy.scope():
            epochs_done = checkpoint.restore(model)
        if not epochs_done:
            recipe.begin(model)
        watching = _watching(recipe, model)
        resumed_after = epochs_done
        for number, stage in enumerate(recipe.stages(model, checkpoint, epochs_done)):
            if chief and not number:
                print(f"  Training on {devices(strategy)}.", file=sys.stderr, flush=True)
            model.fit(
                shared_out(recipe.batches(stage)),
                validation_data=recipe.validation and shared_out(recipe.validation),
                initial_epoch=stage.first_epoch,
                epochs=stage.last_epoch,
                steps_per_epoch=stage.steps,
                callbacks=[
                    *callbacks,
                    checkpoint,
                    *watching,
                    *([TrainingProgress(stage, resumed=stage.first_epoch == resumed_after > 0)] if chief else []),
                ],
                verbose=0,
            )
    finally:
        keras.mixed_precision.set_global_policy("float32")
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)
    build = functools.partial(recipe.trained_network, model)
    # After the training it is what would be built: float32 on one device has no other form of a layer.
    network = model.network
    if precision != "float32" or strategy is not tf.distribute.get_strategy():
        network = build()
        network.set_weights(model.network.get_weights())
    return Trained(
        network,
        build,
        dict(model.tasks),
        history.epochs,
        history.seconds / 60,
        history.processor_seconds / 60,
        chief,
        {"trained_in": precision, **recipe.record()},
    )


def _watching(recipe: Recipe, model: keras.Model) -> list[keras.callbacks.Callback]:
    """What shows the training and changes nothing of it."""
    run = recipe.run
    watching = [
        keras.callbacks.TensorBoard(run.log_folder, write_graph=False),
        FiguresByName(run.log_folder, model.tasks.values()),
    ]
    if recipe.validation is not None:
        for task in model.tasks.values():
            watching += task.summaries(run.log_folder, recipe.validation)
    return [*watching, *system_of(run.experiment).callbacks(recipe, model.network)]
