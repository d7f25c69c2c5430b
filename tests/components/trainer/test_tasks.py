"""Loss, figure and target of each task against numbers worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from components.trainer.tasks import TASKS, mean_target

SIZE = (10, 20)
NAN = float("nan")


def _task(label, outputs):
    return TASKS[label](outputs, SIZE)


def _logits(*odds):
    """Logits of which e to the power is `odds`."""
    return tf.math.log(tf.constant(odds, tf.float32))


# One picture of 1 x 3 pixels, of which the last is not labelled. Odds 1:1:2 for the first, 1:3:4 for the second.
PARSED = _logits([[[1.0, 1.0, 2.0], [1.0, 3.0, 4.0], [1.0, 8.0, 1.0]]])
PARTS = tf.constant([[[2, 1, 255]]], tf.uint8)


def test_parsing_loss():
    # -ln(2/4) and -ln(3/8).
    assert float(_task("parsing", 3).loss(PARTS, PARSED)) == pytest.approx((math.log(2) + math.log(8 / 3)) / 2)


def test_parsing_figure():
    task = _task("parsing", 3)
    assert task.metric.name == "mean_f1"
    # Both pixels are said to be 2: its F1 is 2·1 / (2 + 1), that of 1 nothing.
    task.count(PARTS, PARSED)
    assert float(task.metric.result()) == pytest.approx((2 / 3 + 0) / 2)
    # A second batch with the 1 found: F1 of 1 is 2·1 / (1 + 2).
    task.count(tf.constant([[[1]]], tf.uint8), _logits([[[1.0, 3.0, 1.0]]]))
    assert float(task.metric.result()) == pytest.approx((2 / 3 + 2 / 3) / 2)


def test_parsing_target():
    values, annotated = _task("parsing", 3).target(PARTS)
    np.testing.assert_array_equal(values[0, 0, :2], [[0, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(annotated[0, 0], [[1, 1, 1], [1, 1, 1], [0, 0, 0]])


# Pictures are 20 pixels wide and 10 high: eyes at (5, 5) and (15, 5) are 10 apart. Of the second none is annotated.
POINTS = tf.constant([[0.25, 0.5, 0.75, 0.5, 0.5, 0.6, 0.3, 0.8, 0.7, 0.8], [NAN] * 10])
FOUND = tf.constant([[0.35, 0.5, 0.75, 0.8, 0.5, 0.6, 0.3, 0.8, 0.7, 0.8], [0.5] * 10])


def test_landmarks_loss():
    assert float(_task("landmarks", 5).loss(POINTS, FOUND)) == pytest.approx(0.1**2 + 0.3**2, rel=1e-5)


def test_landmarks_figure():
    task = _task("landmarks", 5)
    assert task.metric.name == "nme"
    # 2 pixels to the right and 3 down, of five points.
    task.count(POINTS, FOUND)
    assert float(task.metric.result()) == pytest.approx((2 + 3) / 5 / 10, rel=1e-5)
    task.count(POINTS[:1], POINTS[:1])
    assert float(task.metric.result()) == pytest.approx(0.05, rel=1e-5)


def test_landmarks_target():
    values, annotated = _task("landmarks", 5).target(POINTS)
    np.testing.assert_array_equal(values, [POINTS[0], [0] * 10])
    np.testing.assert_array_equal(annotated, [[1] * 10, [0] * 10])


EMOTIONS = tf.constant([1, 0, -1], tf.int64)
FELT = _logits([1.0, 3.0, 4.0], [2.0, 1.0, 1.0], [1.0, 1.0, 1.0])


def test_emotion_loss():
    assert float(_task("emotion", 3).loss(EMOTIONS, FELT)) == pytest.approx((math.log(8 / 3) + math.log(2)) / 2)


def test_emotion_figure():
    task = _task("emotion", 3)
    assert task.metric.name == "accuracy"
    task.count(EMOTIONS, FELT)
    assert float(task.metric.result()) == pytest.approx(1 / 2)
    task.count(tf.constant([2, 1], tf.int64), _logits([1.0, 3.0, 4.0], [1.0, 2.0, 1.0]))
    assert float(task.metric.result()) == pytest.approx(3 / 4)


def test_emotion_target():
    values, annotated = _task("emotion", 3).target(EMOTIONS)
    np.testing.assert_array_equal(values[:2], [[0, 1, 0], [1, 0, 0]])
    np.testing.assert_array_equal(annotated, [[1, 1, 1], [1, 1, 1], [0, 0, 0]])


ANSWERS = tf.constant([[1, 0], [-1, 1]], tf.int64)
SAID = _logits([3.0, 1.0], [5.0, 1 / 4])  # probabilities 3/4, 1/2; 5/6, 1/5


def test_attributes_loss():
    expected = (math.log(4 / 3) + math.log(2) + math.log(5)) / 3
    assert float(_task("attributes", 2).loss(ANSWERS, SAID)) == pytest.approx(expected)


def test_attributes_figure():
    task = _task("attributes", 2)
    assert task.metric.name == "accuracy"
    # Right, right (a logit of 0 is no), not counted, wrong.
    task.count(ANSWERS, SAID)
    assert float(task.metric.result()) == pytest.approx(2 / 3)
    task.count(tf.constant([[-1, 0]], tf.int64), SAID[1:])
    assert float(task.metric.result()) == pytest.approx(3 / 4)


def test_attributes_target():
    values, annotated = _task("attributes", 2).target(ANSWERS)
    np.testing.assert_array_equal(values, [[1, 0], [0, 1]])
    np.testing.assert_array_equal(annotated, [[1, 1], [0, 1]])


NOTHING = {
    "parsing": tf.fill([2, 1, 3], tf.constant(255, tf.uint8)),
    "landmarks": tf.fill([2, 10], NAN),
    "emotion": tf.fill([2], tf.constant(-1, tf.int64)),
    "attributes": tf.fill([2, 3], tf.constant(-1, tf.int64)),
}
SHAPES = {"parsing": (2, 1, 3, 3), "landmarks": (2, 10), "emotion": (2, 3), "attributes": (2, 3)}


@pytest.mark.parametrize("label", TASKS)
def test_nothing_annotated(label):
    task, output = _task(label, 5 if label == "landmarks" else 3), tf.Variable(tf.ones(SHAPES[label]))
    with tf.GradientTape() as tape:
        loss = task.loss(NOTHING[label], output)
    assert float(loss) == 0
    np.testing.assert_array_equal(tape.gradient(loss, output), np.zeros(SHAPES[label]))
    task.count(NOTHING[label], output)
    assert float(task.metric.result()) == 0
    batches = tf.data.Dataset.from_tensors((0, {label: NOTHING[label]}))
    np.testing.assert_array_equal(mean_target(task, label, batches), np.zeros(SHAPES[label][1:]))


def _mean(label, outputs, *batches):
    spec = {label: tf.TensorSpec([None, *batches[0].shape[1:]], batches[0].dtype)}
    elements = tf.data.Dataset.from_generator(
        lambda: ((0, {label: batch}) for batch in batches),
        output_signature=(tf.TensorSpec([], tf.int32), spec),
    )
    return mean_target(_task(label, outputs), label, elements)


def test_mean_label_map():
    # The first pixel is 2, 1 and 1; the second twice not labelled; the third never is.
    parts = np.array([[[2, 255, 255]], [[1, 255, 255]], [[1, 0, 255]]], np.uint8)
    mean = _mean("parsing", 3, parts[:2], parts[2:])
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, [[[0, 2 / 3, 1 / 3], [1, 0, 0], [0, 0, 0]]], rtol=1e-6)


def test_mean_landmarks():
    points = np.array([[0.2] * 10, [NAN] * 10, [0.5] * 10], np.float32)
    np.testing.assert_allclose(_mean("landmarks", 5, points[:2], points[2:]), [0.35] * 10, rtol=1e-6)


def test_mean_emotion():
    emotions = np.array([1, -1, 0, 1, 1], np.int64)
    np.testing.assert_allclose(_mean("emotion", 3, emotions[:2], emotions[2:]), [1 / 4, 3 / 4, 0])


def test_mean_attributes():
    answers = np.array([[1, -1], [0, 1], [0, -1]], np.int64)
    np.testing.assert_allclose(_mean("attributes", 2, answers[:2], answers[2:]), [1 / 3, 1], rtol=1e-6)
