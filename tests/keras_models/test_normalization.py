"""Batch norm: PyTorch's constants, and statistics of the whole batch where it is split over replicas."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from keras_models.normalization import batch_norm


def test_a_step_moves_the_statistics_a_tenth_of_the_way():
    layer = batch_norm("bn")
    layer(np.array([[1.0], [3.0]], np.float32), training=True)  # mean 2, variance 1
    assert layer.moving_mean.numpy() == pytest.approx([0.9 * 0 + 0.1 * 2])
    assert layer.moving_variance.numpy() == pytest.approx([0.9 * 1 + 0.1 * 1])


def test_epsilon():
    layer = batch_norm("bn")
    layer.build((None, 1))
    layer.moving_variance.assign([3e-5])
    assert layer(np.array([[1e-2]], np.float32)).numpy() == pytest.approx(np.array([[1e-2 / np.sqrt(4e-5)]]))


@pytest.mark.parametrize(("replicas", "synchronized"), [(1, False), (2, True)])
def test_statistics_are_those_of_all_replicas(replicas, synchronized, monkeypatch):
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: SimpleNamespace(num_replicas_in_sync=replicas))
    layer = batch_norm("bn")
    assert (layer.synchronized, layer.name) == (synchronized, "bn")
