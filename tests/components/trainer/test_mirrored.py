"""Mirrored training over two devices computes what one device computes. As a script: trains on one and on two."""

import functools
import json
import pathlib
import sys
import tempfile

import pytest
import tensorflow as tf

from components.config import Task, configured
from components.systems.mgg_net.loss import MGGLoss
from components.tasks.base import learning_of
from components.trainer.objectives import TaskLosses
from tests.support import tiny_faces

pytestmark = pytest.mark.slow

MIRRORED = configured("tensorflow:distribute.MirroredStrategy", devices=["CPU:0", "CPU:1"])
BATCH = 20  # of 64 and of 20 records: TensorFlow's convolution on a CPU takes no empty share of a batch


def _losses(folder):
    """An epoch of three steps, with a record without annotation, and the validation pass after it."""
    settings = {
        "epochs": 1,
        "batch_size": BATCH,
        "optimizer": configured("tensorflow.keras.optimizers.SGD"),
        "learning_rate": 1e-5,  # at 0.01 three steps grow what a CPU's kernels round into 0.2 % of the loss
        "callbacks": (configured("components.systems.dmm_cnn.adaptive.AdaptiveThresholds"),),
    }
    files = tiny_faces.files_in(folder)
    runs = {"one": {}, "two": {"strategy": MIRRORED}}
    for name, strategy in runs.items():
        with tempfile.TemporaryDirectory() as outputs:
            trained = tiny_faces.fit(
                tiny_faces.experiment(**settings, **strategy),
                pathlib.Path(outputs),
                files,
            )
        yield name, trained.epochs[0]


def _shares():
    """The terms of objectives for a batch of four, and of its halves on two devices, of which one has more labels."""
    labels = {
        "attributes": tf.constant([[1, 0, -1, -1, -1, -1]] * 3 + [[-1] * 6], tf.int64),
        "attributes_positive_rate": tf.constant([tiny_faces.POSITIVE_RATE] * 4),
        "emotion": tf.constant([1, -1, -1, -1], tf.int64),
        "landmarks": tf.constant([[0.5] * 10, [float("nan")] * 10, [0.4] * 10, [0.3] * 10]),
    }
    random = tf.random.Generator.from_seed(0)
    sizes = {"attributes": 6, "emotion": 2, "landmarks": 10}
    mixture = {name: random.normal([4, size]) for name, size in sizes.items()}
    probabilities = {name: random.uniform([4, 6], 0.1, 0.9) for name in ("attributes", "block3")}
    tasks = tiny_faces.bound(
        Task("attributes", "multi_label"), Task("emotion", "classification", weight=3.0), tiny_faces.LANDMARKS
    )
    cases = [
        (TaskLosses(), tasks, mixture),
        (MGGLoss(balanced=True), tiny_faces.bound(tiny_faces.LIKELY), probabilities),
    ]
    for name, strategy in {"one": tf.distribute.get_strategy(), "two": MIRRORED.build()}.items():
        found = {}
        for objective, bound, outputs in cases:
            with strategy.scope():
                objective.bind({task.name: learning_of(task, tiny_faces.SIZE) for task in bound})
            terms = strategy.run(functools.partial(_terms, objective, labels, outputs))
            for term, value in terms.items():
                mean = strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None)
                found[f"{type(objective).__name__} {term}"] = float(mean)
        yield name, found


def _terms(objective, labels, outputs):
    """An objective's for a device's share of the batch."""
    context = tf.distribute.get_replica_context()
    size = 4 // context.num_replicas_in_sync
    rows = slice(size * context.replica_id_in_sync_group, size * (context.replica_id_in_sync_group + 1))
    return objective(*({name: values[rows] for name, values in each.items()} for each in (labels, outputs)))


def _parsing_losses(folder):
    """An epoch and a cycle of self-regulation."""
    files = {"train": range(16), "validation": range(16, 24)}
    files = {s: tiny_faces.write(folder / s, [tiny_faces.serialized_parsing(n) for n in files[s]]) for s in files}
    regulation = configured("components.systems.dml_csr.self_regulation.SelfRegulation", first_epochs=1, cycle_epochs=1)
    sgd = configured("tensorflow.keras.optimizers.SGD")
    for name, strategy in {"one": {}, "two": {"strategy": MIRRORED}}.items():
        tiny = tiny_faces.parsing_experiment((regulation,), epochs=2, optimizer=sgd, **strategy)
        yield name, tiny_faces.fit(tiny, folder / name, files).epochs


def _in_a_process(kind, folder):
    """One of its own, since TensorFlow can't divide devices it has looked at, nor mirror over the same ones twice."""
    process = tiny_faces.in_a_process("tests.components.trainer.test_mirrored", kind, folder)
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def losses(tiny_folder):
    """Of attributes, by number of devices."""
    return _in_a_process("attributes", tiny_folder)


def test_the_loss_is_that_of_one_device(losses):
    assert losses["two"]["loss"] == pytest.approx(losses["one"]["loss"], rel=1e-5)
    assert losses["two"]["attribute_loss"] == pytest.approx(losses["one"]["attribute_loss"], rel=1e-5)


def test_validation_is_that_of_one_device(losses):
    # Not to the digit: one device's fused kernel keeps the unbiased variance, Keras' synchronized layer the biased.
    one, two = losses["one"], losses["two"]
    assert two["attributes_losses"] == pytest.approx(one["attributes_losses"], rel=0.02)
    assert two["attributes_thresholds"] == pytest.approx(one["attributes_thresholds"], abs=1e-3)


def test_labels_that_are_spread_unevenly_weigh_the_same_on_two_devices(tmp_path):
    one, two = _in_a_process("shares", tmp_path).values()
    assert two == pytest.approx(one, rel=1e-5)
    of = {name.removeprefix("TaskLosses "): value for name, value in one.items()}
    assert of["loss"] == pytest.approx(of["attributes_loss"] + 3 * of["emotion_loss"] + of["landmarks_loss"])


def test_self_regulation_over_two_devices(tmp_path):
    """Lovász-softmax and the weights of edges are over a device's share of the batch, so the losses agree roughly."""
    one, two = _in_a_process("parsing", tmp_path).values()
    assert [epoch.keys() for epoch in two] == [epoch.keys() for epoch in one]
    assert two[0]["loss"] == pytest.approx(one[0]["loss"], rel=0.05)
    assert two[1]["loss"] == pytest.approx(one[1]["loss"], rel=0.05)
    assert 0 < two[1]["ensemble_mean_f1"] < 1


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    runs_of = {"attributes": _losses, "parsing": _parsing_losses, "shares": lambda folder: _shares()}[sys.argv[1]]
    print(json.dumps(dict(runs_of(pathlib.Path(sys.argv[2])))))
