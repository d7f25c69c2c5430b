"""What a training is made of, looked at before any data are read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from components.config import configured
from components.overrides import overridden
from components.trainer.recipe import check_training
from pipeline import experiments
from pipeline.experiments.registry import REGISTERED


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


def test_what_is_not_there():
    training = replace(experiments.get("plain/synthetic").training, strategy=configured("tensorflow:distribute.All"))
    with pytest.raises(ValueError, match=r"training.strategy, tensorflow:distribute.All, can't be called so"):
        check_training(training)


def test_all_experiments_can_be_called_so():
    experiments.get("plain/synthetic")  # registers all
    assert len(REGISTERED) > 100
    for experiment in REGISTERED.values():
        check_training(experiment.training)
