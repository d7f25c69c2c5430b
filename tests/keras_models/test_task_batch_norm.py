"""Task-wise batch norm: numbers by hand, Keras' own layer for one task, two devices. As a script: on one and on two."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from layer_checks import check_layer
from tensorflow import keras

from keras_models.normalization import EPSILON, MOMENTUM
from keras_models.task_batch_norm import TaskBatchNorm


def _column(*values):
    """Images of one pixel and one channel."""
    return np.array(values, np.float32).reshape(-1, 1, 1, 1)


def _features(count=4, channels=3):
    return np.random.default_rng(0).normal(2, 3, (count, 5, 4, channels)).astype(np.float32)


def _two_tasks(**options):
    """A layer of one channel: γ, β, mean and variance are 2, 3, 1, 4 of task 0 and 3, 0, -1, 9 of task 1."""
    layer = TaskBatchNorm(2, epsilon=0.0, **options)
    layer.build((None, 1, 1, 1))
    for task, (gamma, beta) in enumerate([(2, 3), (3, 0)]):
        layer.gammas[task].assign([gamma])
        layer.betas[task].assign([beta])
    layer.moving_mean.assign([[1], [-1]])
    layer.moving_variance.assign([[4], [9]])
    return layer


def test_inference_by_each_images_own_task():
    # (5 - 1) / 2 · 2 + 3 and (5 + 1) / 3 · 3 + 0, and so for 1: 3 and 2.
    outputs = _two_tasks()(_column(5, 5, 1, 1), tf.constant([0, 1, 1, 0]))
    np.testing.assert_allclose(outputs[:, 0, 0, 0], [7, 6, 2, 3], rtol=1e-6)


def test_inference_moves_nothing():
    layer = _two_tasks()
    before = layer.get_weights()
    layer(_column(5, 50), tf.constant([0, 1]), training=False)
    for x, y in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(x, y)


def test_epsilon_by_hand():
    layer = TaskBatchNorm(2, epsilon=3.0)
    # Before training mean and variance are 0 and 1: 6 / sqrt(1 + 3).
    np.testing.assert_allclose(layer(_column(6), tf.constant([1])), _column(3), rtol=1e-6)


def test_training_by_hand():
    layer = _two_tasks(momentum=0.75)
    outputs = layer(_column(1, 3), tf.constant([1, 1]), training=True)
    # Mean 2 and variance 1: (1 - 2) / 1 · 3 + 0 and (3 - 2) / 1 · 3 + 0.
    np.testing.assert_allclose(outputs, _column(-3, 3), rtol=1e-5)
    # 0.75 · -1 + 0.25 · 2; and of the unbiased variance, ((1 - 2)² + (3 - 2)²) / 1 = 2, as Keras' fused kernel keeps
    # it: 0.75 · 9 + 0.25 · 2.
    np.testing.assert_allclose(layer.moving_mean, [[1], [-0.25]], rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, [[4], [7.25]], rtol=1e-5)


def test_a_batch_of_training_is_of_its_first_images_task():
    layer = _two_tasks()
    outputs = layer(_column(1, 3), tf.constant([0, 1]), training=True)
    np.testing.assert_allclose(outputs, _column(1, 5), rtol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean[1], [-1])


@pytest.mark.parametrize("training", [True, False])
def test_gradients_reach_the_own_scale_and_offset_alone(training):
    layer = _two_tasks()
    with tf.GradientTape() as tape:
        outputs = layer(_column(1, 3), tf.constant([1, 1]), training=training)
        loss = tf.reduce_sum(outputs * _column(1, 2))
    gradients = tape.gradient(loss, [*layer.task_weights(0), *layer.task_weights(1)])
    gradients = [float(tf.convert_to_tensor(gradient)[0]) for gradient in gradients]
    # Of γ: 1 · -1 + 2 · 1 by the batch, 1 · 2 / 3 + 2 · 4 / 3 by the moving statistics; of β: 1 + 2.
    assert gradients == pytest.approx([0, 0, 1 if training else 10 / 3, 3], rel=1e-5)


def test_an_update_with_momentum_leaves_the_other_task():
    layer, optimizer = _two_tasks(), keras.optimizers.SGD(0.1, momentum=0.9)
    for task in (0, 1, 1):
        before = [float(w[0]) for w in layer.task_weights(1 - task)]
        weights = layer.task_weights(task)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(_column(1, 3), tf.fill([2], task), training=True) ** 2)
        optimizer.build(layer.trainable_weights)
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        assert [float(w[0]) for w in layer.task_weights(1 - task)] == before


def test_one_task_is_keras_own_layer():
    ours, keras_own = TaskBatchNorm(1), keras.layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON)
    task = tf.zeros(4, tf.int32)
    for layer, arguments in ((ours, [task]), (keras_own, [])):
        layer(_features(), *arguments)
        for weight, value in zip(layer.trainable_weights, ([0.5, 1, 2], [0, -1, 3]), strict=True):
            weight.assign(value)
    results = {}
    for name, layer, arguments in (("ours", ours, [task]), ("keras", keras_own, [])):
        features = tf.constant(_features())
        with tf.GradientTape() as tape:
            tape.watch(features)
            trained = [layer(features * scale, *arguments, training=True) for scale in (1.0, 2.0)]
            loss = tf.add_n([tf.reduce_sum(x**3) for x in trained])
        gradients = tape.gradient(loss, [features, *layer.trainable_weights])
        moving = [tf.reshape(x, [3]) for x in (layer.moving_mean, layer.moving_variance)]
        results[name] = [*trained, *gradients, *moving, layer(features, *arguments, training=False)]
    for x, y in zip(results["ours"], results["keras"], strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(x), y, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_mixed_precision(training):
    single, mixed = TaskBatchNorm(2), TaskBatchNorm(2, dtype="mixed_bfloat16")
    task = tf.ones(4, tf.int32)
    expected, outputs = (layer(_features(), task, training=training) for layer in (single, mixed))
    assert outputs.dtype == tf.bfloat16
    assert {weight.dtype for weight in mixed.weights} == {tf.float32}
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), expected, atol=0.03, rtol=0.01)
    np.testing.assert_allclose(mixed.moving_mean, single.moving_mean, rtol=0.01, atol=1e-3)
    np.testing.assert_allclose(mixed.moving_variance, single.moving_variance, rtol=0.01)


def test_weights():
    layer = TaskBatchNorm(3)
    layer.build((None, 8, 8, 5))
    assert len(layer.trainable_weights) == 2 * 3 and len(layer.non_trainable_weights) == 2
    assert sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights) == 2 * 3 * 5
    assert len({weight.name for weight in layer.weights}) == 8


def test_conformance():
    layer = TaskBatchNorm(2, momentum=0.5, epsilon=1e-3, name="bn")
    layer(_features(), tf.ones(4, tf.int32), training=True)
    check_layer(layer, [_features(), tf.constant([0, 1, 0, 1])])


def test_constants_of_pytorch():
    assert (TaskBatchNorm(1).momentum, TaskBatchNorm(1).epsilon) == (0.9, 1e-5)


@pytest.mark.parametrize("num_tasks", [0, -1])
def test_errors_quote_what_was_received(num_tasks):
    with pytest.raises(ValueError, match=f"num_tasks={num_tasks}"):
        TaskBatchNorm(num_tasks)


def _step(layer, features, weights):
    """A training step's outputs and gradients: of the features, γ and β of task 1."""
    with tf.GradientTape() as tape:
        tape.watch(features)
        outputs = layer(features, tf.ones(tf.shape(features)[:1], tf.int32), training=True)
        loss = tf.reduce_sum(outputs * weights)
    gradient, *gradients = tape.gradient(loss, [features, *layer.task_weights(1)])
    return outputs, gradient, *map(tf.convert_to_tensor, gradients)


