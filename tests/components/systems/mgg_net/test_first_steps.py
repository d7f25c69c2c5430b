"""The published rate on each backbone: the first steps go down."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from components.config import ObjectConfig
from components.datasets.binding import bound_tasks
from components.tasks.base import learning_of
from components.trainer.optimizers import build_optimizer
from components.trainer.task_model import TaskModel
from pipeline import experiments
from tests.support import tiny_faces

pytestmark = pytest.mark.slow

SIZE, BATCH, STEPS = (64, 64), 8, 12


@pytest.mark.parametrize("variant", ["", "-resnet34", "-vgg16", "-alexnet"])
def test_the_loss_falls_over_twelve_steps(variant):
    """From random weights, on noise with labels as frequent as faces' are: frequencies are what can be learnt."""
    keras.utils.set_random_seed(0)
    experiment = experiments.get(f"mgg_net/celeb_a{variant}")
    model = {name: value for name, value in experiment.model.kwargs.items() if name != "weights"}
    network = ObjectConfig(experiment.model.path, model).build(input_shape=(*SIZE, 3))
    (task,) = bound_tasks(experiment)
    trained = TaskModel(network, {task.name: learning_of(task, SIZE)}, experiment.training.loss.build())
    rate = experiment.training.learning_rate.build(steps=10_000)
    trained.compile(build_optimizer(experiment.training.optimizer, rate), weighted_metrics=[])
    random, frequent = np.random.default_rng(0), np.tile([0.05, 0.1, 0.9, 0.3], 10)
    losses = []
    for _ in range(STEPS):
        images = tf.constant(random.integers(0, 256, (BATCH, *SIZE, 3), np.uint8))
        labels = tf.constant((random.random((BATCH, 40)) < frequent).astype(np.int64))
        trained.reset_metrics()
        with tiny_faces.eagerly():
            losses.append(float(trained.train_step((images, {task.name: labels}))["loss"]))
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < 0.85 * losses[0], losses
