"""Mirrored training over two devices computes what one device computes. As a script: trains on one and on two."""

import json
import pathlib
import subprocess
import sys
import tempfile

import pytest
import tensorflow as tf

BATCH = 20  # of 64 and of 20 records: TensorFlow's convolution on a CPU takes no empty share of a batch


def _losses(folder):
    """An epoch of three steps, with a record without annotation, and the validation pass after it."""
    import tiny_faces

    from components.config import factory

    model = factory(
        "keras_models.MGGNet",
        backbone_width=4,
        attributes=list(tiny_faces.ATTRIBUTES),
        groups={"first": ["A", "B", "C"], "second": ["D", "E", "F"]},
    )
    settings = {
        "epochs": 1,
        "batch_size": BATCH,
        "optimizer": factory("tensorflow.keras.optimizers.SGD"),
        "learning_rate": 0.01,
        "loss": factory("components.trainer.objectives.AttributeCrossEntropy", balanced=True),
        "callbacks": (factory("components.trainer.adaptive.AdaptiveThresholds"),),
    }
    files = {s: sorted(map(str, (folder / s).iterdir())) for s in ("train", "validation")}
    mirrored = factory("tensorflow:distribute.MirroredStrategy", devices=["CPU:0", "CPU:1"])
    runs = {"one": {}, "two": {"strategy": mirrored}}
    for name, strategy in runs.items():
        with tempfile.TemporaryDirectory() as outputs:
            trained = tiny_faces.fit(tiny_faces.experiment(model, **settings, **strategy), pathlib.Path(outputs), files)
        yield name, {**trained.epochs[0], "thresholds": trained.thresholds.numpy().tolist()}


@pytest.fixture(scope="module")
def losses(tiny_folder):
    """By number of devices; a process of its own, since devices are divided before TensorFlow first looks at them."""
    process = subprocess.run(
        [sys.executable, __file__, str(tiny_folder)], capture_output=True, text=True, cwd=pathlib.Path(__file__).parent
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout.splitlines()[-1])


def test_the_loss_is_that_of_one_device(losses):
    assert losses["two"]["loss"] == pytest.approx(losses["one"]["loss"], rel=1e-5)
    assert losses["two"]["attribute_loss"] == pytest.approx(losses["one"]["attribute_loss"], rel=1e-5)


def test_validation_is_that_of_one_device(losses):
    # Not to the digit: one device's fused kernel keeps the unbiased variance, Keras' synchronized layer the biased.
    one, two = losses["one"], losses["two"]
    assert two["attribute_losses"] == pytest.approx(one["attribute_losses"], rel=0.02)
    assert two["thresholds"] == pytest.approx(one["thresholds"], abs=1e-3)


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    print(json.dumps(dict(_losses(pathlib.Path(sys.argv[1])))))
