"""Cyclical self-regulation: its formula by hand, its parts alone, and whole runs against NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from components.config import configured
from components.systems.dml_csr.self_regulation import (
    Distillation,
    SelfRegulation,
    reestimate_batch_norm,
    self_ensemble,
)
from keras_models.losses.parsing import lovasz_softmax
from tests.support import tiny_faces

pytestmark = pytest.mark.slow

REGULATION = "components.systems.dml_csr.self_regulation.SelfRegulation"
PROBE = configured(f"{__name__}.Probe")


class Probe(keras.callbacks.Callback):
    """Stands behind SelfRegulation: the weights of the network, the best and the teacher after every epoch."""

    runs = ()

    def __init__(self):
        super().__init__()
        self.epochs = []
        Probe.runs = (*Probe.runs, self)

    def on_epoch_begin(self, epoch, logs=None):
        self.distils = self.model.training_objective is not None

    def on_epoch_end(self, epoch, logs=None):
        distillation = self.model.training_objective
        teacher = distillation.teacher.get_weights() if distillation else None
        self.epochs.append((self.distils, logs, self.model.network.get_weights(), teacher))


@pytest.fixture(autouse=True)
def _clean():
    yield
    tiny_faces.StopAt.where = None
    Probe.runs = ()


def test_ensemble_worked_by_hand():
    # Cycle 1: 4 / 2 + (1 + 3) / (2 * 2) = 3. Cycle 3: 3/4 * 4 + (1 + 3) / (4 * 2) = 3.5.
    best, members = [np.array([4.0, 0.0])], [[np.array([1.0, 2.0])], [np.array([3.0, 2.0])]]
    np.testing.assert_allclose(self_ensemble(best, members, cycle=1)[0], [3.0, 1.0])
    np.testing.assert_allclose(self_ensemble(best, members, cycle=3)[0], [3.5, 0.5])


def test_equal_models_stay_as_they_are():
    model = [np.arange(6.0).reshape(2, 3), np.array([-1.0])]
    for array, expected in zip(self_ensemble(model, [model] * 5, cycle=2), model, strict=True):
        np.testing.assert_allclose(array, expected)


def test_statistics_are_the_means_over_the_batches():
    network = keras.Sequential([keras.layers.BatchNormalization(momentum=0.9, input_shape=(1, 1, 1))])
    network.layers[0].set_weights([np.array([value]) for value in (2.0, 3.0, 50.0, 60.0)])
    pixels = np.array([[1.0], [3.0], [10.0], [14.0]], np.float32).reshape(4, 1, 1, 1)
    reestimate_batch_norm(network, tf.data.Dataset.from_tensor_slices((pixels, np.zeros(4))).batch(2))
    gamma, beta, mean, variance = network.layers[0].get_weights()
    # Batches (1, 3) and (10, 14): means 2 and 12, variances (of a sample, as TensorFlow's fused kernel keeps) 2 and 8.
    np.testing.assert_allclose([gamma, beta, mean, variance], [[2.0], [3.0], [7.0], [5.0]], rtol=1e-5)
    assert network.layers[0].momentum == 0.9


def _batch():
    random = np.random.default_rng(0)
    image = tf.constant(random.uniform(0, 255, (2, *tiny_faces.SIZE, 3)), tf.float32)
    truth = random.integers(0, 4, (2, *tiny_faces.SIZE)).astype(np.uint8)
    truth[:, :4] = 255
    return image, {"parsing": tf.constant(truth)}


def test_a_teacher_that_agrees_leaves_lovasz():
    image, labels = _batch()
    network = tiny_faces.parsing_network((*tiny_faces.SIZE, 3))
    outputs = network(image)
    terms = Distillation(network, "parsing", weights=(2.0, 1.0, 0.1))(image, labels, outputs)
    lovasz = lovasz_softmax(labels["parsing"], tf.nn.softmax(outputs["parsing"]))
    assert float(terms["edge_loss"]) == pytest.approx(0, abs=1e-6)
    assert float(terms["parsing_loss"]) == pytest.approx(float(lovasz), rel=1e-5)
    assert float(terms["loss"]) == pytest.approx(2 * float(lovasz), rel=1e-5)


def _divergence(teacher, student, counted):
    """Mean of Σ p log(p / q) over the pixels that count, in NumPy."""
    p, q = (np.exp(x) / np.exp(x).sum(-1, keepdims=True) for x in (teacher.numpy(), student.numpy()))
    return (p * np.log(p / q)).sum(-1)[counted].mean()


@pytest.mark.parametrize("edges", [True, False])
def test_distillation_against_numpy(edges):
    keras.utils.set_random_seed(1)
    image, labels = _batch()
    teacher = tiny_faces.parsing_network((*tiny_faces.SIZE, 3))
    outputs, soft = tiny_faces.parsing_network((*tiny_faces.SIZE, 3))(image), teacher(image)
    if not edges:
        outputs = {"parsing": outputs["parsing"]}
    terms = Distillation(teacher, "parsing", weights=(1.0, 3.0, 0.1))(image, labels, outputs)
    counted = labels["parsing"].numpy() != 255
    lovasz = float(lovasz_softmax(labels["parsing"], tf.nn.softmax(outputs["parsing"])))
    kl = {name: _divergence(soft[name], outputs[name], counted) for name in outputs}
    expected = kl["parsing"] + lovasz + 3.0 * kl.get("binary_edge", 0) + 0.1 * kl.get("category_edge", 0)
    assert float(terms["loss"]) == pytest.approx(expected, rel=1e-4)


def _moving(network):
    """Whether a weight is a moving statistic, by its place."""
    return ["moving" in weight.name for weight in network.weights]


@pytest.mark.parametrize("ensemble", ["all", "last"])
def test_a_run_against_numpy(parsing_files, tmp_path, ensemble):
    """Two epochs, then two cycles of two: best, members and teachers are recomputed from the weights seen."""
    regulation = configured(REGULATION, first_epochs=2, cycle_epochs=2, ensemble=ensemble)
    tiny = tiny_faces.parsing_experiment((regulation, PROBE), epochs=6)
    trained = tiny_faces.fit(tiny, tmp_path, parsing_files)
    (probe,) = Probe.runs
    assert [distils for distils, *_ in probe.epochs] == [False, False, True, True, True, True]
    averaged = [not moves for moves in _moving(trained.network)]

    best, best_f1, members = None, -1.0, []
    for epoch, (_, logs, weights, teacher) in enumerate(probe.epochs):
        if logs["val_parsing_mean_f1"] > best_f1:
            best, best_f1 = weights, logs["val_parsing_mean_f1"]
        if epoch == 2:  # the teacher of the first cycle is the best model of the first phase
            phase_best = max(probe.epochs[:2], key=lambda seen: seen[1]["val_parsing_mean_f1"])[2]
            for one, other in zip(teacher, phase_best, strict=True):
                np.testing.assert_array_equal(one, other)
        if epoch >= 2:
            members.append(weights)
        if epoch in (3, 5):
            used = members if ensemble == "all" else members[-1:]
            expected = self_ensemble(best, used, cycle=(epoch - 1) // 2)
            for one, other, is_averaged in zip(teacher, expected, averaged, strict=True):
                assert np.allclose(one, other, rtol=1e-5, atol=1e-6) == is_averaged
            if logs["ensemble_mean_f1"] > best_f1:
                best, best_f1 = teacher, logs["ensemble_mean_f1"]
            members = []
        else:
            assert "ensemble_mean_f1" not in logs
    for one, other in zip(trained.network.get_weights(), best, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert ["ensemble_mean_f1" in epoch for epoch in trained.epochs] == [False] * 3 + [True, False, True]


def test_the_teacher_teaches(parsing_files, tmp_path):
    """In a cycle the parsing loss is the divergence from the teacher, far below the first phase's cross-entropy."""
    regulation = configured(REGULATION, first_epochs=3, cycle_epochs=1)
    epochs = tiny_faces.fit(tiny_faces.parsing_experiment((regulation,), epochs=4), tmp_path, parsing_files).epochs
    assert epochs[3]["attention_loss"] == 0 < epochs[2]["attention_loss"]
    assert epochs[3]["edge_loss"] < 0.1 * epochs[2]["edge_loss"]
    assert epochs[3]["val_attention_loss"] > 0


