"""Scores and decisions of yes-or-no labels, worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from components.images.crop import WHOLE
from components.tasks.base import learning_of, serving_of
from tests.support.serving import bound


def _bound(**options):
    return bound("looks", "multi_label", ("Male", "Young"), **options)


@pytest.mark.parametrize("options", [{}, {"scores": "signed"}, {"scores": "probabilities"}])
def test_scores_are_the_networks_and_decisions_are_above_the_thresholds(options):
    serving = serving_of(_bound(**options))
    serving.thresholds.assign([0.25, 0.5])
    scores = tf.constant([[0.25, 0.75], [0.375, 0.5], [-3.0, 0.625]])
    answers = serving.outputs(scores, tf.constant([WHOLE] * 3), None)
    assert answers.keys() == serving.contract().keys() == {"looks", "looks_decisions"}
    np.testing.assert_array_equal(answers["looks"], scores)
    assert answers["looks_decisions"].dtype == tf.int64
    np.testing.assert_array_equal(answers["looks_decisions"], [[0, 1], [1, 0], [0, 1]])


@pytest.mark.parametrize(("scores", "start"), [("logits", 0), ("signed", 0), ("probabilities", 0.5)])
def test_thresholds_are_those_that_training_keeps(scores, start):
    task = _bound(scores=scores)
    serving, state = serving_of(task), learning_of(task, (8, 8)).state()
    np.testing.assert_array_equal(serving.thresholds, [start, start])
    assert {name: getattr(serving, name).shape for name in state} == {"thresholds": [2]}
    np.testing.assert_array_equal(state["thresholds"], serving.thresholds)


@pytest.mark.parametrize(
    ("options", "scores"),
    [
        ({}, {"kind": "scores"}),
        ({"scores": "signed"}, {"kind": "scores"}),
        ({"scores": "probabilities"}, {"kind": "probabilities", "minimum": 0, "maximum": 1}),
    ],
)
def test_contract(options, scores):
    serving = serving_of(_bound(**options))
    serving.thresholds.assign([0.25, 0.5])
    named = {"shape": [None, 2], "names": ["Male", "Young"]}
    decisions = {"kind": "decisions", "dtype": "int64", "minimum": 0, "maximum": 1, "thresholds": [0.25, 0.5]}
    assert serving.contract() == {
        "looks": {"dtype": "float32", **named, **scores},
        "looks_decisions": {**decisions, **named},
    }
