"""What the clean process makes of single answers."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import tensorflow as tf

from components.serving import replay

PROBABILITIES = {
    "kind": "probabilities", "dtype": "float32", "shape": [None, 2], "names": ["a", "b"],
    "minimum": 0, "maximum": 1, "sums_to_one": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([[0.2, 0.8], [1.0, 0.0]], None),
        ([[0.2, 0.80009], [0.5, 0.5]], None),
        ([[0.2, 0.8002], [0.5, 0.5]], "sums to 1 but for 0.0002, allowed 1e-04"),
        ([[0.2, 0.8], [1.2, -0.2]], "is from -0.2 to 1.2, expected probabilities from 0 to 1"),
        ([[0.2, 0.8], [np.nan, 0.5]], "emotion is not finite"),
        ([[0.2, 0.7, 0.1]] * 2, r"float32 \(2, 3\), expected float32 \(2, 2\)"),
        ([[0.2, 0.8]], r"float32 \(1, 2\), expected float32 \(2, 2\)"),
    ],
)
def test_probabilities(values, reason):
    with contextlib.nullcontext() if reason is None else pytest.raises(AssertionError, match=reason):
        replay.check_output(tf, "emotion", tf.constant(values), PROBABILITIES, [b"", b""])


def test_names():
    contract = {"kind": "names", "dtype": "string", "shape": [2], "names": ["a", "b"]}
    replay.check_output(tf, "names", tf.constant(["a", "b"]), contract, [])
    with pytest.raises(AssertionError, match="gives the names"):
        replay.check_output(tf, "names", tf.constant(["b", "a"]), contract, [])
