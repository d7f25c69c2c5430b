"""Serving in bfloat16: what decides, what is compared, and what lies in the SavedModel."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from components.serving import bfloat16
from components.serving.bfloat16 import FasterInBFloat16
from components.serving.precision import alike, figures, in_bfloat16, keras_policy
from keras_models import MultiTaskNetwork
from tests.support import serving
from tests.support.serving import IMAGES, SIZE, answers_of, bound, exported, learnt, replayed, seen

TASKS = (bound("attributes", "multi_label", "ABC"), bound("parsing", "segmentation", ("skin", "hair", "nose")))


def build():
    return MultiTaskNetwork((*SIZE, 3), {"attributes": 3, "parsing": 3}, ["parsing"], "resnet10", 4, map_width=8)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return build()


@pytest.fixture(scope="module")
def fast(network):
    return in_bfloat16(network, build, learnt(*TASKS))


@pytest.fixture(scope="module")
def folder(network, fast, tmp_path_factory):
    return exported(network, learnt(*TASKS), tmp_path_factory.mktemp("model") / "Format-Serving", fast=fast)


def decide(monkeypatch, faster):
    """Has the processor be faster in bfloat16, or not."""
    seconds = {tf.bfloat16: 1.0 if faster else 3.0, tf.float32: 2.0}
    monkeypatch.setattr(bfloat16, "_seconds", lambda dtype: tf.constant(seconds[dtype]))


def test_a_convolution_takes_time():
    for dtype in (tf.float32, tf.bfloat16):
        assert 1e-5 < float(bfloat16._seconds(dtype)) < 60


@pytest.mark.parametrize("faster", [True, False])
def test_the_processor_decides(faster, monkeypatch):
    decide(monkeypatch, faster)
    assert bool(FasterInBFloat16()()) is faster


def test_the_network_in_bfloat16_has_the_same_weights_and_half_their_size(network, fast):
    folded = [weight for weight in fast.weights if weight.name.startswith("conv1_conv")]
    assert [weight.dtype for weight in folded] == [tf.bfloat16] * 2
    assert keras.mixed_precision.global_policy().name == "float32"
    image = seen(IMAGES[0])
    expected, answers = network(image, training=False), fast(image, training=False)
    for name, values in expected.items():
        assert answers[name].dtype == tf.float32
        assert 0 < np.abs(answers[name] - values).max() < 0.05 * np.abs(values).max()


def test_a_model_is_measured_again_where_it_is_loaded(folder, network):
    assert "Timestamp" in serving.operations(folder)
    loaded = tf.saved_model.load(str(folder))
    answers = {}
    for faster in (True, False):
        tf.raw_ops.AssignVariableOp(resource=loaded._fast_here.resource_handle, value=tf.constant(faster))
        answers[faster] = answers_of(loaded.signatures["serving_default"], IMAGES[5])["attributes"]
    exact = network(seen(IMAGES[5]), training=False)["attributes"].numpy()
    np.testing.assert_allclose(answers[False], exact, rtol=1e-5, atol=1e-5)
    assert 1e-4 < np.abs(answers[True] - exact).max() < 0.05 * np.abs(exact).max()


def test_it_serves(folder):
    assert json.loads((folder / "assets.extra" / "contract.json").read_text())["precision"] == "bfloat16"
    assert "parsing (label_map) keep to the contract" in replayed(folder)


def test_figures_of_a_split():
    """Worked by hand: of 2 x 2 answers of yes or no three are right."""
    image = keras.Input((1, 1, 2))
    model = keras.Model(image, {"attributes": keras.layers.Flatten()(image)})
    tasks = learnt(bound("attributes", "multi_label", "AB"))
    images = np.array([[1, -1], [2, 2]], np.float32).reshape(2, 1, 1, 2)
    labels = {"attributes": np.array([[1, 0], [1, 0]])}
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(1)
    assert figures(model, tasks, batches) == {"attributes_accuracy": 0.75}
    assert figures(model, tasks, batches) == {"attributes_accuracy": 0.75}, "a second time"


@pytest.mark.parametrize(
    ("exact", "other", "expected"),
    [(0.7, 0.7009, True), (0.7, 0.6991, True), (0.7, 0.6989, False), (5.0, 5.004, True), (5.0, 5.006, False)],
)
def test_figures_that_are_alike(exact, other, expected):
    assert alike({"f": exact, "g": 1.0}, {"f": other, "g": 1.0}) is expected


def test_the_policy_is_float32_again_after_an_error():
    with pytest.raises(ValueError), keras_policy("bfloat16"):
        raise ValueError
    assert keras.mixed_precision.global_policy().name == "float32"
