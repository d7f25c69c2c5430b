"""What lies in the SavedModel: signatures, contract, warm-up requests, and what a training starts from."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from components.faces.frame import Frame
from components.images.status import WORDS
from components.serving.export import read_keras, restore_trained
from components.systems.base import System
from components.tasks.annotation import points
from tests.support import serving
from tests.support.serving import IMAGES, SIZE, answers_of, bound, exported, learnt

NAMES = {"attributes": ("Male", "Smiling", "Young"), "clothing": ("Coat", "Dress")}
TASKS = (
    bound("attributes", "multi_label", NAMES["attributes"], scores="probabilities"),
    bound("clothing", "classification", NAMES["clothing"], scores="probabilities"),
    bound("landmarks", "landmarks", points(2)),
    bound("age", "regression", scale=50.0),
)
FRAME = Frame(0.8, ((0.7, 0.5), (0.6, 0.5), (0.3, 0.5), (0.4, 0.5), (0.5, 0.7)))
THRESHOLDS = np.array([0.25, 0.5, 0.625], np.float32)


def small_network(seed=0, attributes=3, teacher=False, norm=True, filters=4) -> keras.Model:
    """As if trained; without `norm` nothing can be folded."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((*SIZE, 3))
    x = keras.layers.Conv2D(filters, 3, strides=2, use_bias=not norm, name="conv")(image / 255)
    if norm:
        moments = {"moving_mean_initializer": keras.initializers.RandomUniform(-0.5, 0.5, seed)}
        x = keras.layers.BatchNormalization(name="norm", **moments)(x)
    x = keras.layers.GlobalAveragePooling2D()(tf.nn.relu(x))
    heads = {
        "attributes": (attributes, "sigmoid"),
        "clothing": (2, "sigmoid"),
        "landmarks": (4, None),
        "age": (1, None),
    }
    if teacher:
        heads["teacher"] = (1, None)
    kernel = keras.initializers.RandomNormal(stddev=3.0, seed=seed)
    layers = {
        name: keras.layers.Dense(units, activation, kernel_initializer=kernel, name=name)
        for name, (units, activation) in heads.items()
    }
    return keras.Model(image, {name: layer(x) for name, layer in layers.items()})


class Writing(System):
    """Leaves a file."""

    def write_assets(self, network, folder):
        with tf.io.gfile.GFile(f"{folder}/assets.extra/layers.txt", "w") as file:
            file.write(" ".join(layer.name for layer in network.layers if layer.weights))


def trained_tasks():
    tasks = learnt(*TASKS)
    tasks["attributes"].thresholds.assign(THRESHOLDS)
    return tasks


@pytest.fixture(scope="module")
def trained():
    return small_network(teacher=True)


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "Format-Serving"
    return exported(trained, trained_tasks(), folder, frames={"landmarks": FRAME})


@pytest.fixture(scope="module")
def plain():
    return small_network(teacher=True, norm=False)


@pytest.fixture(scope="module")
def plain_folder(plain, tmp_path_factory):
    return exported(plain, trained_tasks(), tmp_path_factory.mktemp("plain") / "Format-Serving", Writing())


@pytest.fixture(scope="module")
def signatures(folder):
    return tf.saved_model.load(str(folder)).signatures


@pytest.mark.parametrize(("name", "argument"), [("serving_default", "image_bytes"), ("from_examples", "examples")])
def test_the_signatures_are_what_clients_are_told(signatures, name, argument):
    assert signatures[name].structured_input_signature == ((), {argument: tf.TensorSpec([None], tf.string, argument)})
    assert serving.specs(signatures[name]) == {
        "attributes": (tf.float32, [None, 3]),
        "attributes_decisions": (tf.int64, [None, 3]),
        "clothing": (tf.float32, [None, 2]),
        "landmarks": (tf.float32, [None, 2, 2]),
        "age": (tf.float32, [None]),
    }


def test_there_are_no_others_but_the_contract_s(signatures):
    assert set(signatures) == {"serving_default", "from_examples", "contract"}


