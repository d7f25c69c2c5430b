"""A parsing network in training: its mean F1 by hand, and what an epoch leaves."""

import numpy as np
import pytest
import tensorflow as tf
import tiny_faces
from tensorflow import keras

from components.trainer.objectives import DecoupledObjective
from components.trainer.parsing_model import MeanF1, ParsingModel

# Truth 1 1 2 2 / 0 0 1 255, prediction 1 2 2 2 / 0 1 1 0.
# Class 0: 1 right, 2 in truth, 1 predicted: 2/3. Class 1: 2 right, 3, 3: 2/3. Class 2: 2 right, 2, 3: 4/5.
TRUTH = np.array([[[1, 1, 2, 2], [0, 0, 1, 255]]], np.uint8)
PREDICTION = np.array([[[1, 2, 2, 2], [0, 1, 1, 0]]])
LOGITS = np.eye(4, dtype=np.float32)[PREDICTION]


def test_mean_f1_worked_by_hand():
    metric = MeanF1(4)
    metric.update_state(TRUTH, LOGITS)
    np.testing.assert_allclose(metric.f1(), [2 / 3, 2 / 3, 4 / 5, np.nan])
    assert float(metric.result()) == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_batches_add_up():
    together, apart = MeanF1(4), MeanF1(4)
    pair = np.concatenate([TRUTH, 2 - np.minimum(TRUTH, 2)]), np.concatenate([LOGITS, LOGITS[:, ::-1]])
    together.update_state(*pair)
    for truth, logits in zip(*pair, strict=True):
        apart.update_state(truth[None], logits[None])
    np.testing.assert_array_equal(together.f1(), apart.f1())


def test_nothing_counted():
    assert float(MeanF1(4).result()) == 0


@pytest.fixture(scope="module")
def trained():
    """Two epochs on four random pictures, with their validation; what Keras logged, and the model."""
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    data = tf.data.Dataset.from_tensor_slices((images, {"parsing": random.integers(0, 4, (4, 8, 8)).astype(np.uint8)}))
    model = ParsingModel(tiny_faces.parsing_network((8, 8, 3)), DecoupledObjective())
    model.compile(keras.optimizers.SGD(0.01), weighted_metrics=[])
    logs = model.fit(data.batch(2), validation_data=data.batch(3), epochs=2, verbose=0).history
    return logs, model, images, np.stack([labels["parsing"] for _, labels in data.as_numpy_iterator()])


def test_what_is_logged(trained):
    logs, _, _, _ = trained
    terms = {"loss", "parsing_loss", "edge_loss", "attention_loss"}
    assert logs.keys() == terms | {f"val_{name}" for name in terms} | {"val_mean_f1"}
    assert logs["loss"][1] < logs["loss"][0]


def test_validation_counts_the_whole_split_once(trained):
    logs, model, images, truth = trained
    predicted = model.network(images.astype(np.float32))["parsing"].numpy().argmax(-1)
    f1 = [2 * np.sum((predicted == c) & (truth == c)) / (np.sum(predicted == c) + np.sum(truth == c)) for c in range(4)]
    np.testing.assert_allclose(model.epoch_record()["val_f1"], f1)
    assert logs["val_mean_f1"][-1] == pytest.approx(np.mean(f1[1:]))
