"""DMM-CNN's joint loss, worked out by hand."""

import pytest
import tensorflow as tf

from components.systems.dmm_cnn.loss import DMMLoss
from components.tasks.base import learning_of
from tests.support import tiny_faces

# Two images; the second has no landmarks, and of its attributes the first alone.
LABELS = {
    "attributes": tf.constant([[1, 0, 0, 0, 0, 0], [0, -1, -1, -1, -1, -1]], tf.int64),
    "landmarks": tf.constant([[0.5] * 10, [float("nan")] * 10]),
}
OUTPUTS = {
    "attributes": tf.constant([[0.5, 0.0, -1, -1, -1, -1], [0.0, 9, 9, 9, 9, 9]]),
    "landmarks": tf.constant([[0.5] * 8 + [0.7, 0.8], [0.1] * 10]),
}
# Of attribute 0 the mean of 0.5² and 1², of attribute 1 1², of the others 0; of landmarks 0.2² + 0.3².
ATTRIBUTE_LOSSES, LANDMARK_LOSS = [0.625, 1.0, 0, 0, 0, 0], 0.13


def _loss(*tasks):
    objective = DMMLoss(beta=3.0)
    objective.bind({task.name: learning_of(task, (32, 32)) for task in tiny_faces.bound(*tasks)})
    return objective


def test_the_loss_is_equation_3():
    objective = _loss(tiny_faces.SIGNED, tiny_faces.LANDMARKS)
    objective.tasks["attributes"].weights.assign([2.0, 5.0, 1, 1, 1, 1])
    terms = objective(LABELS, OUTPUTS)
    assert float(terms["loss"]) == pytest.approx(2 * 0.625 + 5 * 1 + 3 * 0.13, rel=1e-5)
    assert float(terms["attribute_loss"]) == pytest.approx(sum(ATTRIBUTE_LOSSES) / 6, rel=1e-5)
    assert float(terms["landmark_loss"]) == pytest.approx(LANDMARK_LOSS, rel=1e-5)
    assert set(terms) == set(DMMLoss.TERMS)


def test_without_landmarks_it_is_the_attribute_part():
    terms = _loss(tiny_faces.SIGNED)(LABELS, OUTPUTS)
    assert float(terms["loss"]) == pytest.approx(sum(ATTRIBUTE_LOSSES), rel=1e-5)
    assert float(terms["landmark_loss"]) == 0
