"""DML-CSR's loss, worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from components.systems.dml_csr.loss import DMLLoss
from components.tasks.base import learning_of
from tests.support.tasks import bound_task

LN2 = np.log(2)

# One image of 1 x 4, classes 0 and 1, even odds everywhere: each pixel costs ln 2. The edge lies in the middle.
TRUTH = {"parsing": tf.constant([[[0, 0, 1, 1]]], tf.uint8)}
EVEN = {
    "parsing": tf.zeros([1, 1, 4, 2]),
    "binary_edge": tf.zeros([1, 1, 4, 2]),
    "category_edge": tf.zeros([1, 1, 4, 2]),
}


def _loss(*arguments, **options):
    objective = DMLLoss(*arguments, **options)
    objective.bind({"parsing": learning_of(bound_task("parsing", "segmentation", ("background", "face")), (1, 4))})
    return objective


def test_the_loss_is_equation_5():
    terms = _loss(weights=(2, 3, 5, 7, 11))(TRUTH, EVEN)
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
    assert set(terms) == set(DMLLoss.TERMS)


@pytest.mark.parametrize(
    ("weights", "edges", "attention"),
    [((1, 0, 0, 0, 0), 0, 0), ((1, 1, 0, 0, 0), LN2, 0), ((1, 1, 0, 4, 0), LN2, LN2), ((1, 0, 1, 0, 1), LN2, LN2 / 2)],
)
def test_parts_without_a_weight_are_left_out(weights, edges, attention):
    terms = _loss(weights)(TRUTH, EVEN)
    assert float(terms["edge_loss"]) == pytest.approx(edges, rel=1e-5)
    assert float(terms["attention_loss"]) == pytest.approx(attention, rel=1e-5)


def test_classes_weigh_as_the_experiment_says():
    """Of two classes the face alone has an edge: w_1 · ln 2 / 2 (Eq. 4)."""
    terms = _loss((1, 0, 0, 0, 1), class_weights=(5, 3))(TRUTH, EVEN)
    assert float(terms["attention_loss"]) == pytest.approx(3 * LN2 / 2, rel=1e-5)


def test_what_it_refuses():
    with pytest.raises(ValueError, match="one number for each of 2 classes, background among them; received 3"):
        _loss(class_weights=(1, 2, 3))
    task = bound_task("parsing", "segmentation", ("background", "face"), lovasz=1.0)
    with pytest.raises(ValueError, match="DMLLoss has its own Lovász-softmax: leave lovasz out of task 'parsing'"):
        DMLLoss().bind({"parsing": learning_of(task, (1, 4))})


def test_every_second_row_and_column():
    """What lies between counts nowhere, for the edges neither."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, (1, 5, 9)).astype(np.uint8)
    outputs = {name: random.normal(size=(1, 5, 9, 2)).astype(np.float32) for name in EVEN}
    expected = _loss()(
        {"parsing": truth[:, ::2, ::2]}, {name: tf.constant(x[:, ::2, ::2]) for name, x in outputs.items()}
    )
    terms = _loss(stride=2)({"parsing": tf.constant(truth)}, {name: tf.constant(x) for name, x in outputs.items()})
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(float(value), rel=1e-5)


def test_parsing_alone_needs_no_edge_branches():
    terms = _loss((1, 0, 0, 0, 0))(TRUTH, {"parsing": EVEN["parsing"]})
    assert float(terms["loss"]) == pytest.approx(LN2 + 0.5, rel=1e-5)


def test_ignored_pixels_are_left_out():
    """The second half of a image twice as wide has no label: nothing changes, and no edge lies where labels end."""
    wider = {"parsing": tf.constant([[[0, 0, 1, 1, 255, 255, 255, 255]]], tf.uint8)}
    random = np.random.default_rng(0)
    beyond = {name: random.normal(0, 5, (1, 1, 4, 2)).astype(np.float32) for name in EVEN}
    outputs = {name: tf.concat([EVEN[name], beyond[name]], axis=2) for name in EVEN}
    objective = _loss()
    for name, value in objective(TRUTH, EVEN).items():
        assert float(objective(wider, outputs)[name]) == pytest.approx(float(value), rel=1e-5), name
