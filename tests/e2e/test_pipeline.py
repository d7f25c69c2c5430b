"""The real pipeline with DMM-CNN on a few drawn faces: what runs, what is cached, what is left."""

import pathlib
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from components.config import Bar, Evaluation
from pipeline import compare, local_runner
from tests.support.pipeline_runs import DATA_NODES, dmm_cnn, own, page, results, run, served

pytestmark = pytest.mark.e2e
NAME = "e2e/tiny"


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def first_run(output):
    return run(dmm_cnn(), output, NAME)


def kernels(saved_model):
    """Values of the network's trained weights by name."""
    return {path: v.numpy() for path, v in tf.saved_model.load(saved_model).weights.items()}


def test_everything_runs_and_the_model_is_pushed(first_run, output):
    assert first_run == DATA_NODES | own(NAME)
    found = results(output, NAME)
    assert found["verdict"] == "blessed and pushed" and found["reasons"] == []
    assert found["figures"]["images tested"] == 16 and found["figures"]["records quarantined"] == 0
    assert {"attributes mean accuracy", "landmarks NME"} <= set(found["figures"])
    (version,) = (output / "serving" / "e2e-tiny").iterdir()
    assert str(version) == found["places"]["model"]


def test_the_pushed_model_answers(first_run, output):
    _, shapes = served(output, NAME)
    assert shapes == {"attributes": (2, 40), "attributes_decisions": (2, 40), "landmarks": (2, 68, 2)}


def test_the_report_and_the_logs_are_there(first_run, output):
    assert "5 o Clock Shadow" in page(output, NAME) or "5_o_Clock_Shadow" in page(output, NAME)
    assert "http://" not in page(output, NAME).replace("http://www.w3.org", "").replace("http://localhost", "")
    logs = pathlib.Path(results(output, NAME)["places"]["logs"])
    tags = {
        value.tag
        for file in logs.rglob("events*.by_name")
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }
    assert {"attributes_thresholds/Male", "attributes_weights/Young", "attributes_losses/Smiling"} <= tags


def test_a_second_run_finds_everything_cached(first_run, output):
    assert run(dmm_cnn(), output, NAME) == set()


def test_another_experiment_starts_from_the_blessed_model(first_run, output):
    training = replace(dmm_cnn().training, warm_start=NAME, learning_rate=0.0)
    assert run(replace(dmm_cnn(), training=training), output, "e2e/tuned") == own("e2e/tuned")
    blessed, tuned = (kernels(results(output, name)["places"]["model"]) for name in (NAME, "e2e/tuned"))
    assert blessed.keys() == tuned.keys()
    for name, values in blessed.items():
        np.testing.assert_array_equal(tuned[name], values, err_msg=name)


def test_another_bar_evaluates_anew_and_trains_nothing(first_run, output):
    attributes, landmarks = dmm_cnn().tasks
    strict = replace(attributes, bar=Bar("mean_balanced_accuracy", at_least=0.99))
    ran = run(replace(dmm_cnn(), tasks=(strict, landmarks)), output, NAME)
    assert ran == own(NAME, "Evaluator", "Pusher", "Report")
    assert results(output, NAME)["verdict"] == "not pushed"
    assert "below the bar 0.99" in results(output, NAME)["reasons"][0]
    assert len(list((output / "serving" / "e2e-tiny").iterdir())) == 1


def test_another_seed_trains_anew_on_the_prepared_data(first_run, output):
    other = replace(dmm_cnn(), training=replace(dmm_cnn().training, seed=1))
    assert run(other, output, NAME) == own(NAME)
    assert set(compare.latest_results(str(output))[NAME]) == {0, 1}


def test_settings_make_a_run_of_its_own(first_run, output):
    settings = ["training.learning_rate=0.0", "evaluation.slice_by="]
    name = "e2e/tiny+evaluation.slice_by=+training.learning_rate=0.0"
    assert run(dmm_cnn(), output, NAME, settings) == own(name)
    assert results(output, name)["experiment"] == name
    assert name in compare.latest_results(str(output))
    assert run(dmm_cnn(), output, NAME, settings) == set()
    assert dmm_cnn().evaluation != Evaluation()


def test_unknown_experiment_and_missing_data_are_told_before_anything_runs(output):
    with pytest.raises(ValueError, match="dmm_cnn/celeb_a"):
        local_runner.local_pipeline("dmm_cnn/celeba", "", None, str(output))
    with pytest.raises(FileNotFoundError, match=r"list_attr_celeba\.txt"):
        local_runner.local_pipeline("dmm_cnn/celeb_a", str(output), None, str(output))
