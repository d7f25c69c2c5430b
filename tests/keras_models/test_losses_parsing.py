"""Losses of DML-CSR against numbers worked out by hand; Lovász-softmax against the definition of the extension."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_models.edges import edge_labels
from keras_models.losses.parsing import (
    binary_edge_attention,
    binary_edge_cross_entropy,
    category_edge_attention,
    category_edge_cross_entropy,
    csr_loss,
    distillation_kl,
    dml_loss,
    labelled_mean,
    lovasz_softmax,
    pixel_cross_entropy,
)

X = 255
LN2, LN3 = np.log(2), np.log(3)


def _gradient(function, *at):
    """Value of a scalar function of float tensors, and its gradients at them."""
    at = [tf.constant(x, tf.float32) for x in at]
    with tf.GradientTape() as tape:
        tape.watch(at)
        value = function(*at)
    return float(value), [None if g is None else g.numpy() for g in tape.gradient(value, at)]


def _softmax(logits):
    exponential = np.exp(logits)
    return exponential / exponential.sum(axis=-1, keepdims=True)


def _lovasz_by_definition(labels, probabilities):
    """Berman et al. 2018, Eqs. 6 and 8 to 11, with sets: labels [P] without ignored ones, probabilities [P, C]."""
    losses = []
    for c in sorted(set(labels.tolist())):
        own = {pixel for pixel, label in enumerate(labels) if label == c}
        errors = [1 - p[c] if pixel in own else p[c] for pixel, p in enumerate(probabilities)]
        wrong, before, loss = set(), 0.0, 0.0
        for pixel in sorted(range(len(errors)), key=lambda k: -errors[k]):
            wrong.add(pixel)
            jaccard = len(wrong) / len(own | wrong)
            loss += errors[pixel] * (jaccard - before)
            before = jaccard
        losses.append(loss)
    return float(np.mean(losses)) if losses else 0.0


def _lovasz_sorted(labels, probabilities):
    """The same, fast: by sorting, in double precision. With the gradient [P, C]."""
    losses, gradient = [], np.zeros(probabilities.shape)
    for c in np.unique(labels):
        own = labels == c
        errors = np.abs(own - probabilities[:, c])
        order = np.argsort(-errors)
        missed = own.sum() - np.cumsum(own[order])
        steps = np.diff(1 - missed / (own.sum() + np.cumsum(~own[order])), prepend=0)
        losses.append(errors[order] @ steps)
        gradient[order, c] = np.where(own[order], -steps, steps)
    return np.mean(losses), gradient / len(losses)


def _random(shape, classes, seed=0, certainty=0.0):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, shape)
    logits = random.normal(size=(*shape, classes)) * 2 + certainty * np.eye(classes)[labels]
    return labels, _softmax(logits).astype(np.float32)


def test_lovasz_worked_by_hand():
    # Class 0, errors 0.4 (own), 0.3 (other), 0.1 (own): the Jaccard loss goes 1/2, 2/3, 1, in steps 1/2, 1/6, 1/3.
    # Class 1, errors 0.4 (other), 0.3 (own), 0.1 (other): 1/2, 1, 1, in steps 1/2, 1/2, 0.
    class0 = 0.4 / 2 + 0.3 / 6 + 0.1 / 3
    class1 = 0.4 / 2 + 0.3 / 2
    labels, probabilities = [[[0, 0, 1]]], [[[[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]]]]
    value, (gradient,) = _gradient(lambda p: lovasz_softmax(tf.constant(labels), p), probabilities)
    assert value == pytest.approx((class0 + class1) / 2)
    # Half a step, downwards where the probability is the pixel's own.
    np.testing.assert_allclose(gradient[0, 0], [[-1 / 6, 0], [-1 / 4, 1 / 4], [1 / 12, -1 / 4]], rtol=1e-6)
    assert _lovasz_by_definition(np.ravel(labels), np.reshape(probabilities, (3, 2))) == pytest.approx(value)


def test_lovasz_of_one_pixel_is_its_error():
    assert float(lovasz_softmax([[[1]]], tf.constant([[[[0.2, 0.3, 0.5]]]]))) == pytest.approx(0.7)


def test_lovasz_of_certainty_is_one_minus_iou():
    labels = np.array([[[0, 0, 0, 1], [1, 1, 2, 2]]])
    perfect = tf.one_hot(labels, 3)
    assert float(lovasz_softmax(labels, perfect)) == 0
    assert float(lovasz_softmax(labels, tf.roll(perfect, 1, axis=-1))) == 1
    # IoU of 0: 2/3; of 1: 3/4; of 2: 1.
    predicted = tf.one_hot([[[0, 0, 1, 1], [1, 1, 2, 2]]], 3)
    assert float(lovasz_softmax(labels, predicted)) == pytest.approx((1 / 3 + 1 / 4) / 3)


def test_lovasz_of_equal_errors_is_that_error():
    labels = np.array([[[0, 0, 1, 2, 2]]])
    uniform = np.full((1, 1, 5, 3), 1 / 3, np.float32)
    # Own errors 2/3, others 1/3: of F own pixels the first F steps make 1, whatever the order of ties.
    assert float(lovasz_softmax(labels, uniform)) == pytest.approx(2 / 3)
    half = np.full((1, 1, 5, 2), 1 / 2, np.float32)
    assert float(lovasz_softmax(np.array([[[0, 1, 0, 1, 1]]]), half)) == pytest.approx(1 / 2)


@settings(max_examples=25, deadline=None)
@given(classes=st.integers(2, 5), seed=st.integers(0, 999), certainty=st.sampled_from([0.0, 3.0, 12.0]))
def test_lovasz_is_the_extension_of_the_jaccard_loss(classes, seed, certainty):
    labels, probabilities = _random((2, 4, 3), classes, seed, certainty)
    ignored = np.random.default_rng(seed).random(labels.shape) < 0.2
    value = float(lovasz_softmax(np.where(ignored, X, labels).astype(np.uint8), probabilities))
    assert value == pytest.approx(_lovasz_by_definition(labels[~ignored], probabilities[~ignored]), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("certainty", [0, 8])
def test_lovasz_of_many_pixels_is_counted_as_if_sorted(certainty):
    labels, probabilities = _random((4, 64, 64), 19, certainty=certainty)
    value, (gradient,) = _gradient(lambda p: lovasz_softmax(labels, p), probabilities)
    loss, expected = _lovasz_sorted(labels.ravel(), probabilities.reshape(-1, 19).astype(np.float64))
    assert value == pytest.approx(loss, rel=3e-6)
    # The pixels of a rank share what they add; over them all it is the same.
    difference = gradient.reshape(-1, 19) - expected
    assert np.abs(difference).sum() < 0.03 * np.abs(expected).sum()
    np.testing.assert_allclose(np.abs(gradient).sum(axis=(0, 1, 2)), np.abs(expected).sum(axis=0), rtol=1e-4)


def test_lovasz_of_images_of_unknown_size_is_counted():
    labels, probabilities = _random((2, 5, 6), 3, seed=5)
    signature = [tf.TensorSpec([None] * 3, tf.int32), tf.TensorSpec([None, None, None, 3])]
    counted = tf.function(lovasz_softmax, input_signature=signature)(labels.astype(np.int32), probabilities)
    assert float(counted) == pytest.approx(float(lovasz_softmax(labels, probabilities)), rel=1e-5)
    many = np.full((1, 65, 65), np.nan, np.float32)[..., None] * np.ones(3)
    assert np.isnan(float(lovasz_softmax(np.zeros((1, 65, 65), np.uint8), many)))


def test_lovasz_gradient_by_finite_differences():
    labels, probabilities = _random((1, 3, 4), 3, seed=5)
    labels[0, 0, 0] = X
    _, (gradient,) = _gradient(lambda p: lovasz_softmax(labels, p), probabilities)
    known = labels.ravel() != X
    for where in np.ndindex(probabilities.shape):
        sides = []
        # In double precision, so that the step can be too small for any two errors to change places.
        for step in (1e-7, -1e-7):
            moved = probabilities.astype(np.float64)
            moved[where] += step
            sides.append(_lovasz_by_definition(labels.ravel()[known], moved.reshape(-1, 3)[known]))
        assert gradient[where] == pytest.approx((sides[0] - sides[1]) / 2e-7, abs=1e-5)
    assert np.abs(gradient).max() > 0.05 and not gradient[0, 0, 0].any()


def test_lovasz_takes_the_pixels_of_a_batch_together():
    labels, probabilities = _random((4, 5, 6), 4)
    value = float(lovasz_softmax(labels, probabilities))
    shuffled = np.random.default_rng(1).permutation(4 * 5 * 6)
    flat = labels.ravel()[shuffled].reshape(1, 1, -1), probabilities.reshape(-1, 4)[shuffled].reshape(1, 1, -1, 4)
    assert float(lovasz_softmax(*flat)) == pytest.approx(value, rel=1e-6)
    apart = [float(lovasz_softmax(labels[i : i + 1], probabilities[i : i + 1])) for i in range(4)]
    assert np.mean(apart) != pytest.approx(value, rel=1e-3)


def test_lovasz_counts_the_classes_that_are_present():
    labels, probabilities = _random((1, 4, 4), 2)
    more = np.concatenate([probabilities, np.zeros((1, 4, 4, 3), np.float32)], axis=-1)
    assert float(lovasz_softmax(labels, more)) == pytest.approx(float(lovasz_softmax(labels, probabilities)))


def test_lovasz_of_no_label_is_0_and_of_nan_is_nan():
    _, probabilities = _random((1, 2, 2), 3)
    labels = np.full((1, 2, 2), X, np.uint8)
    value, (gradient,) = _gradient(lambda p: lovasz_softmax(labels, p), probabilities)
    assert value == 0 and not gradient.any()
    assert np.isnan(float(lovasz_softmax(np.zeros((1, 2, 2), np.uint8), np.full((1, 2, 2, 3), np.nan, np.float32))))


def test_lovasz_with_another_ignored_label_and_in_half_precision():
    labels, probabilities = _random((1, 4, 4), 3)
    with_255 = float(lovasz_softmax(np.where(labels == 2, X, labels), probabilities))
    assert float(lovasz_softmax(labels, probabilities, ignore_label=2)) == pytest.approx(with_255)
    half = lovasz_softmax(labels, tf.cast(probabilities, tf.bfloat16))
    assert half.dtype == tf.float32
    assert float(half) == pytest.approx(float(lovasz_softmax(labels, probabilities)), rel=0.02)


def test_pixel_cross_entropy_worked_by_hand():
    labels = tf.constant([[[0, 1, X]]], tf.uint8)
    value, (gradient,) = _gradient(
        lambda z: labelled_mean(pixel_cross_entropy(labels, z), labels), [[[[0, 0], [LN3, 0], [9, -9]]]]
    )
    losses = pixel_cross_entropy(labels, tf.constant([[[[0, 0], [LN3, 0], [9, -9]]]], tf.float32))
    np.testing.assert_allclose(losses, [[[LN2, 2 * LN2, 0]]], rtol=1e-6)
    assert value == pytest.approx((LN2 + 2 * LN2) / 2)
    np.testing.assert_allclose(gradient, [[[[-0.25, 0.25], [0.375, -0.375], [0, 0]]]], rtol=1e-6)


def test_cross_entropy_without_labels_is_0():
    labels, logits = tf.fill([1, 2, 2], X), np.ones((1, 2, 2, 3))
    value, (gradient,) = _gradient(lambda z: labelled_mean(pixel_cross_entropy(labels, z), labels), logits)
    assert value == 0 and not gradient.any()


def test_binary_edges_worked_by_hand():
    # One of four is an edge: it weighs 3/4, the others 1/4. Losses ln 4 | ln 2, ln 2, 2 ln 2.
    logits = tf.constant([[[[LN3, 0], [0, 0], [0, 0], [0, LN3]]]], tf.float32)
    loss = binary_edge_cross_entropy(tf.constant([[[1, 0, 0, 0]]], tf.uint8), logits)
    assert float(loss) == pytest.approx((0.75 * 2 * LN2 + 0.25 * (LN2 + LN2 + 2 * LN2)) / (0.75 + 3 * 0.25), rel=1e-6)
    # With the last pixel out of account the shares are 1/3 and 2/3.
    mask = tf.constant([[[True, True, True, False]]])
    masked = binary_edge_cross_entropy(tf.constant([[[1, 0, 0, 0]]], tf.uint8), logits, mask)
    assert float(masked) == pytest.approx((2 / 3 * 2 * LN2 + 1 / 3 * 2 * LN2) / (4 / 3), rel=1e-6)


@pytest.mark.parametrize("side", [0, 1])
def test_binary_edges_of_one_side_only_weigh_nothing(side):
    truth = tf.fill([1, 2, 2], side)
    value, (gradient,) = _gradient(lambda z: binary_edge_cross_entropy(truth, z), np.ones((1, 2, 2, 2)))
    assert value == 0 and not gradient.any()


def test_category_edges_worked_by_hand():
    # No edge: two pixels of loss ln 3 and ln 5; class 1: none; class 2: one pixel of ln 3. (ln 3 + ln 5)/2 and ln 3.
    edges = np.zeros((1, 1, 3, 3), np.uint8)
    edges[0, 0, 2, 2] = 1
    logits = tf.constant([[[[0, 0, 0], [0, LN3, 0], [0, 0, 0]]]], tf.float32)
    loss = category_edge_cross_entropy(edges, logits)
    assert float(loss) == pytest.approx(((LN3 + np.log(5)) / 2 + LN3) / 2, rel=1e-6)
    mask = tf.constant([[[True, False, True]]])
    assert float(category_edge_cross_entropy(edges, logits, mask)) == pytest.approx(LN3, rel=1e-6)


def test_category_edges_weigh_by_inverse_frequency():
    random = np.random.default_rng(0)
    labels = np.repeat(np.repeat(random.integers(0, 4, (2, 3, 3)), 4, axis=1), 3, axis=2)
    _, edges = edge_labels(labels, 5)
    logits = random.normal(size=(2, 12, 9, 5)).astype(np.float32)
    target = edges.numpy().argmax(axis=-1)
    frequency = np.bincount(target.ravel(), minlength=5) / target.size
    assert frequency[4] == 0 < frequency[1:4].min()
    weights = 1 / frequency[target]
    losses = -np.log(np.take_along_axis(_softmax(logits), target[..., None], axis=-1))[..., 0]
    expected = (weights * losses).sum() / weights.sum()
    assert float(category_edge_cross_entropy(edges, logits)) == pytest.approx(expected, rel=1e-5)


def test_no_pixel_to_count_is_0():
    nowhere = tf.zeros([1, 2, 2], tf.bool)
    edges = np.ones((1, 2, 2, 3), np.uint8)
    for loss in (
        lambda z: category_edge_cross_entropy(edges, z, nowhere),
        lambda z: binary_edge_cross_entropy(edges[..., 1], z, nowhere),
        lambda z: distillation_kl(tf.zeros_like(z), z, nowhere),
    ):
        value, (gradient,) = _gradient(loss, np.ones((1, 2, 2, 3)))
        assert value == 0 and not gradient.any()


def test_binary_attention_worked_by_hand():
    # Image 0: (1 + 3) / 2 on two edge pixels; image 1 has none.
    losses = [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    edges = tf.constant([[[1, 0], [1, 0]], [[0, 0], [0, 0]]], tf.uint8)
    value, (gradient,) = _gradient(lambda x: binary_edge_attention(x, edges), losses)
    assert value == (1 + 3) / 2 / 2
    assert gradient.tolist() == [[[0.25, 0], [0.25, 0]], [[0, 0], [0, 0]]]


def test_category_attention_worked_by_hand():
    losses = [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    edges = np.zeros((2, 2, 2, 3), np.uint8)
    edges[0, 0, :, 1] = 1  # image 0, class 1: mean of 1 and 2
    edges[0, 1, 0, 2] = 1  # class 2: 3
    edges[1, 1, 1, 2] = 1  # image 1, class 2: 8
    value, (gradient,) = _gradient(lambda x: category_edge_attention(x, edges), losses)
    assert value == pytest.approx((1.5 + 3 + 8) / (2 * 3))
    np.testing.assert_allclose(gradient * 6, [[[0.5, 0.5], [1, 0]], [[0, 0], [0, 1]]], rtol=1e-6)
    weighted = category_edge_attention(tf.constant(losses, tf.float32), edges, class_weights=[7, 1, 10])
    assert float(weighted) == pytest.approx((1.5 + 30 + 80) / 6)


def test_attention_without_any_boundary_is_0():
    labels = np.array([[[1, 1], [1, 1]], [[X, X], [X, X]]])
    binary, category = edge_labels(labels, 3)
    for attend, edges in ((binary_edge_attention, binary), (category_edge_attention, category)):
        value, (gradient,) = _gradient(
            lambda z, attend=attend, edges=edges: attend(pixel_cross_entropy(labels, z), edges), np.ones((2, 2, 2, 3))
        )
        assert value == 0 and not gradient.any()


def test_equation_5():
    assert dml_loss(1, 2, 10, 100, 1000, 10000) == 3 + (10 + 4 * 1000) + (100 + 10000)
    assert dml_loss(1, 2, 10, 100, 1000, 10000, weights=(2, 3, 5, 7, 11)) == 6 + (30 + 7000) + (500 + 110_000)


def test_distillation_worked_by_hand():
    # Teacher 3/4, 1/4 and student 1/2, 1/2: 3/4 ln 3/2 + 1/4 ln 1/2. The other pixel agrees up to a constant.
    teacher, student = [[[[LN3, 0], [5, 4]]]], [[[[0, 0], [2, 1]]]]
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    value, (to_teacher, gradient) = _gradient(distillation_kl, teacher, student)
    assert value == pytest.approx(expected / 2, rel=1e-5)
    assert to_teacher is None
    np.testing.assert_allclose(gradient, [[[[-0.125, 0.125], [0, 0]]]], atol=1e-7)
    teacher, student = tf.constant(teacher, tf.float32), tf.constant(student, tf.float32)
    assert float(distillation_kl(teacher, student, tf.constant([[[True, False]]]))) == pytest.approx(expected, rel=1e-5)


def test_distillation_of_certainty_is_finite():
    value, (_, gradient) = _gradient(distillation_kl, [[[[1e4, 0, 0]]]], [[[[0, 1e3, 0]]]])
    assert value == pytest.approx(1e3)
    assert np.isfinite(gradient).all()


def test_equation_7():
    assert csr_loss(1, 2, 10, 100) == pytest.approx(3 + 10 + 10)
    assert csr_loss(1, 2, 10, 100, weights=(2, 3, 5)) == 6 + 30 + 500


def test_ignored_pixels_change_nothing():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, (2, 6, 6))
    labels[:, :, 4:] = X
    logits = random.normal(size=(2, 6, 6, 3)).astype(np.float32)
    other = logits.copy()
    other[:, :, 4:] = random.normal(size=(2, 6, 2, 3)) * 50
    binary, category = edge_labels(labels, 3)
    mask = tf.constant(labels != X)

    def terms(z):
        pixels = pixel_cross_entropy(labels, z)
        return [
            labelled_mean(pixels, labels),
            lovasz_softmax(labels, tf.nn.softmax(z)),
            binary_edge_cross_entropy(binary, z[..., :2], mask),
            category_edge_cross_entropy(category, z, mask),
            binary_edge_attention(pixels, binary),
            category_edge_attention(pixels, category),
            distillation_kl(z[..., ::-1], z, mask),
        ]

    np.testing.assert_allclose(terms(tf.constant(other)), terms(tf.constant(logits)), rtol=1e-6)
    assert min(float(term) for term in terms(tf.constant(logits))) > 0.01
    _, (gradient,) = _gradient(lambda z: tf.add_n(terms(z)), other)
    assert not gradient[:, :, 4:].any() and np.isfinite(gradient).all() and gradient[:, :, :4].any()
