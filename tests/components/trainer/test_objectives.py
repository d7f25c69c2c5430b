"""Objectives on labels and outputs whose losses a person worked out."""

import numpy as np
import pytest
import tensorflow as tf

from components.trainer.objectives import (
    AttributeCrossEntropy,
    DecoupledObjective,
    JointObjective,
    TaskCrossEntropy,
    one_hot,
)

# Two images, two attributes; the second image has no label for attribute 1.
LABELS = {
    "attributes": tf.constant([[1, 0], [0, -1]], tf.int64),
    "positive_rate": tf.constant([[0.25, 0.5], [0.25, 0.5]]),
}
OUTPUTS = {
    "attributes": tf.constant([[0.5, 0.5], [0.5, 0.5]]),
    "base": tf.constant([[0.25, 0.2], [0.75, 0.9]]),
}
LN2, LN4 = np.log(2), np.log(4)


def test_cross_entropies_of_all_outputs_add_up():
    total, annotated = AttributeCrossEntropy().attribute_losses(LABELS, OUTPUTS)
    np.testing.assert_allclose(total, [(LN2 + LN4) + (LN2 + LN4), LN2 - np.log(0.8)], rtol=1e-5)
    assert annotated.numpy().tolist() == [2, 1]


def test_the_loss_is_equation_5_with_a_weight_for_each_attribute():
    terms = AttributeCrossEntropy()(LABELS, OUTPUTS, tf.constant([1.0, 3.0]))
    means = np.array([LN2 + LN4, LN2 - np.log(0.8)])
    assert float(terms["loss"]) == pytest.approx(means @ [1, 3], rel=1e-5)
    assert float(terms["attribute_loss"]) == pytest.approx(means.mean(), rel=1e-5)
    assert set(terms) == set(AttributeCrossEntropy.TERMS)


def test_the_balanced_loss_takes_the_rates_of_the_training_split():
    # w⁺ = 2, w⁻ = 2/3 for attribute 0; 1 and 1 for attribute 1.
    total, _ = AttributeCrossEntropy(balanced=True).attribute_losses(LABELS, OUTPUTS)
    np.testing.assert_allclose(total, [(2 + 2 / 3) * (LN2 + LN4), LN2 - np.log(0.8)], rtol=1e-5)


def test_decisions_start_in_the_middle_of_the_scores():
    assert AttributeCrossEntropy.THRESHOLD == TaskCrossEntropy.THRESHOLD == 0.5
    assert JointObjective.THRESHOLD == 0


# The second image's attribute 1 is said by a teacher; of the annotated ones what a teacher says is not asked.
ATTRIBUTE_TASKS = {
    "attributes": tf.constant([[1, 0], [0, -1]], tf.int64),
    "attributes_soft": tf.constant([[0.9, 0.9], [0.9, 0.25]]),
}
ATTRIBUTE_SCORES = tf.constant([[0.5, 0.2], [0.25, 0.1]])
# The second image's clothing is said by a teacher: surely not the first category.
CLOTHING_TASKS = {
    "clothing": tf.constant([1, -1], tf.int64),
    "clothing_soft": tf.constant([[-1.0, -1.0, -1.0], [0.0, 0.5, 1.0]]),
}
CLOTHING_SCORES = tf.constant([[0.5, 0.5, 0.25], [0.2, 0.5, 0.1]])
# Σ over the two images, by task.
ATTRIBUTE_SUMS = [LN2 - np.log(0.75), -np.log(0.8) - 0.25 * np.log(0.1) - 0.75 * np.log(0.9)]
CLOTHING_SUMS = [LN2 - np.log(0.8), LN2 + LN2, -np.log(0.75) - np.log(0.1)]


def _without_teachers(labels):
    return {name: value for name, value in labels.items() if not name.endswith("_soft")}


def test_tasks_are_attributes():
    objective, outputs = TaskCrossEntropy(), {"attributes": ATTRIBUTE_SCORES}
    assert objective.truth(ATTRIBUTE_TASKS, outputs).numpy().tolist() == [[1, 0], [0, -1]]
    assert objective.targets(ATTRIBUTE_TASKS, outputs).numpy().tolist() == [[1, 0], [0, 0.25]]
    total, known = objective.attribute_losses(ATTRIBUTE_TASKS, outputs)
    np.testing.assert_allclose(total, ATTRIBUTE_SUMS, rtol=1e-5)
    assert known.numpy().tolist() == [2, 2]
    terms = objective(ATTRIBUTE_TASKS, outputs, tf.constant([1.0, 3.0]))
    means = np.array(ATTRIBUTE_SUMS) / 2
    assert float(terms["loss"]) == pytest.approx(means @ [1, 3], rel=1e-5)
    assert float(terms["task_loss"]) == pytest.approx(means.mean(), rel=1e-5)
    assert set(terms) == set(TaskCrossEntropy.TERMS)


