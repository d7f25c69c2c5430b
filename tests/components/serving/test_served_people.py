"""The exported model of attributes and clothing, what training goes on from where another network is served, and
ServingCheck on both."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from components.serving.people import ServedPeople
from components.serving.signatures import export, restore_trained, served_network
from PIL import Image
from tensorflow import keras
from trial import PICTURES, picture, png, run_check, serialized

from components.serving import replay

SIZE = (16, 16)
NAMES = {"attributes": ("Male", "Smiling", "Young"), "clothing": ("Coat", "Dress", "Jeans", "Tee")}
THRESHOLDS = (0.3, 0.5, 0.6)
BOTH = ("attributes", "clothing")


def network(outputs=BOTH, seed=0, folded=False, extra=()) -> keras.Model:
    """As if trained; `folded`: what it is served as, without its batch norm, whose moments are 0 and 1."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((*SIZE, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, use_bias=folded, name="conv")(image / 255)
    if not folded:
        x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D()(tf.nn.relu(x))
    heads = {output: len(NAMES[output]) for output in outputs} | dict.fromkeys(extra, 1)
    kernel = keras.initializers.RandomNormal(stddev=3.0, seed=seed)
    answers = {
        output: keras.layers.Dense(count, "sigmoid", kernel_initializer=kernel, name=output)(x)
        for output, count in heads.items()
    }
    return keras.Model(image, answers)


def served(trained, names=NAMES) -> ServedPeople:
    thresholds = tf.Variable(THRESHOLDS, trainable=False) if "attributes" in trained.output else None
    return ServedPeople(trained, SIZE, names, thresholds)


class Fixed(ServedPeople):
    """Answers made of the right ones by `change`."""

    def __init__(self, change):
        thresholds = tf.Variable(THRESHOLDS, trainable=False)
        super().__init__(network(), SIZE, NAMES, thresholds)
        self.change = change

    def answers(self, image_bytes, crops):
        answers = super().answers(image_bytes, crops)
        return answers | self.change(answers)


def exported(model, path):
    export(model, str(path), PICTURES[:4])
    return path


@pytest.fixture(scope="module")
def trained():
    return network()


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    return exported(served(trained), tmp_path_factory.mktemp("people") / "Format-Serving")


@pytest.fixture(scope="module")
def signatures(folder):
    return tf.saved_model.load(str(folder)).signatures


SPECS = {
    "attributes": (tf.float32, [None, 3]),
    "decisions": (tf.int64, [None, 3]),
    "clothing": (tf.float32, [None, 4]),
}


@pytest.mark.parametrize(("name", "argument"), [("serving_default", "image_bytes"), ("from_examples", "examples")])
def test_the_signatures_are_what_clients_are_told(signatures, name, argument):
    arguments, inputs = signatures[name].structured_input_signature
    assert (arguments, inputs) == ((), {argument: tf.TensorSpec([None], tf.string, argument)})
    outputs = signatures[name].structured_outputs.items()
    assert {output: (spec.dtype, spec.shape.as_list()) for output, spec in outputs} == SPECS
    assert set(signatures) == {"serving_default", "from_examples", "attribute_names", "clothing_names"}


@pytest.mark.parametrize(("output", "name"), [("attributes", "attribute_names"), ("clothing", "clothing_names")])
def test_names_are_in_the_order_of_the_outputs(signatures, output, name):
    assert tuple(each.decode() for each in signatures[name]()[name].numpy()) == NAMES[output]


def test_answers_are_the_networks_on_the_decoded_pictures(signatures, trained):
    pictures = [picture(seed, SIZE, "PNG") for seed in range(6)]  # of the network's size: nothing is resized
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(image)), np.float32) for image in pictures])
    answers = signatures["serving_default"](tf.constant(pictures))
    expected = trained(pixels, training=False)
    for output in BOTH:
        np.testing.assert_allclose(answers[output], expected[output], atol=1e-5)
        assert np.ptp(expected[output], axis=0).min() > 1e-3
    np.testing.assert_array_equal(answers["decisions"], answers["attributes"].numpy() > THRESHOLDS)
    assert set(answers["decisions"].numpy().ravel()) == {0, 1}


def test_of_a_record_with_a_crop_the_network_sees_no_more(signatures):
    """The crop is rows 10 to 29 and columns 5 to 44 of 40 x 50 pixels."""
    pixels = np.asarray(Image.open(io.BytesIO(picture(3, (50, 40), "PNG"))))
    answers = signatures["from_examples"](tf.constant([serialized(png(pixels), crop=(0.25, 0.1, 0.5, 0.8))]))
    expected = signatures["serving_default"](tf.constant([png(pixels[10:30, 5:45])]))
    for output in BOTH:
        np.testing.assert_allclose(answers[output], expected[output], atol=1e-5)


@pytest.mark.parametrize(
    ("output", "answers", "names"),
    [("attributes", {"attributes", "decisions"}, "attribute_names"), ("clothing", {"clothing"}, "clothing_names")],
)
def test_a_network_of_one_of_them(output, answers, names):
    model = served(network([output], extra=["training_only"]))
    assert set(model.signatures()) == {"serving_default", "from_examples", names}
    assert set(model.from_images(tf.constant(PICTURES[:2]))) == answers
    assert hasattr(model, "thresholds") == (output == "attributes")


