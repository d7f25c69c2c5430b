"""Loss, mean F1 and mean label map of segmentation, worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from components.config import Task
from components.tasks.annotation import Annotation, BoundTask
from components.tasks.segmentation.learning import Learning, MeanF1
from tests.support.learning import assert_counts_nowhere, logits, mean_of_batches

# Truth 1 1 2 2 / 0 0 1 255, prediction 1 2 2 2 / 0 1 1 0.
# Class 0: 1 right, 2 in truth, 1 predicted: 2/3. Class 1: 2 right, 3, 3: 2/3. Class 2: 2 right, 2, 3: 4/5.
TRUTH = np.array([[[1, 1, 2, 2], [0, 0, 1, 255]]], np.uint8)
PREDICTION = np.array([[[1, 2, 2, 2], [0, 1, 1, 0]]])
LOGITS = np.eye(4, dtype=np.float32)[PREDICTION]


def test_mean_f1():
    metric = MeanF1(4)
    metric.update_state(TRUTH, LOGITS)
    np.testing.assert_allclose(metric.f1(), [2 / 3, 2 / 3, 4 / 5, np.nan])
    assert float(metric.result()) == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_batches_add_up():
    together, apart = MeanF1(4), MeanF1(4)
    pair = np.concatenate([TRUTH, 2 - np.minimum(TRUTH, 2)]), np.concatenate([LOGITS, LOGITS[:, ::-1]])
    together.update_state(*pair)
    for truth, scores in zip(*pair, strict=True):
        apart.update_state(truth[None], scores[None])
    np.testing.assert_array_equal(together.f1(), apart.f1())


# One image of 1 x 3 pixels, of which the last is not labelled. Odds 1:1:2 for the first, 1:3:4 for the second.
PARSED = logits([[[1.0, 1.0, 2.0], [1.0, 3.0, 4.0], [1.0, 8.0, 1.0]]])
PARTS = {"parts": tf.constant([[[2, 1, 255]]], tf.uint8)}


def _learning(**options):
    task = Task("parts", "segmentation", options)
    return Learning(BoundTask(task, Annotation("segmentation", ("a", "b", "c")), "tiny"), (1, 3))


def test_loss():
    total, count = _learning().loss(PARTS, PARSED)
    assert float(count) == 2
    assert float(total) == pytest.approx(math.log(2) + math.log(8 / 3))  # -ln(2/4) and -ln(3/8)


def test_lovasz_softmax_is_added_by_its_weight():
    """Class 1 has its pixel wrong by 5/8, class 2 by 1/2, and neither loses more by the other's pixel."""
    total, count = _learning(lovasz=2.0).loss(PARTS, PARSED)
    assert float(count) == 2
    lovasz = (5 / 8 + 1 / 2) / 2
    assert float(total) / 2 == pytest.approx((math.log(2) + math.log(8 / 3)) / 2 + 2 * lovasz, rel=1e-5)


def test_validation():
    learning = _learning()
    assert learning.figure == "parts_mean_f1" and learning.channels == 3
    # Both pixels are said to be 2: its F1 is 2·1 / (2 + 1), that of 1 nothing.
    learning.update(PARTS, PARSED, learning.loss(PARTS, PARSED))
    assert float(learning.metric.result()) == pytest.approx((2 / 3 + 0) / 2)
    np.testing.assert_allclose(learning.epoch_record()["parts_f1"], [np.nan, 0, 2 / 3])


def test_mean_target():
    # The first pixel is 2, 1 and 1; the second twice not labelled; the third never is.
    parts = np.array([[[2, 255, 255]], [[1, 255, 255]], [[1, 0, 255]]], np.uint8)
    mean = mean_of_batches(_learning(), parts[:2], parts[2:])
    np.testing.assert_allclose(mean, [[[0, 2 / 3, 1 / 3], [1, 0, 0], [0, 0, 0]]], rtol=1e-6)


def test_what_is_not_annotated_counts_nowhere():
    assert_counts_nowhere(_learning(), tf.fill([2, 1, 3], tf.constant(255, tf.uint8)), tf.ones([2, 1, 3, 3]))
