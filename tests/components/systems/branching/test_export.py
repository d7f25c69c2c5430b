"""A branching network is served without batch norm, and trained on from what was trained."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from components.serving.export import read_keras, restore_trained
from components.systems.branching.system import BranchingSystem
from components.systems.branching.tree_file import read_tree
from keras_models import ThinVGG16
from keras_models.folding import fold_batch_norm
from tests.support.serving import IMAGES, SIZE, answers_of, bound, exported, learnt, replayed, seen

TASKS = (
    bound("attributes", "multi_label", "AB", scores="probabilities"),
    bound("clothing", "classification", "cde", scores="probabilities"),
)


def network(seed=0) -> keras.Model:
    """As if trained: its batch norm has seen images."""
    keras.utils.set_random_seed(seed)
    model = ThinVGG16((*SIZE, 3), 4, 5, outputs={"attributes": 2, "clothing": 3})
    random = np.random.default_rng(seed)
    for weight in model.weights:
        if "moving" in weight.name or "gamma" in weight.name:
            weight.assign(random.uniform(0.5, 1.5, weight.shape))
    return model


@pytest.fixture(scope="module")
def trained():
    return network()


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    tasks = learnt(*TASKS)
    tasks["attributes"].thresholds.assign([0.25, 0.75])
    return exported(trained, tasks, tmp_path_factory.mktemp("branching") / "model", BranchingSystem())


def test_what_is_served_has_no_batch_norm_and_the_same_answers(folder, trained):
    served = dict(tf.train.list_variables(str(folder / "variables" / "variables")))
    assert any("moving_variance" in weight.name for weight in read_keras(str(folder)).weights)
    assert not any("moving_variance" in name for name in served)
    answers = answers_of(tf.saved_model.load(str(folder)).signatures["serving_default"], *IMAGES)
    said = trained(tf.concat([seen(image) for image in IMAGES], axis=0), training=False)
    for name, output in said.items():
        np.testing.assert_allclose(answers[name], output, atol=1e-5)


def test_it_serves(folder):
    assert replayed(folder).endswith("clothing (probabilities) keep to the contract")


def test_its_tree_lies_beside_it(folder, trained):
    assert read_tree(str(folder)) == trained.tree


def test_training_goes_on_from_what_was_trained(folder, trained):
    other, tasks = network(seed=1), learnt(*TASKS)
    restore_trained(other, str(folder), tasks)
    np.testing.assert_array_equal(tasks["attributes"].thresholds, [0.25, 0.75])
    for weight, expected in zip(other.weights, trained.weights, strict=True):
        np.testing.assert_array_equal(weight, expected, err_msg=weight.name)
    with pytest.raises(ValueError, match="another architecture"):
        restore_trained(fold_batch_norm(other), str(folder), tasks)