def test_what_does_not_fit_the_network_is_refused(trained):
    clothing, thresholds = network(["clothing"]), tf.Variable(THRESHOLDS)
    with pytest.raises(ValueError, match=r"4 outputs for clothing, but the names are 1: \('Coat',\)"):
        ServedPeople(trained, SIZE, NAMES | {"clothing": ["Coat"]}, thresholds)
    with pytest.raises(ValueError, match=r"3 outputs for attributes, but the names are 0"):
        ServedPeople(trained, SIZE, {"clothing": NAMES["clothing"]}, thresholds)
    with pytest.raises(ValueError, match=r"thresholds have shape \(7,\), expected \(3,\): one for each attribute"):
        ServedPeople(trained, SIZE, NAMES, tf.Variable(tf.zeros(7)))
    with pytest.raises(ValueError, match=r"thresholds have shape None, expected \(3,\)"):
        ServedPeople(trained, SIZE, NAMES)
    with pytest.raises(ValueError, match=r"thresholds have shape \(3,\), expected None"):
        ServedPeople(clothing, SIZE, NAMES, thresholds)
    with pytest.raises(ValueError, match="neither attributes nor clothing, but landmarks, other"):
        ServedPeople(network([], extra=["other", "landmarks"]), SIZE, NAMES)


def test_weights_and_thresholds_come_back(folder, trained):
    other, thresholds = network(seed=1), tf.Variable(tf.zeros(3))
    restore_trained(other, str(folder), thresholds)
    np.testing.assert_allclose(thresholds, THRESHOLDS)
    for restored, weight in zip(other.weights, trained.weights, strict=True):
        np.testing.assert_array_equal(restored, weight)


@pytest.fixture(scope="module")
def folded(trained, tmp_path_factory):
    """Of a model that is served without batch norm; training has a threshold for each category too."""
    path = tmp_path_factory.mktemp("folded") / "Format-Serving"
    model = served(network(seed=2, folded=True))
    export(model, str(path), PICTURES[:4], trained=trained, thresholds=tf.Variable(np.arange(7.0, dtype=np.float32)))
    return path


def test_training_goes_on_from_what_was_trained(folded, trained):
    other, thresholds = network(seed=1), tf.Variable(tf.zeros(7))
    restore_trained(other, str(folded), thresholds)
    np.testing.assert_array_equal(thresholds, np.arange(7))
    for restored, weight in zip(other.weights, trained.weights, strict=True):
        np.testing.assert_array_equal(restored, weight)
    restore_trained(network(seed=1), str(folded))  # the thresholds may stay


def test_what_was_trained_is_kept_without_what_only_training_needs(tmp_path):
    teaching = network(extra=["teacher"])
    export(served(network(folded=True)), str(tmp_path), PICTURES[:1], trained=teaching)
    variables = dict(tf.train.list_variables(str(tmp_path / "assets.extra" / "trained" / "trained")))
    kept = sum(int(np.prod(shape)) for name, shape in variables.items() if name.startswith("network/"))
    assert kept == served_network(teaching).count_params() == teaching.count_params() - (4 + 1)
    other = network(extra=["teacher"], seed=3)
    before = other.get_layer("teacher").kernel.numpy()
    restore_trained(other, str(tmp_path))
    np.testing.assert_array_equal(other.get_layer("conv").kernel, teaching.get_layer("conv").kernel)
    np.testing.assert_array_equal(other.get_layer("teacher").kernel, before)


def test_the_network_that_is_served_is_not_what_is_restored(folded):
    with pytest.raises(ValueError, match="another architecture"):
        restore_trained(network(folded=True), str(folded))
    with pytest.raises(ValueError, match="another architecture"):
        restore_trained(network(), str(folded), tf.Variable(tf.zeros(3)))


def test_a_model_that_serves_is_blessed(folder, folded, tmp_path):
    expected = (
        "2 warm-up requests replayed, 8 records alike by both signatures, alone and together, "
        "probabilities of 4 categories of clothing"
    )
    assert run_check(folder.parent, tmp_path / "plain") == (1, expected, "INFRA_BLESSED")
    assert run_check(folded.parent, tmp_path / "folded") == (1, expected, "INFRA_BLESSED")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda answers: {"clothing": 2 - answers["clothing"]}, "probabilities of clothing are from 1"),
        (lambda answers: {"clothing": answers["clothing"] / 0}, "clothing is not finite"),
        (lambda answers: {"clothing": answers["clothing"][:, :3]}, "the names are not as many as the clothing"),
        (
            lambda answers: {"clothing": answers["clothing"] - tf.reduce_min(answers["clothing"], axis=0)},
            "a picture alone differs from the same in a batch: clothing by",
        ),
    ],
    ids=["no probabilities", "not finite", "names", "batches differ"],
)
def test_a_model_that_does_not_serve_is_not_blessed(tmp_path, change, reason):
    exported(Fixed(change), tmp_path / "model" / "Format-Serving")
    blessed, message, file = run_check(tmp_path / "model", tmp_path)
    assert (blessed, file) == (0, "INFRA_NOT_BLESSED")
    assert reason in message


def test_probabilities_of_clothing_need_not_sum_to_one():
    answers = {"clothing": tf.constant([[0.9, 0.8], [0.0, 0.1]])}
    replay._check_answers(tf, answers, [], {"clothing": 2})