STOPPABLE = tiny_faces.parsing_experiment(
    (configured(REGULATION, first_epochs=2, cycle_epochs=2), tiny_faces.STOP), epochs=6
)


@pytest.fixture(scope="module")
def unbroken(parsing_files, tmp_path_factory):
    with tiny_faces.eagerly():
        return tiny_faces.fit(STOPPABLE, tmp_path_factory.mktemp("unbroken"), parsing_files)


@pytest.mark.parametrize("where", [(1, 1), (2, 0), (3, "end"), (4, 2)], ids=str)
def test_stopped_anywhere(parsing_files, tmp_path, unbroken, where):
    """In the first phase, where a cycle begins, where one ends, in the second."""
    tiny_faces.StopAt.where = where
    with tiny_faces.eagerly():
        with pytest.raises(tiny_faces.Stopped):
            tiny_faces.fit(STOPPABLE, tmp_path, parsing_files)
        tiny_faces.StopAt.where = None
        continued = tiny_faces.fit(STOPPABLE, tmp_path, parsing_files)
    tiny_faces.assert_same(continued, unbroken, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("epochs", [2, 5])
def test_cycles_must_fit_the_run(parsing_files, tmp_path, epochs):
    tiny = tiny_faces.parsing_experiment((configured(REGULATION, first_epochs=2, cycle_epochs=2),), epochs=epochs)
    message = rf"cycles of 2 epochs \(cycle_epochs\) after the first 2 .* is one of 4, 6, 8, …; received {epochs}\."
    with pytest.raises(ValueError, match=message):
        tiny_faces.fit(tiny, tmp_path, parsing_files)


def test_an_unknown_ensemble():
    with pytest.raises(ValueError, match="ensemble is one of all, last; received 'best'"):
        SelfRegulation(1, 1, ensemble="best")
