"""Networks as TensorFlow Lite answer as they do; what can't be one says so."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from components.config import LITE_PRECISIONS
from components.serving.lite import convert, lite_network
from components.serving.module import served_network
from pipeline import experiments

pytestmark = pytest.mark.slow
# Of grouped convolutions and of graphs; the others' operations are convolutions, batch norm and products, and iFAN's
# takes most of a minute.
PECULIAR = {
    "mgg_net/synthetic": {"backbone": "resnet10", "backbone_width": 4},
    "dml_csr/synthetic": {"backbone_width": 4, "head_width": 16},
}


@pytest.mark.parametrize("name", PECULIAR)
def test_the_systems_networks_answer_alike(name):
    experiment = experiments.get(name)
    keras.utils.set_random_seed(0)
    model = replace(experiment.model, kwargs={**experiment.model.kwargs, **PECULIAR[name]})
    size = (33, 33)
    network = served_network(model.build(input_shape=(*size, 3)), [task.name for task in experiment.tasks])
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3)).astype(np.float32)
    found = lite_network(convert(network, size, "float32"))(images)
    expected = network(images, training=False)
    assert found.keys() == expected.keys()
    for output, values in expected.items():
        scale = np.abs(values).max()
        np.testing.assert_allclose(found[output], values, rtol=0, atol=1e-3 * scale)


def _small(side=32):
    image = keras.Input((side, side, 3), name="image")
    features = keras.layers.Conv2D(64, 3, activation="relu")(image / 255)
    features = keras.layers.Conv2D(64, 3, activation="relu")(features)
    return keras.Model(image, {"smile": keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(features))})


def test_smaller_weights_make_a_smaller_file_that_answers_nearly_alike():
    keras.utils.set_random_seed(1)
    network = _small()
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3)).astype(np.float32)
    expected = network(images)["smile"]
    files = {precision: convert(network, (32, 32), precision) for precision in LITE_PRECISIONS}
    assert len(files["float32"]) > 1.8 * len(files["float16"]) > 3 * len(files["int8"])
    for precision, file in files.items():
        found = lite_network(file)(images)["smile"]
        tolerance = {"float32": 1e-5, "float16": 1e-3, "int8": 5e-2}[precision] * np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def test_a_network_of_any_size_has_one_in_the_file():
    keras.utils.set_random_seed(2)
    network = _small(side=None)
    found = lite_network(convert(network, (24, 16), "float32"))(np.full((2, 24, 16, 3), 9, np.float32))
    np.testing.assert_allclose(found["smile"], network(np.full((2, 24, 16, 3), 9.0))["smile"], atol=1e-5)


def test_an_operation_that_is_missing_is_named():
    image = keras.Input((8, 8, 3))
    network = keras.Model(image, {"x": keras.layers.Lambda(tf.linalg.svd)(image)[0]})
    with pytest.raises(ValueError, match=r"TensorFlow Lite can't express this network: .*[Ss]vd"):
        convert(network, (8, 8), "float32")
