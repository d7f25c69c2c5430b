"""A trained network becomes a SavedModel, and training goes on from one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

import tensorflow as tf
from tensorflow import keras
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from components.serving.module import ServingModule, served_network
from components.systems.base import System
from components.tasks.base import Learning, serving_of

_WARMUP = os.path.join("assets.extra", "tf_serving_warmup_requests")
_CONTRACT = os.path.join("assets.extra", "contract.json")
_TRAINED = os.path.join("assets.extra", "trained", "trained")  # prefix of a checkpoint
_VERSION = 1  # of the contract's format


def serving_module(
    network: keras.Model, tasks: Mapping[str, Learning], image_size: tuple[int, int], system: System
) -> ServingModule:
    """What is exported of a trained network and its tasks, with the state that the tasks have now.

    Raises:
        ValueError: if the network's outputs are not those of the tasks.
    """
    servings = _servings(tasks)
    return ServingModule(system.served_network(network), image_size, servings, system.ONE_BY_ONE)


def export(
    module: ServingModule,
    folder: str,
    warmup_images: Sequence[bytes],
    system: System,
    trained_network: keras.Model,
) -> None:
    """Writes the SavedModel with requests that TensorFlow Serving replays when it loads it, and its contract.

    Args:
        folder: of the SavedModel.
        warmup_images: encoded images; the requests hold one alone and all together.
        system: adds signatures and assets.
        trained_network: whose weights are kept beside those of the served network, if these are others (batch norm may
            be folded), for `restore_trained`.
    """
    signatures, contracts = system.signatures(module)
    tf.saved_model.save(module, folder, signatures={**module.signatures(), **signatures})
    contract = {
        "version": _VERSION,
        "tasks": {name: serving.task.kind for name, serving in module.servings.items()},
        "signatures": {**module.contract(), **contracts},
    }
    tf.io.gfile.makedirs(os.path.join(folder, os.path.dirname(_CONTRACT)))
    with tf.io.gfile.GFile(os.path.join(folder, _CONTRACT), "w") as file:
        json.dump(contract, file, indent=1)
    with tf.io.TFRecordWriter(os.path.join(folder, _WARMUP)) as writer:
        for images in (warmup_images[:1], warmup_images):
            writer.write(_predict_request(images).SerializeToString())
    trained_weights = {weight.ref() for weight in trained_network.weights}
    if any(weight.ref() not in trained_weights for weight in module.network.weights):
        _checkpoint(trained_network, module.servings).write(os.path.join(folder, _TRAINED))
    system.write_assets(trained_network, folder)


def restore_trained(network: keras.Model, folder: str, tasks: Mapping[str, Learning]) -> None:
    """Loads the weights and the tasks' state of an exported model of the same architecture.

    What is loaded is the network as it was trained, even where it is served as another. What is not served was not
    exported: the branches of `network` that only training needs keep their weights.

    Args:
        network: gets the weights.
        folder: of the SavedModel.
        tasks: get their state (thresholds); none, to leave the state where it is.

    Raises:
        ValueError: if the exported model has other tasks, layers or shapes.
    """
    try:
        with tf.io.gfile.GFile(os.path.join(folder, _CONTRACT)) as file:
            exported = json.load(file)["tasks"]
    except tf.errors.NotFoundError as error:
        raise ValueError(
            f"The model in {folder!r} has no {_CONTRACT}: it is of an older version. Train it anew."
        ) from error
    as_trained = tf.io.gfile.exists(os.path.join(folder, f"{_TRAINED}.index"))
    prefix = _TRAINED if as_trained else os.path.join("variables", "variables")
    servings = _servings(tasks)
    try:
        if tasks and tasks.keys() != exported.keys():
            raise ValueError(f"its tasks are {', '.join(exported)}, those to train are {', '.join(tasks)}.")
        status = _checkpoint(network, servings, exported).read(os.path.join(folder, prefix))
        status.assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError) as error:
        raise ValueError(f"The model in {folder!r} has another architecture than the experiment's: {error}") from error
    for name, serving in servings.items():
        _copy_state(serving, tasks[name], serving.STATE)


def _servings(tasks):
    """By task, what is served of it, with the state that training left."""
    servings = {name: serving_of(learning.task) for name, learning in tasks.items()}
    for name, serving in servings.items():
        _copy_state(tasks[name], serving, serving.STATE)
    return servings


def _copy_state(source, target, names):
    for name in names:
        getattr(target, name).assign(getattr(source, name))


def _checkpoint(network, servings, tasks=None):
    """Of the part of a network that serves `tasks` and of the servings' state; a SavedModel has the same names."""
    return tf.train.Checkpoint(network=served_network(network, tasks or servings), servings=dict(servings))


def _predict_request(images):
    request = predict_pb2.PredictRequest(
        model_spec=model_pb2.ModelSpec(name="facetfx", signature_name="serving_default"),
        inputs={"image_bytes": tf.make_tensor_proto(list(images), tf.string)},
    )
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