def test_the_contract(folder, signatures):
    text = (folder / "assets.extra" / "contract.json").read_text()
    # TensorFlow Serving's REST API calls no signature without inputs.
    assert signatures["contract"].structured_input_signature[1].keys() == {"image_bytes"}
    assert signatures["contract"](tf.constant(["", ""]))["contract"].numpy().tolist() == [text.encode()] * 2
    contract = json.loads(text)
    assert contract["limits"] == {
        "bytes": 2**25, "pixels": 2**25, "side": 2**14, "label_map_pixels_of_a_request": 2**27,
    }  # fmt: skip
    assert contract["image_size"] == list(SIZE) and contract["frames"] == {"landmarks": FRAME.to_json()}
    assert contract["version"] == 1 and contract["signatures"].keys() == signatures.keys()
    attributes = {"shape": [None, 3], "names": list(NAMES["attributes"])}
    clothing = {"shape": [None, 2], "names": list(NAMES["clothing"])}
    outputs = {
        "attributes": {"kind": "probabilities", "dtype": "float32", "minimum": 0, "maximum": 1, **attributes},
        "attributes_decisions": {
            "kind": "decisions",
            "dtype": "int64",
            "minimum": 0,
            "maximum": 1,
            "thresholds": THRESHOLDS.tolist(),
            **attributes,
        },
        "clothing": {
            "kind": "probabilities",
            "dtype": "float32",
            "minimum": 0,
            "maximum": 1,
            "sums_to_one": False,
            **clothing,
        },
        "landmarks": {"kind": "points", "dtype": "float32", "shape": [None, 2, 2], "names": ["1", "2"]},
        "age": {"kind": "number", "dtype": "float32", "shape": [None], "scale": 50.0},
    }
    status = contract["signatures"]["serving_default"].pop("image_status")
    assert contract["signatures"]["from_examples"].pop("image_status") == status
    assert status["codes"] == {str(int(code)): words for code, words in WORDS.items()}
    assert contract["signatures"]["serving_default"] == contract["signatures"]["from_examples"] == outputs
    assert contract["signatures"]["contract"] == {"contract": {"kind": "text", "dtype": "string", "shape": [None]}}


def test_answers_are_the_trained_networks_at_its_thresholds(signatures, trained):
    answers = answers_of(signatures["serving_default"], *IMAGES)
    said = trained(tf.concat([serving.seen(image) for image in IMAGES], axis=0), training=False)
    for name in ("attributes", "clothing"):
        np.testing.assert_allclose(answers[name], said[name], atol=1e-5)
        assert np.ptp(answers[name], axis=0).min() > 1e-3
    np.testing.assert_array_equal(answers["attributes_decisions"], answers["attributes"] > THRESHOLDS)


def test_warm_up_requests_are_what_tensorflow_serving_replays(folder):
    file = folder / "assets.extra" / "tf_serving_warmup_requests"
    logs = [prediction_log_pb2.PredictionLog.FromString(e.numpy()) for e in tf.data.TFRecordDataset(str(file))]
    requests = [log.predict_log.request for log in logs]
    sent = [tf.make_ndarray(request.inputs["image_bytes"]).tolist() for request in requests]
    assert sent == [IMAGES[:1], IMAGES[:4]]
    assert {request.model_spec.signature_name for request in requests} == {"serving_default"}


def exported_weights(prefix):
    """How many weights of the network lie in a checkpoint."""
    variables = dict(tf.train.list_variables(str(prefix)))
    return sum(int(np.prod(shape)) for name, shape in variables.items() if name.startswith("weights/"))


def test_what_only_training_needs_is_not_exported(folder, plain_folder, trained, plain):
    teacher = 4 + 1
    assert exported_weights(plain_folder / "variables" / "variables") == plain.count_params() - teacher
    assert b"teacher" not in (folder / "saved_model.pb").read_bytes()
    assert read_keras(str(folder)).count_params() == trained.count_params() - teacher


def test_batch_norm_is_folded_and_what_was_trained_lies_beside(folder, plain_folder, plain):
    assert exported_weights(folder / "variables" / "variables") == plain.count_params() - (4 + 1)
    operations = serving.operations(folder)
    assert "Conv2D" in operations and not [name for name in operations if "BatchNorm" in name or name == "Rsqrt"]
    assert any(isinstance(layer, keras.layers.BatchNormalization) for layer in read_keras(str(folder)).layers)


