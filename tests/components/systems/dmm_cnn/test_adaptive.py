"""The adaptive callbacks in model.fit, against the same steps redone in NumPy on the network's own predictions."""

import types

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from components.systems.dmm_cnn.adaptive import (
    AdaptiveThresholds,
    AdaptiveWeighting,
    DynamicWeightAverage,
    DynamicWeights,
)
from components.systems.dmm_cnn.loss import DMMLoss
from components.tasks.base import learning_of
from components.trainer.task_model import TaskModel
from tests.support import tiny_faces

EPOCHS = 4
NUM_ATTRIBUTES = len(tiny_faces.ATTRIBUTES)


def _arrays(count, seed):
    """Images of 6x5 with labels 1, 0 and, for a few, -1."""
    random = np.random.default_rng(seed)
    labels = random.choice([1, 0, -1], (count, NUM_ATTRIBUTES), p=[0.3, 0.6, 0.1])
    return random.integers(0, 256, (count, 6, 5, 3)).astype(np.uint8), labels.astype(np.int64)


TRAIN, VALIDATION = _arrays(24, seed=1), _arrays(30, seed=2)


def _dataset(split):
    images, labels = split
    return tf.data.Dataset.from_tensor_slices((images, {"attributes": labels}))


def _losses(scores, labels):
    """Eq. 2 in NumPy: the mean over annotated images."""
    squared = np.where(labels >= 0, (scores - (2 * labels - 1)) ** 2, 0)
    return squared.sum(axis=0) / (labels >= 0).sum(axis=0)


class _Probe(keras.callbacks.Callback):
    """Stands before a callback: what the network answers, and the state that the callback is about to change."""

    def __init__(self):
        super().__init__()
        self.validation_scores, self.training_scores, self.thresholds, self.batch_scores = [], [], [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.training_scores.append(self.model.network(TRAIN[0])["attributes"].numpy())

    def on_train_batch_end(self, batch, logs=None):
        self.batch_scores.append(self.model.network(VALIDATION[0])["attributes"].numpy())

    def on_test_end(self, logs=None):
        self.validation_scores.append(self.model.network(VALIDATION[0])["attributes"].numpy())
        self.thresholds.append(self.model.tasks["attributes"].thresholds.numpy())


class _Weights(keras.callbacks.Callback):
    """Stands behind a callback: the attributes' weights after every step and every epoch."""

    def __init__(self):
        super().__init__()
        self.by_step, self.by_epoch = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.by_step.append(self.model.tasks["attributes"].weights.numpy())

    def on_epoch_end(self, epoch, logs=None):
        self.by_epoch.append(self.model.tasks["attributes"].weights.numpy())


def _model(learning_rate=0.05):
    keras.utils.set_random_seed(0)
    (task,) = tiny_faces.bound(tiny_faces.SIGNED)
    model = TaskModel(tiny_faces.linear_network((6, 5, 3)), {"attributes": learning_of(task, (6, 5))}, DMMLoss())
    model.compile(keras.optimizers.Adam(learning_rate), weighted_metrics=[])
    return model


def _task(model):
    return model.tasks["attributes"]


def _fit(*callbacks, batch_size=8, validation=None):
    """Fits with the callbacks between a probe and a record of the weights; returns model, probe, record."""
    model, probe, weights = _model(), _Probe(), _Weights()
    model.fit(
        _dataset(TRAIN).batch(batch_size),
        validation_data=(validation or _dataset(VALIDATION)).batch(7),
        epochs=EPOCHS,
        callbacks=[probe, *callbacks, weights],
        verbose=0,
    )
    return model, probe, weights


def test_thresholds_move_by_equation_6():
    model, probe, _ = _fit(AdaptiveThresholds(gamma=0.05))
    labels = VALIDATION[1]
    annotated = (labels >= 0).sum(axis=0)
    assert annotated.max() < 30, "the labels should have gaps"
    expected = np.zeros(NUM_ATTRIBUTES)
    for epoch, scores in enumerate(probe.validation_scores, start=1):
        np.testing.assert_allclose(probe.thresholds[epoch - 1], expected, atol=1e-6)
        positive = scores > probe.thresholds[epoch - 1]
        false_positives = (positive & (labels == 0)).sum(axis=0)
        false_negatives = (~positive & (labels == 1)).sum(axis=0)
        expected = expected + 0.05 * epoch * (false_positives - false_negatives) / annotated
    assert len(probe.thresholds) == EPOCHS
    np.testing.assert_allclose(_task(model).thresholds.numpy(), expected, atol=1e-6)
    assert np.count_nonzero(expected) > 1


@pytest.mark.parametrize("callback", [AdaptiveThresholds, DynamicWeights, DynamicWeightAverage, AdaptiveWeighting])
def test_a_task_that_is_none(callback):
    with pytest.raises(ValueError, match=rf"{callback.__name__} adapts task 'smile', but .* are attributes: set the"):
        _fit(callback(task="smile"))


def test_an_attribute_without_annotation_keeps_its_threshold_and_weight():
    images, labels = VALIDATION
    labels = np.where(np.arange(NUM_ATTRIBUTES) == 2, -1, labels)
    model, _, weights = _fit(AdaptiveThresholds(), DynamicWeights(), validation=_dataset((images, labels)))
    assert _task(model).thresholds.numpy()[2] == 0
    assert [w[2] for w in weights.by_epoch] == [1, 0, 0, 0]
    assert np.isfinite(_task(model).thresholds.numpy()).all() and np.isfinite(weights.by_epoch).all()


@pytest.mark.parametrize("normalize", [False, True])
def test_weights_follow_equation_4(normalize):
    _, probe, weights = _fit(DynamicWeights(normalize))
    losses = [_losses(scores, VALIDATION[1]) for scores in probe.validation_scores]
    assert weights.by_epoch[0].tolist() == [1] * NUM_ATTRIBUTES
    for epoch in range(1, EPOCHS):
        expected = np.abs(losses[epoch] - losses[epoch - 1]) / losses[epoch - 1]
        if normalize:
            expected /= expected.mean()
        np.testing.assert_allclose(weights.by_epoch[epoch], expected, rtol=1e-3, atol=1e-5)


def test_the_weights_weigh_the_loss():
    """Σ_j λ_j L_j over the split, whatever the batches."""
    model = _model()
    _task(model).weights.assign([0, 1, 2, 0, 0, 0.5])
    scores = model.network(VALIDATION[0])["attributes"].numpy()
    # In one batch: a batch's mean is over its annotated images.
    terms = model.evaluate(_dataset(VALIDATION).batch(30), verbose=0, return_dict=True)
    losses = _losses(scores, VALIDATION[1])
    assert terms["loss"] == pytest.approx(losses @ [0, 1, 2, 0, 0, 0.5], rel=1e-5)
    assert terms["attribute_loss"] == pytest.approx(losses.mean(), rel=1e-5)
    model.evaluate(_dataset(VALIDATION).batch(7), verbose=0)
    np.testing.assert_allclose(_task(model).metric.losses(), losses, rtol=1e-5)


def test_one_pass_over_the_validation_data_an_epoch():
    drawn = []

    def elements():
        for image, labels in zip(*VALIDATION, strict=True):
            drawn.append(1)
            yield image, {"attributes": labels}

    counted = tf.data.Dataset.from_generator(elements, output_signature=_dataset(VALIDATION).element_spec)
    passes = []
    each_epoch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: passes.append(len(drawn)))
    _fit(AdaptiveThresholds(), DynamicWeights(), each_epoch, validation=counted)
    assert passes == [30 * epoch for epoch in range(1, EPOCHS + 1)]


