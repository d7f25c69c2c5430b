"""The plain recipe: one network, one data set, epochs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf
from tensorflow import keras

from components.config import Experiment, Factory
from components.serving.signatures import restore_trained
from components.trainer import inputs
from components.trainer.adaptive import AdaptiveWeighting
from components.trainer.checkpoint import EpochCheckpoint, History
from components.trainer.face_model import FaceModel
from components.trainer.progress import TrainingProgress
from components.trainer.summaries import AttributeSummaries, attention_summaries


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a recipe leaves.

    Attributes:
        network: in float32, whatever precision it was trained in.
        thresholds: [N] decision thresholds.
        epochs: per epoch a dict of numbers and lists of N numbers (components.trainer.checkpoint.History).
    """

    network: keras.Model
    thresholds: tf.Variable
    epochs: list[dict]


def build_network(experiment: Experiment) -> keras.Model:
    """The experiment's network under the Keras policy in force."""
    return experiment.model.build(input_shape=(*experiment.data.image_size, 3))


def fit(
    experiment: Experiment,
    attributes: Sequence[str],
    train_files: list[str],
    validation_files: list[str],
    checkpoint_folder: str,
    log_folder: str,
    warm_start: str | None = None,
) -> Trained:
    """Trains the experiment's network; continues from `checkpoint_folder` where a stopped run left it.

    Args:
        attributes: their N names.
        train_files, validation_files: gzipped TFRecords of transformed examples.
        log_folder: for TensorBoard.
        warm_start: a SavedModel of components.serving to take network weights and thresholds from.
    """
    data, training = experiment.data, experiment.training
    keras.utils.set_random_seed(training.seed)
    keras.mixed_precision.set_global_policy(training.precision)
    try:
        strategy = training.strategy.build()
        steps = inputs.count_examples(train_files) // training.batch_size
        if steps == 0:
            raise ValueError(
                f"The training split has fewer images than one batch of {training.batch_size}. "
                "Give it more images or the experiment a smaller batch_size."
            )
        with strategy.scope():
            network = build_network(experiment)
            model = FaceModel(network, training.loss.build(), len(attributes))
            if warm_start:
                restore_trained(network, model.thresholds, warm_start)
            model.compile(training.optimizer.build(learning_rate=_learning_rate(training, steps)), weighted_metrics=[])
            model.build((None, *data.image_size, 3))

        validation = inputs.evaluation_examples(validation_files, data, len(attributes))
        history = History()
        callbacks = [*(callback.build() for callback in training.callbacks), history]
        for callback in callbacks:
            if isinstance(callback, AdaptiveWeighting):
                callback.set_validation(validation)
        checkpoint = EpochCheckpoint(checkpoint_folder, callbacks)
        with strategy.scope():
            first_epoch = checkpoint.restore(model)
        model.fit(
            inputs.training_batches(train_files, data, training, len(attributes), steps, first_epoch),
            validation_data=validation.batch(training.batch_size).prefetch(tf.data.AUTOTUNE),
            initial_epoch=first_epoch,
            epochs=training.epochs,
            steps_per_epoch=steps,
            callbacks=[
                *callbacks,
                checkpoint,
                keras.callbacks.TensorBoard(log_folder, write_graph=False),
                AttributeSummaries(log_folder, attributes),
                *attention_summaries(log_folder, network, validation),
                TrainingProgress(first_epoch),
            ],
            verbose=0,
        )
    finally:
        keras.mixed_precision.set_global_policy("float32")
    served = build_network(experiment)
    served.set_weights(network.get_weights())
    thresholds = tf.Variable(model.thresholds.numpy(), trainable=False, name="thresholds")
    return Trained(served, thresholds, history.epochs)


def _learning_rate(training, steps_per_epoch):
    if isinstance(training.learning_rate, Factory):
        return training.learning_rate.build(steps=steps_per_epoch * training.epochs)
    return training.learning_rate
