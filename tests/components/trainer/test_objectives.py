"""Objectives on labels and outputs whose losses a person worked out."""

import numpy as np
import pytest
import tensorflow as tf

from components.trainer.objectives import AttributeCrossEntropy, DecoupledObjective, JointObjective

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
    assert AttributeCrossEntropy.THRESHOLD == 0.5
    assert JointObjective.THRESHOLD == 0


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