def test_dynamic_weight_average_compares_the_last_two_epochs():
    # One batch an epoch: its loss is that of the network at the epoch's begin.
    _, probe, weights = _fit(DynamicWeightAverage(temperature=0.5), batch_size=24)
    losses = [_losses(scores, TRAIN[1]) for scores in probe.training_scores]
    assert weights.by_epoch[0].tolist() == [1] * NUM_ATTRIBUTES
    for epoch in range(1, EPOCHS):
        exponentials = np.exp(losses[epoch] / losses[epoch - 1] / 0.5)
        expected = NUM_ATTRIBUTES * exponentials / exponentials.sum()
        np.testing.assert_allclose(weights.by_epoch[epoch], expected, rtol=1e-4)


def test_adaptive_weighting_follows_small_validation_batches():
    callback = AdaptiveWeighting(batch_size=10, window=2, every=3)
    callback.set_recipe(types.SimpleNamespace(validation=_dataset(VALIDATION).batch(30)), None)
    _, probe, weights = _fit(callback)
    # 12 steps in all; the first with a full window of 4 that is a multiple of 3 is the 6th.
    labels = VALIDATION[1]
    batches = [np.arange(10 * step, 10 * step + 10) % 30 for step in range(len(probe.batch_scores))]
    losses = [_losses(s[b], labels[b]) for s, b in zip(probe.batch_scores, batches, strict=True)]
    assert len(losses) == 12
    expected = np.ones(NUM_ATTRIBUTES)
    for step in range(1, 13):
        if step in (6, 9, 12):
            before, now = np.mean(losses[step - 4 : step - 2], axis=0), np.mean(losses[step - 2 : step], axis=0)
            trend = np.abs(now - before) / now
            product = losses[step - 1] / losses[step - 1].mean() * trend / trend.mean()
            expected = product / product.mean()
        np.testing.assert_allclose(weights.by_step[step - 1], expected, rtol=1e-3, atol=1e-5)


def test_evaluation_alone_counts_the_errors():
    model = _model()
    _task(model).thresholds.assign(tf.fill([NUM_ATTRIBUTES], 0.1))
    model.evaluate(_dataset(VALIDATION).batch(8), verbose=0)
    positive, labels = model.network(VALIDATION[0])["attributes"].numpy() > 0.1, VALIDATION[1]
    np.testing.assert_array_equal(_task(model).metric.false_positives, (positive & (labels == 0)).sum(axis=0))
    np.testing.assert_array_equal(_task(model).metric.false_negatives, (~positive & (labels == 1)).sum(axis=0))
    wrong = (positive & (labels == 0)) | (~positive & (labels == 1))
    assert float(_task(model).metric.result()) == pytest.approx(1 - wrong.sum() / (labels >= 0).sum())
