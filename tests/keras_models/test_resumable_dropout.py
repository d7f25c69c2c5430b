"""Dropout that resumes: what it drops, and that a checkpoint has its randomness."""

import numpy as np
import tensorflow as tf
from layer_checks import check_layer
from tensorflow import keras

from keras_models.resumable_dropout import ResumableDropout

ONES = np.ones((20, 500), np.float32)


def test_conformance():
    check_layer(ResumableDropout(0.3, name="dropout"), ONES)


def test_a_share_is_dropped_in_training_alone():
    layer = ResumableDropout(0.2)
    np.testing.assert_array_equal(layer(ONES), ONES)
    dropped = layer(ONES, training=True).numpy()
    np.testing.assert_allclose(np.unique(dropped), [0, 1 / 0.8], rtol=1e-6)
    assert abs((dropped == 0).mean() - 0.2) < 0.02
    assert (layer(ONES, training=True).numpy() != dropped).any()


def test_a_checkpoint_continues_the_stream(tmp_path):
    keras.utils.set_random_seed(1)
    layer, other = ResumableDropout(0.5), ResumableDropout(0.5)
    layer(ONES), other(ONES)
    assert (layer(ONES, training=True).numpy() != other(ONES, training=True).numpy()).any()
    path = tf.train.Checkpoint(layer=layer).save(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(layer=other).restore(path).assert_consumed()
    for _ in range(2):
        np.testing.assert_array_equal(layer(ONES, training=True), other(ONES, training=True))
