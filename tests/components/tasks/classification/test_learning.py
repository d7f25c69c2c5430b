"""Losses, accuracy and mean of one class an image, worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from components.config import Task
from components.tasks.annotation import Annotation, BoundTask
from components.tasks.base import mean_loss
from components.tasks.classification.learning import Learning
from tests.support.learning import assert_counts_nowhere, logits, mean_of_batches

CLASSES = {"mood": tf.constant([1, 0, -1], tf.int64)}
FELT = logits([1.0, 3.0, 4.0], [2.0, 1.0, 1.0], [1.0, 1.0, 1.0])


def _learning(**options):
    task = Task("mood", "classification", options)
    return Learning(BoundTask(task, Annotation("classification", ("calm", "sad", "glad")), "tiny"), (1, 1))


def test_loss_of_one_choice():
    learning = _learning()
    total, count = losses = learning.loss(CLASSES, FELT)
    assert float(count) == 2
    assert float(total) == pytest.approx(math.log(8 / 3) + math.log(2))
    assert float(mean_loss(learning, losses)) == pytest.approx((math.log(8 / 3) + math.log(2)) / 2)


LN2 = math.log(2)
# Each class is a question of its own. The second image's class is said by a teacher: surely not the first.
ASKED = {"mood": tf.constant([1, -1], tf.int64), "mood_soft": tf.constant([[-1.0, -1.0, -1.0], [0.0, 0.5, 1.0]])}
LIKELY = tf.constant([[0.5, 0.5, 0.25], [0.2, 0.5, 0.1]])


def test_loss_of_probabilities():
    learning = _learning(scores="probabilities")
    truth, targets = learning.truth(ASKED), learning.targets(ASKED)
    assert truth.dtype == tf.int64 and truth.numpy().tolist() == [[0, 1, 0], [-1, -1, -1]]
    assert targets.dtype == tf.float32 and targets.numpy().tolist() == [[0, 1, 0], [0, 0.5, 1]]
    total, count = learning.loss(ASKED, LIKELY)
    np.testing.assert_allclose(total, [LN2 - math.log(0.8), LN2 + LN2, -math.log(0.75) - math.log(0.1)], rtol=1e-5)
    assert count.numpy().tolist() == [2, 2, 2]


def test_loss_of_probabilities_without_a_teacher():
    learning, labels = _learning(scores="probabilities"), {"mood": ASKED["mood"]}
    total, count = losses = learning.loss(labels, LIKELY)
    np.testing.assert_allclose(total, [LN2, LN2, -math.log(0.75)], rtol=1e-5)
    assert count.numpy().tolist() == [1, 1, 1]
    assert float(mean_loss(learning, losses)) == pytest.approx((2 * LN2 - math.log(0.75)) / 3, rel=1e-5)


def test_validation():
    learning = _learning()
    assert learning.figure == "mood_accuracy" and learning.channels == 3
    learning.update(CLASSES, FELT, None)
    assert float(learning.metric.result()) == pytest.approx(1 / 2)
    learning.update({"mood": tf.constant([2, 1], tf.int64)}, logits([1.0, 3.0, 4.0], [1.0, 2.0, 1.0]), None)
    assert float(learning.metric.result()) == pytest.approx(3 / 4)
    # Of the sad ones the first was called glad.
    assert learning.epoch_record() == {"mood_recall": pytest.approx([1, 1 / 2, 1])}
    for metric in learning.metrics():
        metric.reset_state()
    learning.update({"mood": tf.constant([2, -1], tf.int64)}, FELT[:2], None)
    assert learning.epoch_record() == {"mood_recall": pytest.approx([math.nan, math.nan, 1], nan_ok=True)}


def test_mean_target():
    classes = np.array([1, -1, 0, 1, 1], np.int64)
    np.testing.assert_allclose(mean_of_batches(_learning(), classes[:2], classes[2:]), [1 / 4, 3 / 4, 0])


@pytest.mark.parametrize("scores", ["logits", "probabilities"])
def test_what_is_not_annotated_counts_nowhere(scores):
    certain = tf.constant([[0.0, 1.0, 0.5]] * 2)
    assert_counts_nowhere(_learning(scores=scores), tf.fill([2], tf.constant(-1, tf.int64)), certain)


def test_what_is_certain_and_wrong_costs_a_finite_amount():
    learning, wrong = _learning(scores="probabilities"), tf.Variable([[1.0, 0.0, 1.0]])
    with tf.GradientTape() as tape:
        total, _ = learning.loss({"mood": tf.constant([1], tf.int64)}, wrong)
        loss = tf.reduce_sum(total)
    assert 30 < float(loss) < 60
    assert np.isfinite(tape.gradient(loss, wrong)).all()