def _on_devices(devices):
    """By name, what a step over eight images gives that are shared by the devices."""
    strategy = tf.distribute.MirroredStrategy(devices) if len(devices) > 1 else tf.distribute.get_strategy()
    features = _features(8)
    weights = np.random.default_rng(1).normal(size=features.shape).astype(np.float32)
    with strategy.scope():
        layer = TaskBatchNorm(2)
        layer.build(features.shape)
        layer.gammas[1].assign([1, 2, 3])
        layer.betas[1].assign([4, 5, 6])
    share = len(features) // len(devices)

    def shared(values):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(values[context.replica_id_in_sync_group * share :][:share])
        )

    # Once each, since a step moves the statistics.
    step = tf.function(lambda x, w: strategy.run(_step, (layer, x, w)))
    outputs = [strategy.experimental_local_results(x) for x in step(shared(features), shared(weights))]
    return {
        "outputs": np.concatenate(outputs[0]).tolist(),
        "gradient": np.concatenate(outputs[1]).tolist(),
        "gamma": np.sum(outputs[2], axis=0).tolist(),
        "beta": np.sum(outputs[3], axis=0).tolist(),
        "moving_mean": layer.moving_mean.numpy().tolist(),
        "moving_variance": layer.moving_variance.numpy().tolist(),
    }


@pytest.fixture(scope="module")
def one_and_two():
    """In a process of its own, since TensorFlow can't divide devices that it has looked at."""
    here = pathlib.Path(__file__)
    process = subprocess.run([sys.executable, here], capture_output=True, text=True, cwd=here.parents[2])
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.parametrize("what", ["outputs", "gradient", "gamma", "beta", "moving_mean"])
def test_two_devices_are_as_one(one_and_two, what):
    one, two = one_and_two
    np.testing.assert_allclose(two[what], one[what], rtol=1e-4, atol=1e-5)
    assert np.ptp(two[what]) > 0.01


def test_two_devices_keep_the_biased_variance(one_and_two):
    # Of 8 · 5 · 4 values, as Keras' synchronized layer does.
    one, two = (np.array(result["moving_variance"]) for result in one_and_two)
    biased = (np.array(one[1]) - 0.9) * 159 / 160 + 0.9
    np.testing.assert_allclose(two, [[1, 1, 1], biased], rtol=1e-5)


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    print(json.dumps([_on_devices(devices) for devices in (["CPU:0"], ["CPU:0", "CPU:1"])]))
