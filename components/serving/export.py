"""A trained network is written as a SavedModel, and read again to start from."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import tensorflow as tf
from tensorflow import keras
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from components.config import to_json
from components.faces.frame import Frame
from components.serving.lite import LITE, LITE_TASKS
from components.serving.module import LIMITS, ServingModule, served_part
from components.systems.base import System
from components.tasks.base import Learning, serving_of
from keras_models.folding import fold_batch_norm
from keras_models.trained_network import TrainedNetwork

_EXTRA = "assets.extra"
CONTRACT_SIGNATURE = "contract"  # gives it as text: clients of a server see no files
_AS_TEXT = {"kind": "text", "dtype": "string", "shape": [None]}
CONTRACT = os.path.join(_EXTRA, "contract.json")
_WARMUP = os.path.join(_EXTRA, "tf_serving_warmup_requests")
TRAINED = os.path.join(_EXTRA, "trained.keras")


def export(
    network: keras.Model,
    tasks: Mapping[str, Learning],
    image_size: tuple[int, int],
    system: System,
    folder: str,
    warmup_images: Sequence[bytes],
    fast: keras.Model | None = None,
    frames: Mapping[str, Frame] = MappingProxyType({}),
    lite: bytes | None = None,
    flip_average: bool = False,
) -> ServingModule:
    """Writes the SavedModel with its contract and the requests that TensorFlow Serving replays when it loads it.

    Its batch norm is folded where it can be. The trained network lies beside it as a Keras model, for whoever goes on
    with it: `restore_trained`, or `keras.models.load_model` where `keras_models` is installed.

    Args:
        network: as trained, in float32.
        tasks: by name, with the state that is served.
        image_size: (height, width) that the network takes.
        folder: of the SavedModel.
        warmup_images: encoded; the requests hold one alone and all together.
        fast: of `components.serving.precision.in_bfloat16`, served where it is faster; None for float32 alone.
        frames: by task, where its images have a face, so that photographs can be brought to that.
        lite: the network as a file of TensorFlow Lite, to lie beside; None without.
        flip_average: as ServingModule has it.

    Returns:
        What was written.
    """
    servings = []
    for task in tasks.values():
        serving = serving_of(task.task)
        for name, variable in task.state().items():
            getattr(serving, name).assign(variable.numpy())
        servings.append(serving)
    trained = served_part(network, tasks)
    served = fold_batch_norm(trained)
    module = ServingModule(served, image_size, servings, system.ONE_BY_ONE, fast, flip_average)
    signatures, contracts = system.signatures(module)
    contract = json.dumps(
        {
            "version": 1,
            "precision": "bfloat16" if fast else "float32",
            "image_size": list(image_size),
            "frames": {task: frame.to_json() for task, frame in frames.items()},
            "limits": LIMITS,
            "signatures": {**module.contract(), **contracts, CONTRACT_SIGNATURE: {CONTRACT_SIGNATURE: _AS_TEXT}},
        },
        indent=1,
    )
    said = {CONTRACT_SIGNATURE: _saying(contract)}
    tf.saved_model.save(module, folder, signatures={**module.signatures(), **signatures, **said})
    tf.io.gfile.makedirs(os.path.join(folder, _EXTRA))
    with tf.io.gfile.GFile(os.path.join(folder, CONTRACT), "w") as file:
        file.write(contract)
    with tf.io.TFRecordWriter(os.path.join(folder, _WARMUP)) as writer:
        for images in (warmup_images[:1], warmup_images):
            writer.write(_predict_request(images).SerializeToString())
    if lite is not None:
        with tf.io.gfile.GFile(os.path.join(folder, LITE), "wb") as file:
            file.write(lite)
        with tf.io.gfile.GFile(os.path.join(folder, LITE_TASKS), "w") as file:
            file.write(to_json(tuple(task.task for task in tasks.values())))
    _write_keras(trained, os.path.join(folder, TRAINED))
    system.write_assets(network, folder)
    return module


def restore_trained(network: keras.Model, folder: str, tasks: Mapping[str, Learning]) -> None:
    """Loads the weights of an exported model of the same architecture, and the tasks' state.

    What is not served was not exported: the branches of `network` that only training needs keep their weights.

    Args:
        tasks: by name; none for the weights of a network all of whose outputs are served.

    Raises:
        ValueError: if the exported network has other layers or shapes.
    """
    if not tf.io.gfile.exists(os.path.join(folder, TRAINED)):
        raise ValueError(f"The model in {folder!r} is of an earlier facetfx, without {TRAINED}: train it again.")
    try:
        _give_weights(read_keras(folder), served_part(network, tasks or network.output))
        # Of the served model: they lie there under the same names.
        read_states(folder, {name: tf.train.Checkpoint(**task.state()) for name, task in tasks.items()})
    except (AssertionError, ValueError) as error:
        raise ValueError(f"The model in {folder!r} has another architecture than the experiment's: {error}") from error


def read_states(folder: str, states: Mapping[str, tf.train.Checkpoint | tf.Module]) -> None:
    """Gives the variables of the tasks in `states`, by name, the values that the SavedModel in `folder` serves.

    Raises:
        AssertionError: if it lacks one of them.
    """
    checkpoint = tf.train.Checkpoint(servings=tf.train.Checkpoint(**states))
    variables = os.path.join(folder, "variables", "variables")
    checkpoint.read(variables).expect_partial().assert_existing_objects_matched()


def read_keras(folder: str) -> keras.Model:
    """The trained network of the SavedModel in `folder`: image [batch, H, W, 3] in [0, 255] -> its tasks' outputs.

    FileNotFoundError if it was exported without.
    """
    path = os.path.join(folder, TRAINED)
    if not tf.io.gfile.exists(path):
        raise FileNotFoundError(f"The model in {folder!r} has no {TRAINED}: train it again, or push it anew.")
    with tempfile.TemporaryDirectory() as here:
        local = os.path.join(here, "trained.keras")
        tf.io.gfile.copy(path, local)
        return keras.models.load_model(local, compile=False)


def _write_keras(network, path):
    """Keras writes to this machine's folders alone."""
    with tempfile.TemporaryDirectory() as here:
        local = os.path.join(here, "trained.keras")
        TrainedNetwork.of(network).save(local)
        tf.io.gfile.copy(local, path)


def _give_weights(source, target):
    """By their place: another build's layers have other names."""
    if len(source.weights) != len(target.weights):
        raise ValueError(f"it has {len(source.weights)} weights, the experiment's network {len(target.weights)}.")
    for ours, theirs in zip(target.weights, source.weights, strict=True):
        if ours.shape != theirs.shape:
            raise ValueError(
                f"{theirs.name} has shape {tuple(theirs.shape)}, the experiment's {ours.name} {tuple(ours.shape)}."
            )
    target.set_weights(source.get_weights())


def _saying(contract):
    """A signature that gives a text whatever it is asked; TensorFlow Serving's REST API calls none without inputs."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def said(image_bytes):
        # For each that is asked: a server that puts requests together shares the rows out again.
        return {CONTRACT_SIGNATURE: tf.fill(tf.shape(image_bytes), contract)}

    return said


def _predict_request(images):
    request = predict_pb2.PredictRequest(
        model_spec=model_pb2.ModelSpec(name="facetfx", signature_name="serving_default"),
        inputs={"image_bytes": tf.make_tensor_proto(list(images), tf.string)},
    )
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