def test_a_systems_files_lie_beside(plain_folder):
    layers = (plain_folder / "assets.extra" / "layers.txt").read_text().split()
    assert set(layers) == {"conv", "attributes", "clothing", "landmarks", "age", "teacher"}, "of the trained network"


def test_the_keras_model_answers_as_it_was_trained(folder, trained):
    image = tf.concat([serving.seen(image) for image in IMAGES], axis=0)
    answers, expected = read_keras(str(folder))(image, training=False), trained(image, training=False)
    assert answers.keys() == set(expected) - {"teacher"}
    for name, values in answers.items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


@pytest.mark.parametrize("which", ["folder", "plain_folder"])
def test_weights_and_thresholds_come_back(which, request):
    norm = which == "folder"
    trained = request.getfixturevalue("trained" if norm else "plain")
    other, tasks = small_network(seed=1, teacher=True, norm=norm), learnt(*TASKS)
    before = {weight.name: weight.numpy() for weight in other.weights}
    restore_trained(other, str(request.getfixturevalue(which)), tasks)
    np.testing.assert_array_equal(tasks["attributes"].thresholds, THRESHOLDS)
    for weight, expected in zip(other.weights, trained.weights, strict=True):
        kept = "teacher" in weight.name
        np.testing.assert_array_equal(weight, before[weight.name] if kept else expected, err_msg=weight.name)
    assert not np.array_equal(other.get_layer("teacher").kernel, trained.get_layer("teacher").kernel)


def test_without_tasks_the_weights_alone_come_back(folder, trained):
    other = small_network(seed=1)  # all of whose outputs are served
    restore_trained(other, str(folder), {})
    np.testing.assert_array_equal(other.get_layer("conv").kernel, trained.get_layer("conv").kernel)


@pytest.mark.parametrize(
    ("which", "made"),
    [
        ("folder", {"filters": 5}),
        ("folder", {"attributes": 4}),
        ("folder", {"norm": False}),
        ("plain_folder", {"norm": True}),
    ],
    ids=["architecture", "attributes", "what is served", "layers"],
)
def test_another_network_is_refused(which, made, request):
    path = str(request.getfixturevalue(which))
    tasks = learnt(bound("attributes", "multi_label", "ABCD"), *TASKS[1:]) if "attributes" in made else learnt(*TASKS)
    with pytest.raises(ValueError, match=f"model in '{path}' has another architecture than the experiment's"):
        restore_trained(small_network(**made), path, tasks)


def test_a_network_with_more_outputs_is_refused(folder):
    """Those behind the one that is left out have other places."""
    tasks = learnt(*(task for task in TASKS if task.name != "clothing"))
    with pytest.raises(ValueError, match="another architecture"):
        restore_trained(small_network(), str(folder), tasks)
    tasks = learnt(*(task for task in TASKS if task.name != "landmarks"))  # the last: all others find their weights
    with pytest.raises(ValueError, match="it has 13 weights, the experiment's network 11"):
        restore_trained(small_network(), str(folder), tasks)


def test_layers_are_not_saved_as_keras_saves_them(folder):
    """With a trace of each, which takes most of the time to write and to load."""
    program = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    nodes = program.meta_graphs[0].object_graph_def.nodes
    assert nodes and not [node for node in nodes if node.user_object.identifier.startswith("_tf_keras")]
    assert {"0.kernel", "1.bias", "9.bias"} < set(tf.saved_model.load(str(folder)).weights)


def test_other_attributes_are_refused(folder):
    """Their thresholds alone are not as many."""
    with pytest.raises(ValueError, match="another architecture"):
        restore_trained(small_network(), str(folder), learnt(bound("attributes", "multi_label", "AB"), *TASKS[1:]))


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=rf"{tmp_path}/none' is of an earlier facetfx, without .*trained.keras"):
        restore_trained(small_network(), str(tmp_path / "none"), learnt(*TASKS))
