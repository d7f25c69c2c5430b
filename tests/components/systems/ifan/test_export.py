"""iFAN's signature of every iteration, for the evaluator."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from components.evaluator.config import ITERATIONS_SIGNATURE
from components.serving.export import restore_trained
from components.systems.ifan.system import IFANSystem
from components.tasks.annotation import points
from components.tasks.segmentation.serving import label_maps
from keras_models import IFAN
from tests.support import serving, tiny_tasks
from tests.support.serving import (
    CROPS,
    IMAGES,
    SIZE,
    answers_of,
    bound,
    exported,
    learnt,
    pixels,
    record,
    replayed,
    seen,
)

pytestmark = pytest.mark.slow

ITERATIONS = 2
TASKS = (
    bound("parsing", "segmentation", ("background", "skin", "mouth", "hair")),
    bound("landmarks", "landmarks", points(5)),
    bound("emotion", "classification", ("calm", "glad", "sad")),
    bound("attributes", "multi_label", ("Male", "Young")),
)
OUTPUTS = {task.name: len(task.names) for task in TASKS}
ANSWERS = {
    "parsing": (tf.uint8, [None, None, None]),
    "landmarks": (tf.float32, [None, 5, 2]),
    "emotion": (tf.float32, [None, 3]),
    "attributes": (tf.float32, [None, 2]),
    "attributes_decisions": (tf.int64, [None, 2]),
}
THRESHOLDS = [-0.5, 0.5]


def network(seed=0, tasks=OUTPUTS, iterations=ITERATIONS) -> keras.Model:
    """As if trained: what is 0 at first has values, so that answers depend on images and on feedback."""
    keras.utils.set_random_seed(seed)
    model = IFAN((*SIZE, 3), tasks=tasks, iterations=iterations, **tiny_tasks.SMALL)
    random = np.random.default_rng(seed)
    for task in tasks:
        kernel = model.get_layer(task).get_layer(f"{task}_logits").kernel
        kernel.assign(random.normal(0, 1, kernel.shape))
        mean = model.get_layer("initial").means[task]
        mean.assign(random.uniform(0, 1, mean.shape))
    if "parsing" in tasks:  # logits around 0, so that several classes win somewhere
        logits = model(seen(IMAGES[0]), training=False)["parsing"]
        model.get_layer("parsing").get_layer("parsing_logits").bias.assign(-tf.reduce_mean(logits, axis=(0, 1, 2)))
    return model


@pytest.fixture(scope="module")
def trained():
    return network()


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    tasks = learnt(*TASKS)
    tasks["attributes"].thresholds.assign(THRESHOLDS)
    return exported(trained, tasks, tmp_path_factory.mktemp("ifan") / "model", IFANSystem(), IMAGES[:2])


@pytest.fixture(scope="module")
def signatures(folder):
    return tf.saved_model.load(str(folder)).signatures


@pytest.fixture(scope="module")
def iterated(signatures):
    return answers_of(signatures[ITERATIONS_SIGNATURE], *map(record, IMAGES))


def test_the_signature_is_what_the_evaluator_is_told(signatures):
    assert set(signatures) == {"serving_default", "from_examples", "contract", ITERATIONS_SIGNATURE}
    signature = signatures[ITERATIONS_SIGNATURE]
    assert signature.structured_input_signature == ((), {"examples": tf.TensorSpec([None], tf.string, "examples")})
    numbered = {f"{name}_iter{i}": spec for name, spec in ANSWERS.items() for i in range(ITERATIONS + 1)}
    assert serving.specs(signature) == ANSWERS | numbered


def test_answers_at_each_iteration_are_the_networks(trained, iterated):
    for i, image in enumerate(IMAGES):
        height, width = pixels(image).shape[:2]
        outputs = trained(seen(image), training=False)
        for suffix in (f"_iter{iteration}" for iteration in range(ITERATIONS + 1)):
            said = {task: outputs[task + suffix][0].numpy() for task in OUTPUTS}
            answers = {name: iterated[name + suffix][i] for name in ANSWERS}
            np.testing.assert_allclose(answers["landmarks"].ravel(), said["landmarks"], atol=1e-5)
            np.testing.assert_allclose(answers["attributes"], said["attributes"], atol=1e-4)
            np.testing.assert_array_equal(answers["attributes_decisions"], answers["attributes"] > THRESHOLDS)
            exponentials = np.exp(said["emotion"] - said["emotion"].max())
            np.testing.assert_allclose(answers["emotion"], exponentials / exponentials.sum(), atol=1e-5)
            labels = label_maps(outputs[f"parsing{suffix}"], (height, width))[0]
            assert np.mean(answers["parsing"][:height, :width] == labels) > 0.999


def test_the_test_would_see_an_iteration_for_another(iterated):
    for task in OUTPUTS:
        for iteration in range(ITERATIONS):
            assert not np.array_equal(iterated[f"{task}_iter{iteration}"], iterated[f"{task}_iter{iteration + 1}"])
    assert len(np.unique(iterated["parsing"])) > 3, "a map of one class shows little"
    assert set(iterated["attributes_decisions"].ravel()) == {0, 1}
    assert np.ptp(iterated["landmarks"], axis=0).min() > 0.01


def test_what_is_served_is_the_last_iterations(signatures, iterated):
    examples = answers_of(signatures["from_examples"], *map(record, IMAGES))
    assert examples.keys() == ANSWERS.keys()
    for name in ANSWERS:
        np.testing.assert_array_equal(iterated[name], iterated[f"{name}_iter{ITERATIONS}"])
        np.testing.assert_allclose(examples[name], iterated[name], atol=1e-5)


def test_at_each_iteration_points_and_labels_are_of_the_uncropped_image(signatures):
    """The crop is rows 10 to 29 and columns 5 to 44 of 40 x 50 pixels."""
    whole = pixels(serving.image(4, (50, 40), "PNG"))
    crop = (0.25, 0.1, 0.5, 0.8)
    signature = signatures[ITERATIONS_SIGNATURE]
    cropped = answers_of(signature, record(serving.png(whole), crop))
    alone = answers_of(signature, record(serving.png(whole[10:30, 5:45])))
    for name, values in cropped.items():
        expected = alone[name]
        if name.startswith("parsing"):
            expected = np.pad(expected, [(0, 0), (10, 10), (5, 5)])
        elif name.startswith("landmarks"):
            expected = expected * (0.8, 0.5) + (0.1, 0.25)
        np.testing.assert_allclose(values, expected, atol=1e-5, err_msg=name)


def test_it_serves(folder):
    message = replayed(folder, crops=CROPS)
    assert message.startswith(
        "2 warm-up requests replayed, 8 records alike by both signatures, alone and together, 5 of"
    )
    assert message.endswith(f"keep to the contract; so do {ITERATIONS_SIGNATURE}")


def test_without_feedback_there_is_an_iteration_the_first():
    """Whichever tasks there are."""
    module = serving.served(network(tasks={"emotion": 3}, iterations=0), TASKS[2], one_by_one=IFANSystem.ONE_BY_ONE)
    signatures, contracts = IFANSystem().signatures(module)
    answers = answers_of(signatures[ITERATIONS_SIGNATURE], record(IMAGES[0]))
    assert answers.keys() == contracts[ITERATIONS_SIGNATURE].keys() - {"image_status"} == {"emotion", "emotion_iter0"}
    np.testing.assert_array_equal(answers["emotion"], answers["emotion_iter0"])


def test_weights_come_back_with_all_that_leads_to_answers(folder, trained):
    other, tasks = network(seed=1), learnt(*TASKS)
    restore_trained(other, str(folder), tasks)
    np.testing.assert_array_equal(tasks["attributes"].thresholds, THRESHOLDS)
    for weight, expected in zip(other.weights, trained.weights, strict=True):
        np.testing.assert_array_equal(weight, expected, err_msg=weight.name)
    with pytest.raises(ValueError, match="another architecture"):
        restore_trained(network(tasks={"emotion": 3}), str(folder), learnt(TASKS[2]))
