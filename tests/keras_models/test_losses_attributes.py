"""Losses against numbers worked out by hand; labels that are not annotated add nothing, not even to the gradient."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from keras_models.losses.attributes import (
    attribute_mse,
    joint_loss,
    landmark_mse,
    soft_binary_crossentropy,
    weighted_binary_crossentropy,
)

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


def test_weighted_binary_crossentropy_worked_by_hand():
    # p = 1/4: w⁺ = 2 and w⁻ = 2/3. Without a label there is no loss.
    labels = tf.constant([[1], [0], [-1]], tf.int64)
    loss = weighted_binary_crossentropy(labels, tf.constant([[0.5], [0.2], [0.9]]), tf.constant([0.25]))
    np.testing.assert_allclose(loss, [[2 * np.log(2)], [2 / 3 * -np.log(0.8)], [0]], rtol=1e-5)


def test_a_rate_of_a_half_is_the_plain_cross_entropy():
    random = np.random.default_rng(0)
    labels, probabilities = random.integers(0, 2, (6, 3)), random.uniform(0.01, 0.99, (6, 3)).astype(np.float32)
    plain = keras.backend.binary_crossentropy(tf.cast(labels, tf.float32), tf.constant(probabilities))
    weighted = weighted_binary_crossentropy(tf.constant(labels), tf.constant(probabilities), 0.5)
    np.testing.assert_allclose(weighted, plain, rtol=1e-4)


def test_both_sides_weigh_the_same():
    # 3 of 12 are positive. Where all are thought as likely as not, positives and negatives lose the same in sum.
    labels = tf.constant([[1]] * 3 + [[0]] * 9)
    loss = weighted_binary_crossentropy(labels, tf.fill([12, 1], 0.5), 0.25).numpy()
    assert loss[:3].sum() == pytest.approx(loss[3:].sum()) == pytest.approx(6 * np.log(2))


@pytest.mark.parametrize(("rate", "label"), [(0.0, 1), (1.0, 0)])
def test_a_side_that_training_lacks_weighs_nothing(rate, label):
    assert float(weighted_binary_crossentropy(tf.constant([[label]]), tf.constant([[0.3]]), rate)) == 0
    other = weighted_binary_crossentropy(tf.constant([[1 - label]]), tf.constant([[0.3]]), rate)
    assert float(other) > 0


def test_certain_and_wrong_is_finite():
    probabilities = tf.constant([[0.0, 1.0]])
    with tf.GradientTape() as tape:
        tape.watch(probabilities)
        loss = tf.reduce_sum(weighted_binary_crossentropy(tf.constant([[1, 0]]), probabilities, 0.5))
    assert 20 < float(loss) < 40
    assert np.isfinite(tape.gradient(loss, probabilities)).all()


def test_soft_binary_crossentropy_worked_by_hand():
    # -(0.25 ln 0.5 + 0.75 ln 0.5), -ln 0.2, -ln(1 - 0.2); nothing where nothing is known.
    losses = soft_binary_crossentropy(tf.constant([[0.25, 1, 0, -1]]), tf.constant([[0.5, 0.2, 0.2, 0.9]]))
    np.testing.assert_allclose(losses, [[np.log(2), -np.log(0.2), -np.log(0.8), 0]], rtol=1e-5)


def test_of_hard_targets_it_is_the_plain_cross_entropy():
    random = np.random.default_rng(0)
    labels, probabilities = random.integers(-1, 2, (6, 3)), random.uniform(0.01, 0.99, (6, 3)).astype(np.float32)
    plain = weighted_binary_crossentropy(tf.constant(labels), tf.constant(probabilities), 0.5)
    np.testing.assert_allclose(
        soft_binary_crossentropy(tf.constant(labels), tf.constant(probabilities)), plain, rtol=1e-5
    )


def test_the_target_itself_costs_least():
    targets = tf.constant([[0.1, 0.5, 0.8]])
    with tf.GradientTape() as tape:
        tape.watch(targets)
        probabilities = tf.identity(targets)
        losses = soft_binary_crossentropy(tf.stop_gradient(targets), probabilities)
    np.testing.assert_allclose(tape.gradient(losses, probabilities), [[0, 0, 0]], atol=1e-5)
    for wrong in (-0.05, 0.05):
        assert (soft_binary_crossentropy(targets, targets + wrong).numpy() > losses.numpy()).all()


def test_soft_and_certain_is_finite_and_what_is_not_known_has_no_gradient():
    probabilities = tf.constant([[0.0, 1.0, 0.0, 1.0, 0.5, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(probabilities)
        losses = soft_binary_crossentropy(tf.constant([[0.5, 0.5, 0.0, 1.0, -1.0, -1.0]]), probabilities)
    gradient = tape.gradient(losses, probabilities).numpy()
    assert np.isfinite(losses).all() and np.isfinite(gradient).all()
    np.testing.assert_allclose(losses[0, 2:], 0, atol=1e-6)
    assert not gradient[0, 4:].any()
