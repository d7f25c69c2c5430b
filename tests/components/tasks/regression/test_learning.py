"""Huber loss, absolute error and mean of one number an image, worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from components.config import Task
from components.tasks.annotation import Annotation, BoundTask
from components.tasks.base import mean_loss
from components.tasks.regression.learning import Learning
from tests.support.learning import assert_counts_nowhere, mean_of_batches

NAN = float("nan")
# Errors of 0.5 and 3 years; the third is not annotated.
AGES = {"age": tf.constant([20.0, 30.0, NAN])}
FOUND = tf.constant([[20.5], [27.0], [99.0]])


def _learning(**options):
    return Learning(BoundTask(Task("age", "regression", options), Annotation("regression"), "tiny"), (1, 1))


def test_its_slope_is_the_error_and_no_more_than_delta():
    errors = tf.Variable([[0.0], [0.5], [-1.0], [1.999], [2.001], [-7.0]])
    with tf.GradientTape() as tape:
        total, _ = _learning(delta=2.0).loss({"age": tf.zeros([6])}, errors)
    assert float(total) == pytest.approx(0.125 + 0.5 + 1.999**2 / 2 + 2 * (2.001 - 1) + 2 * (7 - 1))
    np.testing.assert_allclose(tape.gradient(total, errors)[:, 0], [0, 0.5, -1, 1.999, 2, -2])


@pytest.mark.parametrize(
    ("options", "found", "losses"),
    [
        ({}, FOUND, (0.125, 2.5)),  # linear beyond 1
        ({"delta": 10.0}, FOUND, (0.125, 4.5)),
        ({"delta": 0.25}, FOUND, (0.25 * 0.375, 0.25 * 2.875)),
        # In units of ten years 0.05 and 0.3; linear beyond 10 years, which is 1, and beyond 2, which is 0.2.
        ({"scale": 10.0}, FOUND / 10, (0.05**2 / 2, 0.3**2 / 2)),
        ({"scale": 10.0, "delta": 2.0}, FOUND / 10, (0.05**2 / 2, 0.2 * 0.2)),
    ],
)
def test_loss(options, found, losses):
    learning = _learning(**options)
    total, count = both = learning.loss(AGES, found)
    assert (total.shape, float(count)) == ((), 2)
    assert float(total) == pytest.approx(sum(losses), rel=1e-5)
    assert float(mean_loss(learning, both)) == pytest.approx(sum(losses) / 2, rel=1e-5)


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_validation_is_in_the_labels_unit(scale):
    learning = _learning(scale=scale)
    assert learning.figure == "age_mean_absolute_error" and not learning.higher_is_better and learning.channels == 1
    learning.update(AGES, FOUND / scale, None)
    assert float(learning.metric.result()) == pytest.approx((0.5 + 3) / 2, rel=1e-5)
    learning.update({"age": tf.constant([40.0])}, tf.constant([[41.0]]) / scale, None)
    assert float(learning.metric.result()) == pytest.approx((0.5 + 3 + 1) / 3, rel=1e-5)


def test_mean_target_is_what_the_network_would_give():
    ages = np.array([20, NAN, 30, 70], np.float32)
    np.testing.assert_allclose(mean_of_batches(_learning(scale=10.0), ages[:2], ages[2:]), [4.0])


@pytest.mark.parametrize("options", [{}, {"scale": 10.0}])
def test_what_is_not_annotated_counts_nowhere(options):
    assert_counts_nowhere(_learning(**options), tf.fill([2], NAN), tf.constant([[1.0], [50.0]]))


def test_beside_what_is_not_annotated_gradients_are_numbers():
    learning, found = _learning(), tf.Variable(FOUND)
    with tf.GradientTape() as tape:
        total, _ = learning.loss(AGES, found)
    np.testing.assert_allclose(tape.gradient(total, found), [[0.5], [-1], [0]])
