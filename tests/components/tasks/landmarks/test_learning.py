"""Loss, normalised mean error and mean shape of landmarks, worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from components.config import Task
from components.tasks.annotation import Annotation, BoundTask, points
from components.tasks.base import mean_loss
from components.tasks.landmarks.learning import Learning
from tests.support.learning import assert_counts_nowhere, mean_of_batches

NAN = float("nan")
# Images are 20 pixels wide and 10 high: eyes at (5, 5) and (15, 5) are 10 apart. Of the second none is annotated.
POINTS = tf.constant([[0.25, 0.5, 0.75, 0.5, 0.5, 0.6, 0.3, 0.8, 0.7, 0.8], [NAN] * 10])
FOUND = tf.constant([[0.35, 0.5, 0.75, 0.8, 0.5, 0.6, 0.3, 0.8, 0.7, 0.8], [0.5] * 10])


def _learning():
    return Learning(BoundTask(Task("points", "landmarks"), Annotation("landmarks", points(5)), "tiny"), (10, 20))


def test_loss():
    learning = _learning()
    total, count = losses = learning.loss({"points": POINTS}, FOUND)
    assert float(count) == 1
    assert float(total) == pytest.approx(0.1**2 + 0.3**2, rel=1e-5)
    assert float(mean_loss(learning, losses)) == pytest.approx(0.1, rel=1e-5)


def test_validation():
    learning = _learning()
    assert learning.figure == "points_nme" and not learning.higher_is_better and learning.channels == 10
    # 2 pixels to the right and 3 down, of five points.
    learning.update({"points": POINTS}, FOUND, None)
    assert float(learning.metric.result()) == pytest.approx((2 + 3) / 5 / 10, rel=1e-5)
    learning.update({"points": POINTS[:1]}, POINTS[:1], None)
    assert float(learning.metric.result()) == pytest.approx(0.05, rel=1e-5)
    by_point = np.array(learning.epoch_record()["points_nme_by_point"])
    assert sorted(by_point[by_point > 0]) == pytest.approx([2 / 10 / 2, 3 / 10 / 2], rel=1e-5)  # of two faces


def test_a_network_that_answers_nothing_has_no_error_of_0():
    learning = _learning()
    learning.update({"points": POINTS}, tf.fill([2, 10], NAN), None)
    assert np.isnan(learning.metric.result())


def test_mean_target():
    shapes = np.array([[0.2] * 10, [NAN] * 10, [0.5] * 10], np.float32)
    np.testing.assert_allclose(mean_of_batches(_learning(), shapes[:2], shapes[2:]), [0.35] * 10, rtol=1e-6)


def test_what_is_not_annotated_counts_nowhere():
    assert_counts_nowhere(_learning(), tf.fill([2, 10], NAN), tf.ones([2, 10]))
