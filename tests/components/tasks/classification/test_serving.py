"""Probabilities of one class an image, worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from components.images.crop import WHOLE
from components.tasks.base import serving_of
from tests.support.learning import logits
from tests.support.serving import bound


@pytest.mark.parametrize(
    ("options", "output", "answer"),
    [
        ({}, logits([1.0, 3.0, 4.0], [2.0, 1.0, 1.0]), [[0.125, 0.375, 0.5], [0.5, 0.25, 0.25]]),
        ({"scores": "logits"}, tf.constant([[1000.0, 0.0, 0.0]]), [[1, 0, 0]]),
        ({"scores": "probabilities"}, tf.constant([[0.9, 0.8, 0.0]]), [[0.9, 0.8, 0]]),
    ],
)
def test_probabilities(options, output, answer):
    serving = serving_of(bound("mood", "classification", ("calm", "sad", "glad"), **options))
    answers = serving.outputs(output, tf.constant([WHOLE] * len(answer)), None)
    assert answers.keys() == {"mood"} and not serving.variables
    np.testing.assert_allclose(answers["mood"], answer, rtol=1e-6)
    assert serving.contract() == {
        "mood": {
            "kind": "probabilities",
            "dtype": "float32",
            "shape": [None, 3],
            "names": ["calm", "sad", "glad"],
            "minimum": 0,
            "maximum": 1,
            "sums_to_one": options.get("scores") != "probabilities",
        }
    }
