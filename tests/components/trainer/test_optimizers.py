"""Weight decay: as strong as papers mean it, and what it leaves as it is.

As a script: decays on two devices.
"""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from components.config import configured
from components.trainer.optimizers import build_optimizer, sgd
from keras_models.task_batch_norm import TaskBatchNorm
from tests.support import tiny_faces


def test_a_step_of_decay_worked_by_hand():
    """Rate 0.1, decay 0.01 through a momentum of 0.9: 0.1 · 0.01 / 0.1 of the weight go."""
    optimizer, weight = sgd(0.1, momentum=0.9, weight_decay=0.01), tf.Variable([2.0, -1.0], name="kernel")
    optimizer.apply_gradients([(tf.zeros(2), weight)])
    np.testing.assert_allclose(weight, [1.98, -0.99], rtol=1e-6)


def test_in_the_long_run_decay_is_an_l2_penalty():
    """Of the loss 0.005 / 2 · w² alone, as Caffe and PyTorch have it: v = 0.9 v + 0.005 w; w = w - 0.05 v."""
    decayed, penalised = tf.Variable([1.0], name="kernel"), tf.Variable([1.0], name="kernel")
    ours, plain = sgd(0.05, momentum=0.9, weight_decay=0.005), keras.optimizers.SGD(0.05, momentum=0.9)
    for _ in range(400):
        ours.apply_gradients([(tf.zeros(1), decayed)])
        plain.apply_gradients([(0.005 * penalised, penalised)])
    assert float(decayed[0]) == pytest.approx(float(penalised[0]), rel=0.03)
    assert float(decayed[0]) < 0.4


@pytest.mark.parametrize(
    "optimizer",
    [
        configured("components.trainer.optimizers.sgd", momentum=0.9, weight_decay=0.05),
        configured("tensorflow.keras.optimizers.AdamW", weight_decay=0.05),
    ],
)
def test_batch_norm_and_biases_are_not_decayed(optimizer):
    image, task = keras.Input((4, 4, 3)), keras.Input((), dtype=tf.int32)
    x = keras.layers.BatchNormalization(name="gamma_ray")(keras.layers.Conv2D(5, 1, name="bias")(image))
    network = keras.Model([image, task], TaskBatchNorm(2)(x, task))
    for weight in network.trainable_variables:
        weight.assign(tf.ones_like(weight))
    built = build_optimizer(optimizer, 0.1)
    built.apply_gradients([(tf.zeros_like(weight), weight) for weight in network.trainable_variables])
    decayed = [weight.name for weight in network.trainable_variables if np.any(weight.numpy() != 1)]
    assert len(network.trainable_variables) == 8 and decayed == ["bias/kernel:0"]


def test_an_optimizer_without_decay_is_as_it_is_made():
    optimizer = build_optimizer(configured("tensorflow.keras.optimizers.SGD", momentum=0.5), 0.25)
    assert (float(optimizer.learning_rate), optimizer.momentum) == (0.25, 0.5)


def _decayed_on_two_devices():
    """By name, the weights' values on each device after a step of decay alone."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        inputs = keras.Input((3,))
        network = keras.Model(inputs, keras.layers.BatchNormalization(name="bn")(keras.layers.Dense(2)(inputs)))
        optimizer = build_optimizer(
            configured("components.trainer.optimizers.sgd", momentum=0.5, weight_decay=0.5), 0.1
        )
        for weight in network.trainable_variables:
            weight.assign(tf.ones_like(weight))
        optimizer.build(network.trainable_variables)
    weights = network.trainable_variables
    strategy.run(lambda: optimizer.apply_gradients([(tf.zeros_like(weight), weight) for weight in weights]))
    return {weight.name: [float(tf.reduce_mean(value)) for value in weight.values] for weight in weights}


def test_devices_decay_the_same():
    process = tiny_faces.in_a_process("tests.components.trainer.test_optimizers")
    assert process.returncode == 0, process.stderr[-3000:]
    values = json.loads(process.stdout.splitlines()[-1])
    assert values.pop("dense/kernel:0") == [pytest.approx(0.9)] * 2
    assert list(values.values()) == [[1.0, 1.0]] * 3


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    print(json.dumps(_decayed_on_two_devices()))
