"""MGG-Net's loss, worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from components.config import Task
from components.systems.mgg_net.loss import MGGLoss
from components.tasks.annotation import Annotation, BoundTask
from components.tasks.base import learning_of

# Two images, two attributes; the second image has no label for attribute 1.
LABELS = {
    "attributes": tf.constant([[1, 0], [0, -1]], tf.int64),
    "attributes_positive_rate": tf.constant([[0.25, 0.5], [0.25, 0.5]]),
}
OUTPUTS = {
    "attributes": tf.constant([[0.5, 0.5], [0.5, 0.5]]),
    "base": tf.constant([[0.25, 0.2], [0.75, 0.9]]),
}
LN2, LN4 = np.log(2), np.log(4)


def _loss(**options):
    task = Task("attributes", "multi_label", {"scores": "probabilities"})
    objective = MGGLoss(**options)
    bound = BoundTask(task, Annotation("multi_label", ("A", "B")), "tiny")
    objective.bind({"attributes": learning_of(bound, (32, 32))})
    return objective


def test_cross_entropies_of_all_outputs_add_up():
    total, annotated = _loss().task_losses(LABELS, OUTPUTS)["attributes"]
    np.testing.assert_allclose(total, [(LN2 + LN4) + (LN2 + LN4), LN2 - np.log(0.8)], rtol=1e-5)
    assert annotated.numpy().tolist() == [2, 1]


def test_the_loss_is_equation_5_with_a_weight_for_each_attribute():
    objective = _loss()
    objective.tasks["attributes"].weights.assign([1.0, 3.0])
    terms = objective(LABELS, OUTPUTS)
    means = np.array([LN2 + LN4, LN2 - np.log(0.8)])
    assert float(terms["loss"]) == pytest.approx(means @ [1, 3], rel=1e-5)
    assert float(terms["attribute_loss"]) == pytest.approx(means.mean(), rel=1e-5)
    assert set(terms) == set(MGGLoss.TERMS)


def test_the_balanced_loss_takes_the_rates_of_the_training_split():
    # w⁺ = 2, w⁻ = 2/3 for attribute 0; 1 and 1 for attribute 1.
    total, _ = _loss(balanced=True).task_losses(LABELS, OUTPUTS)["attributes"]
    np.testing.assert_allclose(total, [(2 + 2 / 3) * (LN2 + LN4), LN2 - np.log(0.8)], rtol=1e-5)
