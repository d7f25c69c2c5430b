"""Losses against numbers worked out by hand; labels that are not annotated add nothing, not even to the gradient."""

import numpy as np
import pytest
import tensorflow as tf

from keras_models.losses import attribute_mse, joint_loss, landmark_mse

NAN = float("nan")


def _with_gradient(loss, labels, scores):
    """(sum, count, gradient of the summed sum at `scores`), as NumPy."""
    scores = tf.constant(scores, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        total, count = loss(labels, scores)
        summed = tf.reduce_sum(total)
    return total.numpy(), count.numpy(), tape.gradient(summed, scores).numpy()


def test_attribute_mse_worked_by_hand():
    # Attribute 0: (0.5 - 1)², the second image has no label. Attribute 1: (-2 + 1)² + (0 - 1)². Gradient: 2·(ŷ - y).
    labels, scores = tf.constant([[1, 0], [-1, 1]], tf.int64), [[0.5, -2.0], [7.0, 0.0]]
    total, count, gradient = _with_gradient(attribute_mse, labels, scores)
    assert total.tolist() == [0.25, 2.0]
    assert count.tolist() == [1, 2]
    assert gradient.tolist() == [[-1, -2], [0, -2]]


def test_no_annotated_attribute_is_no_loss():
    total, count, gradient = _with_gradient(attribute_mse, -tf.ones([2, 3], tf.int64), np.full((2, 3), 1e6))
    assert not total.any() and not count.any() and not gradient.any()


def test_landmark_mse_worked_by_hand():
    # 0.3² + 0.4² = 0.25; half an annotation is none.
    landmarks = tf.constant([[0.5, 0.5], [NAN, NAN], [NAN, 0.5]])
    total, count, gradient = _with_gradient(landmark_mse, landmarks, [[0.2, 0.9], [3.0, 3.0], [1.0, 1.0]])
    assert total == pytest.approx(0.25)
    assert count == 1
    np.testing.assert_allclose(gradient, [[-0.6, 0.8], [0, 0], [0, 0]], rtol=1e-6)


def test_no_annotated_landmarks_are_no_loss():
    total, count, gradient = _with_gradient(landmark_mse, tf.fill([2, 4], NAN), np.ones((2, 4)))
    assert total == 0 and count == 0
    assert not gradient.any()


@pytest.mark.parametrize("cut", [0, 1, 5, 8])
def test_parts_of_a_batch_add_up(cut):
    random = np.random.default_rng(cut)
    labels, scores = random.integers(-1, 2, (8, 3)), random.normal(size=(8, 3)).astype(np.float32)
    points = random.random((8, 6)).astype(np.float32)
    points[random.random(8) < 0.5] = NAN
    predictions = random.random((8, 6)).astype(np.float32)
    for loss, truth, answers in ((attribute_mse, labels, scores), (landmark_mse, points, predictions)):
        whole = loss(tf.constant(truth), tf.constant(answers))
        parts = [loss(tf.constant(truth[part]), tf.constant(answers[part])) for part in (slice(cut), slice(cut, None))]
        for k in range(2):
            np.testing.assert_allclose(parts[0][k] + parts[1][k], whole[k], rtol=1e-6)


def test_joint_loss_worked_by_hand():
    # 2·1 + 0.5·3 + 0.5·0.4
    loss = joint_loss(tf.constant([1.0, 3.0]), tf.constant([2.0, 0.5]), tf.constant(0.4), beta=0.5)
    assert float(loss) == pytest.approx(3.7)


def test_joint_loss_without_landmarks():
    assert float(joint_loss(tf.constant([1.0, 3.0]), tf.ones(2), tf.constant(0.4), beta=0.0)) == 4
