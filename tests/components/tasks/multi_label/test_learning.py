"""Losses, errors at the thresholds and mean of yes-or-no labels, worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from components.config import Task
from components.tasks.annotation import Annotation, BoundTask
from components.tasks.base import mean_loss
from components.tasks.multi_label.learning import Learning
from tests.support.learning import assert_counts_nowhere, logits, mean_of_batches

ANSWERS = {"traits": tf.constant([[1, 0], [-1, 1]], tf.int64)}
SCORES = {
    "logits": logits([3.0, 1.0], [5.0, 1 / 4]),  # probabilities 3/4, 1/2; 5/6, 1/5
    "probabilities": tf.constant([[3 / 4, 1 / 2], [5 / 6, 1 / 5]]),
    "signed": tf.constant([[0.5, 0.0], [0.7, -0.5]]),
}
CROSS_ENTROPIES = [math.log(4 / 3), math.log(2) + math.log(5)]
SUMS = {"logits": CROSS_ENTROPIES, "probabilities": CROSS_ENTROPIES, "signed": [0.5**2, 1.0**2 + 1.5**2]}
KINDS_OF_SCORES = tuple(SCORES)


def _learning(scores="logits"):
    task = Task("traits", "multi_label", {"scores": scores})
    return Learning(BoundTask(task, Annotation("multi_label", ("young", "smiling")), "tiny"), (1, 1))


@pytest.mark.parametrize("scores", KINDS_OF_SCORES)
def test_loss(scores):
    """What is not annotated among an image's attributes counts nowhere."""
    learning = _learning(scores)
    total, count = losses = learning.loss(ANSWERS, SCORES[scores])
    np.testing.assert_allclose(total, SUMS[scores], rtol=1e-5)
    assert count.numpy().tolist() == [1, 2]
    assert float(mean_loss(learning, losses)) == pytest.approx(sum(SUMS[scores]) / 3, rel=1e-5)
    learning.weights.assign([1.0, 3.0])
    assert float(mean_loss(learning, losses)) == pytest.approx(SUMS[scores] @ np.array([1, 3]) / 3, rel=1e-5)


@pytest.mark.parametrize("scores", KINDS_OF_SCORES)
def test_a_missing_attribute_has_no_gradient(scores):
    learning, output = _learning(scores), tf.Variable(SCORES[scores])
    with tf.GradientTape() as tape:
        loss = mean_loss(learning, learning.loss(ANSWERS, output))
    gradient = tape.gradient(loss, output).numpy()
    np.testing.assert_array_equal(gradient == 0, [[False, False], [True, False]])


# The second image's first attribute is said by a teacher; of the annotated ones what it says is not asked.
TAUGHT = {**ANSWERS, "traits_soft": tf.constant([[0.9, 0.9], [0.25, 0.9]])}


@pytest.mark.parametrize("scores", ["logits", "probabilities"])
def test_a_teacher_answers_where_there_is_no_truth(scores):
    learning = _learning(scores)
    assert learning.targets(TAUGHT).numpy().tolist() == [[1, 0], [0.25, 1]]
    assert learning.targets(ANSWERS).numpy().tolist() == [[1, 0], [-1, 1]]
    total, count = learning.loss(TAUGHT, SCORES[scores])
    taught = -0.25 * math.log(5 / 6) - 0.75 * math.log(1 / 6)
    np.testing.assert_allclose(total, np.add(CROSS_ENTROPIES, [taught, 0]), rtol=1e-5)
    assert count.numpy().tolist() == [2, 2]
    # What a teacher says is no truth: nothing is measured by it.
    learning.update(TAUGHT, SCORES[scores], (total, count))
    assert learning.metric.false_positives.numpy().tolist() == [0, 0]


@pytest.mark.parametrize(("scores", "threshold"), [("logits", 0.0), ("probabilities", 0.5), ("signed", 0.0)])
def test_decisions_start_in_the_middle_of_the_scores(scores, threshold):
    learning = _learning(scores)
    assert learning.thresholds.numpy().tolist() == [threshold] * 2
    assert learning.weights.numpy().tolist() == [1, 1]


def test_validation():
    learning = _learning("signed")
    assert learning.figure == "traits_accuracy" and learning.channels == 2
    losses = learning.loss(ANSWERS, SCORES["signed"])
    # Right, right (a score at the threshold is a no), not counted, wrong.
    learning.update(ANSWERS, SCORES["signed"], losses)
    errors = learning.metric
    assert errors.annotated.numpy().tolist() == [1, 2]
    assert errors.false_positives.numpy().tolist() == [0, 0]
    assert errors.false_negatives.numpy().tolist() == [0, 1]
    assert float(errors.result()) == pytest.approx(2 / 3)
    np.testing.assert_allclose(errors.losses(), [0.25, 3.25 / 2], rtol=1e-5)
    # At other thresholds: yes to -0.5, no to 0.5.
    learning.thresholds.assign([0.6, -0.6])
    learning.update(ANSWERS, SCORES["signed"], losses)
    assert errors.false_positives.numpy().tolist() == [0, 1]
    assert errors.false_negatives.numpy().tolist() == [1, 1]
    assert float(errors.result()) == pytest.approx(1 / 2)
    record = learning.epoch_record()
    assert record.keys() == {"traits_losses", "traits_weights", "traits_thresholds"}
    assert record["traits_thresholds"] == pytest.approx([0.6, -0.6])
    # Keras resets it before a pass; the training losses are another metric.
    learning.update_training(ANSWERS, SCORES["signed"], losses)
    for metric in learning.metrics():
        metric.reset_state()
    assert not errors.annotated.numpy().any() and learning.training_losses.annotated.numpy().tolist() == [1, 2]


def test_mean_target():
    answers = np.array([[1, -1], [0, 1], [0, -1]], np.int64)
    np.testing.assert_allclose(mean_of_batches(_learning(), answers[:2], answers[2:]), [1 / 3, 1], rtol=1e-6)


@pytest.mark.parametrize("scores", KINDS_OF_SCORES)
def test_what_is_not_annotated_counts_nowhere(scores):
    certain = tf.constant([[0.0, 1.0]] * 2)
    assert_counts_nowhere(_learning(scores), tf.fill([2, 2], tf.constant(-1, tf.int64)), certain)


def test_what_is_certain_and_wrong_costs_a_finite_amount():
    learning, wrong = _learning("probabilities"), tf.Variable([[0.0, 1.0]])
    with tf.GradientTape() as tape:
        loss = mean_loss(learning, learning.loss({"traits": tf.constant([[1, 0]], tf.int64)}, wrong))
    assert 10 < float(loss) < 20
    assert np.isfinite(tape.gradient(loss, wrong)).all()
