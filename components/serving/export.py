"""A trained network is written as a SavedModel, and read again to start from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import tensorflow as tf
from tensorflow import keras
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from components.faces.frame import Frame
from components.serving.module import ServingModule, served_part, weights_by_place
from components.systems.base import System
from components.tasks.base import Learning, serving_of
from keras_models.folding import fold_batch_norm

_EXTRA = "assets.extra"
CONTRACT_SIGNATURE = "contract"  # gives it as text: clients of a server see no files
_AS_TEXT = {"kind": "text", "dtype": "string", "shape": [None]}
CONTRACT = os.path.join(_EXTRA, "contract.json")
_WARMUP = os.path.join(_EXTRA, "tf_serving_warmup_requests")
_TRAINED = os.path.join(_EXTRA, "trained", "trained")  # prefix of a checkpoint


def export(
    network: keras.Model,
    tasks: Mapping[str, Learning],
    image_size: tuple[int, int],
    system: System,
    folder: str,
    warmup_images: Sequence[bytes],
    fast: keras.Model | None = None,
    frames: Mapping[str, Frame] = MappingProxyType({}),
) -> ServingModule:
    """Writes the SavedModel with its contract and the requests that TensorFlow Serving replays when it loads it.

    Its batch norm is folded where it can be. Then the trained network lies beside it as a checkpoint, for
    `restore_trained`.

    Args:
        network: as trained, in float32.
        tasks: by name, with the state that is served.
        image_size: (height, width) that the network takes.
        folder: of the SavedModel.
        warmup_images: encoded; the requests hold one alone and all together.
        fast: of `components.serving.precision.in_bfloat16`, served where it is faster; None for float32 alone.
        frames: by task, where its images have a face, so that photographs can be brought to that.

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
    module = ServingModule(served, image_size, servings, system.ONE_BY_ONE, fast)
    signatures, contracts = system.signatures(module)
    contract = json.dumps(
        {
            "version": 1,
            "precision": "bfloat16" if fast else "float32",
            "image_size": list(image_size),
            "frames": {task: frame.to_json() for task, frame in frames.items()},
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
    if served is not trained:
        _checkpoint(network, tasks).write(os.path.join(folder, _TRAINED))
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
    as_trained = tf.io.gfile.exists(os.path.join(folder, f"{_TRAINED}.index"))
    path = os.path.join(folder, _TRAINED if as_trained else os.path.join("variables", "variables"))
    checkpoint = _checkpoint(network, tasks)
    try:
        checkpoint.read(path).expect_partial().assert_existing_objects_matched()
        exported = sum(name.startswith("weights/") for name, _ in tf.train.list_variables(path))
        if exported != len(checkpoint.weights):
            raise ValueError(f"it has {exported} weights, the experiment's network {len(checkpoint.weights)}.")
    except (AssertionError, ValueError) as error:
        raise ValueError(f"The model in {folder!r} has another architecture than the experiment's: {error}") from error


def _checkpoint(network, tasks):
    """Of a network's served part and the tasks' state: in a SavedModel they lie under the same names."""
    states = {name: tf.train.Checkpoint(**task.state()) for name, task in tasks.items() if task.state()}
    parts = {"servings": tf.train.Checkpoint(**states)} if states else {}
    weights = weights_by_place(served_part(network, tasks or network.output))
    return tf.train.Checkpoint(weights=weights, **parts)


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