def test_without_a_teacher_only_what_is_annotated_is_learnt():
    labels, outputs = _without_teachers(ATTRIBUTE_TASKS), {"attributes": ATTRIBUTE_SCORES}
    assert TaskCrossEntropy().targets(labels, outputs).numpy().tolist() == [[1, 0], [0, -1]]
    total, known = TaskCrossEntropy().attribute_losses(labels, outputs)
    np.testing.assert_allclose(total, [ATTRIBUTE_SUMS[0], -np.log(0.8)], rtol=1e-5)
    assert known.numpy().tolist() == [2, 1]


def test_tasks_are_clothing():
    objective, outputs = TaskCrossEntropy(), {"clothing": CLOTHING_SCORES}
    assert objective.truth(CLOTHING_TASKS, outputs).numpy().tolist() == [[0, 1, 0], [-1, -1, -1]]
    total, known = objective.attribute_losses(CLOTHING_TASKS, outputs)
    np.testing.assert_allclose(total, CLOTHING_SUMS, rtol=1e-5)
    assert known.numpy().tolist() == [2, 2, 2]
    total, known = objective.attribute_losses(_without_teachers(CLOTHING_TASKS), outputs)
    np.testing.assert_allclose(total, [LN2, LN2, -np.log(0.75)], rtol=1e-5)
    assert known.numpy().tolist() == [1, 1, 1]


@pytest.mark.parametrize("taught", ["attributes", "clothing", "both"])
def test_tasks_are_attributes_and_then_clothing(taught):
    """Whatever the order of the outputs; a teacher may be there for one of them alone."""
    objective, outputs = TaskCrossEntropy(), {"clothing": CLOTHING_SCORES, "attributes": ATTRIBUTE_SCORES}
    labels = {**ATTRIBUTE_TASKS, **CLOTHING_TASKS}
    if taught != "both":
        labels = {name: value for name, value in labels.items() if name in ("attributes", "clothing", f"{taught}_soft")}
    truth, targets = objective.truth(labels, outputs), objective.targets(labels, outputs)
    assert truth.dtype == tf.int64 and targets.dtype == tf.float32
    assert truth.numpy().tolist() == [[1, 0, 0, 1, 0], [0, -1, -1, -1, -1]]
    attributes = [0, 0.25] if taught != "clothing" else [0, -1]
    clothing = [0, 0.5, 1] if taught != "attributes" else [-1, -1, -1]
    assert targets.numpy().tolist() == [[1, 0, 0, 1, 0], attributes + clothing]
    np.testing.assert_array_equal(objective.scores(outputs), tf.concat([ATTRIBUTE_SCORES, CLOTHING_SCORES], axis=1))
    total, known = objective.attribute_losses(labels, outputs)
    if taught == "both":
        np.testing.assert_allclose(total, ATTRIBUTE_SUMS + CLOTHING_SUMS, rtol=1e-5)
    assert known.numpy().tolist() == (targets.numpy() >= 0).sum(axis=0).tolist()


def test_records_of_several_sources_are_learnt_from_together():
    """One has attributes, the other clothing: each counts for its own tasks as it would alone."""
    labels = {
        "attributes": tf.constant([[1, 0], [-1, -1]], tf.int64),
        "clothing": tf.constant([-1, 2], tf.int64),
    }
    outputs = {"attributes": ATTRIBUTE_SCORES, "clothing": CLOTHING_SCORES}
    terms = TaskCrossEntropy()(labels, outputs, tf.ones(5))
    alone = [LN2, -np.log(0.8), -np.log(0.8), LN2, -np.log(0.1)]
    assert float(terms["loss"]) == pytest.approx(sum(alone), rel=1e-5)
    assert float(terms["task_loss"]) == pytest.approx(np.mean(alone), rel=1e-5)


def test_tasks_that_nothing_is_known_of_cost_nothing():
    labels = {"attributes": -tf.ones([2, 2], tf.int64), "clothing": -tf.ones([2], tf.int64)}
    certain = {"attributes": tf.constant([[0.0, 1.0]] * 2), "clothing": tf.constant([[0.0, 1.0, 0.5]] * 2)}
    with tf.GradientTape() as tape:
        tape.watch(certain)
        terms = TaskCrossEntropy()(labels, certain, tf.ones(5))
    assert float(terms["loss"]) == float(terms["task_loss"]) == 0
    for gradient in tape.gradient(terms["loss"], certain).values():
        assert not gradient.numpy().any()


