"""What a training is made of, looked at before any data are read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from components.config import Export, configured
from components.datasets.binding import bound_tasks
from components.overrides import overridden
from components.tasks.annotation import points
from components.trainer.recipe import check_export, check_training
from pipeline import experiments
from pipeline.experiments.registry import REGISTERED
from tests.support.serving import bound


@pytest.mark.parametrize(
    ("name", "setting", "words"),
    [
        ("dmm_cnn/synthetic", "training.callbacks.AdaptiveThresholds.gama=0.1", "unexpected keyword argument 'gama'"),
        ("plain/synthetic", "training.optimizer.weight_decy=1", "weight_decy"),
        ("dmm_cnn/synthetic", "training.loss.foo=1", "foo"),
        ("plain/synthetic", "training.learning_rate.peek=1", "peek"),
    ],
)
def test_arguments_that_are_not_there(name, setting, words):
    training = overridden(experiments.get(name), [setting]).training
    with pytest.raises(
        ValueError, match=rf"^training\.{setting.split('.')[1]}, [\w.:]+, can't be called so: .*{words}"
    ):
        check_training(training)


@pytest.mark.parametrize(
    ("kind", "names", "words"),
    [
        ("landmarks", points(7), "No mark-up of 7 points is known"),
        ("segmentation", ("background", "moustache"), "which class 'moustache' becomes in a mirror"),
        ("multi_label", ("Smiling", "Left_Profile"), "what 'Left_Profile' becomes in a mirror"),
        ("classification", ("frontal", "to the right"), "what 'to the right' becomes in a mirror"),
    ],
)
def test_what_a_mirror_makes_of_it_is_not_known(kind, names, words):
    task = bound("task", kind, names)
    check_export(Export(), [task])
    with pytest.raises(ValueError, match=words):
        check_export(Export(flip_average=True), [task])


def test_what_a_mirror_makes_of_the_projects_own_tasks_is_known():
    tasks = bound_tasks(experiments.get("plain/synthetic"))
    assert len(tasks) == 4
    check_export(Export(flip_average=True), tasks)


def test_what_is_not_there():
    training = replace(experiments.get("plain/synthetic").training, strategy=configured("tensorflow:distribute.All"))
    with pytest.raises(ValueError, match=r"training.strategy, tensorflow:distribute.All, can't be called so"):
        check_training(training)


def test_all_experiments_can_be_called_so():
    experiments.get("plain/synthetic")  # registers all
    assert len(REGISTERED) > 100
    for experiment in REGISTERED.values():
        check_training(experiment.training)
