"""The loss of fully-adaptive feature sharing on labels and scores whose losses a person worked out."""

import numpy as np
import pytest
import tensorflow as tf

from components.config import Task
from components.systems.branching.loss import TaskCrossEntropy
from components.tasks.annotation import Annotation, BoundTask
from components.tasks.base import learning_of

LN2 = np.log(2)
OPTIONS = {"scores": "probabilities"}
ATTRIBUTES = BoundTask(Task("attributes", "multi_label", OPTIONS), Annotation("multi_label", ("A", "B")), "tiny")
CLOTHING = BoundTask(
    Task("clothing", "classification", OPTIONS), Annotation("classification", ("coat", "dress", "hat")), "tiny"
)
# Two images. What is not annotated is said by a teacher; of the rest what a teacher says is not asked.
LABELS = {
    "attributes": tf.constant([[1, 0], [0, -1]], tf.int64),
    "attributes_soft": tf.constant([[0.9, 0.9], [0.9, 0.25]]),
    "clothing": tf.constant([1, -1], tf.int64),
    "clothing_soft": tf.constant([[-1.0, -1.0, -1.0], [0.0, 0.5, 1.0]]),
}
OUTPUTS = {
    "clothing": tf.constant([[0.5, 0.5, 0.25], [0.2, 0.5, 0.1]]),
    "attributes": tf.constant([[0.5, 0.2], [0.25, 0.1]]),
}
# Means over the two images, by question.
ATTRIBUTE_LOSSES = np.array([LN2 - np.log(0.75), -np.log(0.8) - 0.25 * np.log(0.1) - 0.75 * np.log(0.9)]) / 2
CLOTHING_LOSSES = np.array([LN2 - np.log(0.8), LN2 + LN2, -np.log(0.75) - np.log(0.1)]) / 2


def _loss(*tasks):
    objective = TaskCrossEntropy()
    objective.bind({task.name: learning_of(task, (32, 32)) for task in tasks})
    return objective


@pytest.mark.parametrize(
    ("tasks", "losses"),
    [
        ((ATTRIBUTES,), ATTRIBUTE_LOSSES),
        ((CLOTHING,), CLOTHING_LOSSES),
        ((ATTRIBUTES, CLOTHING), [*ATTRIBUTE_LOSSES, *CLOTHING_LOSSES]),
    ],
    ids=["attributes", "clothing", "both"],
)
def test_every_question_weighs_the_same(tasks, losses):
    terms = _loss(*tasks)(LABELS, OUTPUTS)
    assert float(terms["loss"]) == pytest.approx(sum(losses), rel=1e-5)
    assert float(terms["task_loss"]) == pytest.approx(np.mean(losses), rel=1e-5)
    assert set(terms) == set(TaskCrossEntropy.TERMS)


def test_attributes_have_the_weights_that_callbacks_give_them():
    objective = _loss(ATTRIBUTES, CLOTHING)
    objective.tasks["attributes"].weights.assign([1.0, 3.0])
    terms = objective(LABELS, OUTPUTS)
    assert float(terms["loss"]) == pytest.approx(ATTRIBUTE_LOSSES @ [1, 3] + CLOTHING_LOSSES.sum(), rel=1e-5)


def test_records_of_several_data_sets_are_learnt_from_together():
    """One has attributes, the other clothing: each counts for its own questions as it would alone."""
    labels = {"attributes": tf.constant([[1, 0], [-1, -1]], tf.int64), "clothing": tf.constant([-1, 2], tf.int64)}
    terms = _loss(ATTRIBUTES, CLOTHING)(labels, OUTPUTS)
    alone = [LN2, -np.log(0.8), -np.log(0.8), LN2, -np.log(0.1)]
    assert float(terms["loss"]) == pytest.approx(sum(alone), rel=1e-5)
    assert float(terms["task_loss"]) == pytest.approx(np.mean(alone), rel=1e-5)