def test_scores_that_are_certain_and_wrong_are_finite():
    labels = {"attributes": tf.constant([[1, 0]], tf.int64), "clothing": tf.constant([1], tf.int64)}
    wrong = {"attributes": tf.constant([[0.0, 1.0]]), "clothing": tf.constant([[1.0, 0.0, 1.0]])}
    with tf.GradientTape() as tape:
        tape.watch(wrong)
        loss = TaskCrossEntropy()(labels, wrong, tf.ones(5))["loss"]
    assert 50 < float(loss) < 100
    for gradient in tape.gradient(loss, wrong).values():
        assert np.isfinite(gradient).all()


def test_one_hot():
    tasks = one_hot(tf.constant([2, -1, 0], tf.int64), 3)
    assert tasks.dtype == tf.int64
    assert tasks.numpy().tolist() == [[0, 0, 1], [-1, -1, -1], [1, 0, 0]]


# One picture of 1 x 4, classes 0 and 1, even odds everywhere: each pixel costs ln 2. The edge lies in the middle.
TRUTH = {"parsing": tf.constant([[[0, 0, 1, 1]]], tf.uint8)}
EVEN = {
    "parsing": tf.zeros([1, 1, 4, 2]),
    "binary_edge": tf.zeros([1, 1, 4, 2]),
    "category_edge": tf.zeros([1, 1, 4, 2]),
}


def test_the_decoupled_loss_is_equation_5():
    terms = DecoupledObjective(weights=(2, 3, 5, 7, 11))(TRUTH, EVEN)
    # Lovász: all errors are 1/2, and a class's weights add up to 1.
    parsing, lovasz = LN2, 0.5
    # Both kinds of edges cost ln 2 a pixel however weighted; attention is ln 2 on the edge, and over the two classes
    # half of that, since background has no edge of its own.
    edges, binary_attention, category_attention = LN2, LN2, LN2 / 2
    expected = 2 * (parsing + lovasz) + 3 * edges + 5 * edges + 7 * binary_attention + 11 * category_attention
    assert float(terms["loss"]) == pytest.approx(expected, rel=1e-5)
    assert float(terms["parsing_loss"]) == pytest.approx(parsing + lovasz, rel=1e-5)
    assert float(terms["edge_loss"]) == pytest.approx(2 * edges, rel=1e-5)
    assert float(terms["attention_loss"]) == pytest.approx(binary_attention + category_attention, rel=1e-5)
    assert set(terms) == set(DecoupledObjective.TERMS)


@pytest.mark.parametrize(
    ("weights", "edges", "attention"),
    [((1, 0, 0, 0, 0), 0, 0), ((1, 1, 0, 0, 0), LN2, 0), ((1, 1, 0, 4, 0), LN2, LN2), ((1, 0, 1, 0, 1), LN2, LN2 / 2)],
)
def test_parts_without_a_weight_are_left_out(weights, edges, attention):
    terms = DecoupledObjective(weights)(TRUTH, EVEN)
    assert float(terms["edge_loss"]) == pytest.approx(edges, rel=1e-5)
    assert float(terms["attention_loss"]) == pytest.approx(attention, rel=1e-5)


def test_parsing_alone_needs_no_edge_branches():
    terms = DecoupledObjective((1, 0, 0, 0, 0))(TRUTH, {"parsing": EVEN["parsing"]})
    assert float(terms["loss"]) == pytest.approx(LN2 + 0.5, rel=1e-5)


def test_ignored_pixels_are_left_out():
    """The second half of a picture twice as wide has no label: nothing changes, and no edge lies where labels end."""
    wider = {"parsing": tf.constant([[[0, 0, 1, 1, 255, 255, 255, 255]]], tf.uint8)}
    random = np.random.default_rng(0)
    beyond = {name: random.normal(0, 5, (1, 1, 4, 2)).astype(np.float32) for name in EVEN}
    outputs = {name: tf.concat([EVEN[name], beyond[name]], axis=2) for name in EVEN}
    objective = DecoupledObjective()
    for name, value in objective(TRUTH, EVEN).items():
        assert float(objective(wider, outputs)[name]) == pytest.approx(float(value), rel=1e-5), name
