"""The real pipeline with DMM-CNN and a plain network on a few drawn faces: what runs, is cached, and is left."""

import json
import pathlib
import random
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from components.config import Bar, Export
from components.report.executor import CARD
from components.serving import check
from components.serving.checksums import damaged_files
from components.serving.export import CONTRACT, read_keras
from pipeline import compare, experiments, kubeflow_runner, local_runner
from pipeline.experiments.registry import REGISTERED
from pipeline.request import read_request
from tests.faults.damage import damage
from tests.support import ram
from tests.support.kubeflow import Compiled
from tests.support.photographs import needs_dlib
from tests.support.pipeline_runs import (
    DATA_NODES,
    DRAWN,
    dmm_cnn,
    own,
    page,
    results,
    run,
    served,
    with_low_bars,
)

pytestmark = pytest.mark.e2e
NAME, PLAIN = "e2e/tiny", "e2e/plain"
MODEL_CARD = pathlib.Path("assets.extra", CARD)  # has the date of the report


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def first_run(output):
    return run(dmm_cnn(), output, NAME)


def weights(saved_model):
    """Values of the trained network's weights by name, which lie beside those that are served."""
    return {weight.name: weight.numpy() for weight in read_keras(saved_model).weights}


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


@needs_dlib
def test_the_pushed_model_knows_where_its_images_have_a_face(first_run, output):
    contract = json.loads(pathlib.Path(results(output, NAME)["places"]["model"], CONTRACT).read_text())
    assert contract["frames"].keys() == {"attributes", "landmarks"}


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


def test_settings_make_a_run_of_its_own_that_starts_from_the_blessed_model(first_run, output):
    settings = ["training.learning_rate=0.0", f"training.warm_start={NAME}"]
    name = f"{NAME}+training.learning_rate=0.0+training.warm_start={NAME}"
    assert run(dmm_cnn(), output, NAME, settings) == own(name)
    assert results(output, name)["experiment"] == name and results(output, NAME)["experiment"] == NAME
    assert set(compare.latest_results(str(output))) == {NAME, name}
    blessed, tuned = (weights(results(output, run)["places"]["model"]) for run in (NAME, name))
    assert blessed.keys() == tuned.keys() and not all(np.array_equal(blessed[key], tuned[key]) for key in blessed)
    for key, values in blessed.items():
        if "moving_" not in key:
            np.testing.assert_array_equal(tuned[key], values, err_msg=key)
    assert run(dmm_cnn(), output, NAME, settings) == set()


def test_the_compiled_pipeline_ends_as_the_local_one(first_run, output, tmp_path, monkeypatch):
    """Kubeflow's tasks, each by the arguments of its container, with all that they write behind URIs."""
    ram.register()
    asked = check.run

    def run_elsewhere(command, *seconds):
        return asked([ram.for_another_process(argument, tmp_path) for argument in command], *seconds)

    monkeypatch.setattr(check, "run", run_elsewhere)
    monkeypatch.setitem(REGISTERED, NAME, dmm_cnn())
    root, job = "ram://bucket/cluster", tmp_path / "job.json"
    settings = {"EXPERIMENT": NAME, "PIPELINE_ROOT": root, "IMAGE": "facetfx", "BASELINE_MODEL": "none"}
    for name, value in {**settings, "OUTPUT": str(job), "DATA_DIR": "", "SET": "", "SEED": ""}.items():
        monkeypatch.setenv(name, value)
    kubeflow_runner.main()
    done = Compiled(job).run_all("ram://bucket/tasks")
    assert done.keys() == DATA_NODES | own(NAME)
    (report,) = tf.io.gfile.glob(f"{root}/reports/*/results.json")
    found, local = json.loads(tf.io.gfile.GFile(report).read()), results(output, NAME)
    assert found["verdict"] == local["verdict"] == "blessed and pushed"
    assert found["places"]["model"].startswith(f"{root}/serving/")
    assert tf.io.gfile.exists(f"{found['places']['model']}/saved_model.pb")
    kept = local["figures"].keys() - {"training minutes", "processor minutes"}
    assert {name: found["figures"][name] for name in kept} == pytest.approx({n: local["figures"][n] for n in kept})


def test_another_bar_evaluates_anew_and_trains_nothing(first_run, output):
    attributes, landmarks = dmm_cnn().tasks
    strict = replace(attributes, bar=Bar("mean_balanced_accuracy", at_least=0.99))
    ran = run(replace(dmm_cnn(), tasks=(strict, landmarks)), output, NAME)
    assert ran == own(NAME, "Evaluator", "Pusher", "Report")
    assert results(output, NAME)["verdict"] == "not pushed"
    assert "the bar, at least 99.00 %, is missed by" in results(output, NAME)["reasons"][0]
    assert len(list((output / "serving" / "e2e-tiny").iterdir())) == 1


def test_four_tasks_of_the_same_records_in_a_plain_network(first_run, output):
    plain = experiments.get("plain/synthetic")
    small = {**plain.model.kwargs, "backbone": "resnet10", "backbone_width": 4, "map_width": 8}
    experiment = replace(
        plain,
        data=DRAWN,
        tasks=with_low_bars(plain.tasks),
        model=replace(plain.model, kwargs=small),
        training=replace(plain.training, epochs=1, batch_size=8, precision="float32"),
        export=Export(lite="int8", flip_average=True),
    )
    assert run(experiment, output, PLAIN) == {"Transform"} | own(PLAIN) | own(PLAIN, "LiteEvaluator")
    found = results(output, PLAIN)
    assert found["verdict"] == "blessed and pushed"
    named = {"attributes mean accuracy", "landmarks NME", "parsing mean F1", "emotion accuracy"}
    assert named <= set(found["figures"]) and named <= set(found["TensorFlow Lite"])
    assert found["TensorFlow Lite"]["attributes mean accuracy"] == pytest.approx(
        found["figures"]["attributes mean accuracy"], abs=0.05
    )
    assert "on the same images attributes mean accuracy" in page(output, PLAIN)
    assert "flipped left to right" in page(output, PLAIN)
    averaged, single = (_attributes_of_an_image_and_its_mirror(output, name) for name in (PLAIN, NAME))
    np.testing.assert_allclose(averaged[0], averaged[1], atol=1e-5)
    assert np.abs(single[0] - single[1]).max() > 1e-3
    _, shapes = served(output, PLAIN)
    assert set(shapes) == {"attributes", "attributes_decisions", "landmarks", "parsing", "emotion"}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("folder", ["pipeline/Trainer-e2e-tiny", "serving/e2e-tiny", "reports/e2e-tiny"])
def test_a_damaged_file_leads_to_no_other_figures(first_run, output, folder, seed):
    """`make faults` in short; what is without metadata is tried in tests/pipeline/test_mending.py."""
    run(dmm_cnn(), output, NAME)
    undisturbed = results(output, NAME)
    model = pathlib.Path(undisturbed["places"]["model"])
    files = {file.relative_to(model): file.read_bytes() for file in model.rglob("*") if file.is_file()}
    what = damage(output / folder, random.Random(seed))
    run(dmm_cnn(), output, NAME)
    found = results(output, NAME)
    assert found["verdict"] == undisturbed["verdict"] == "blessed and pushed", what
    kept = found["figures"].keys() - {"training minutes", "processor minutes"}
    expected = {name: undisturbed["figures"][name] for name in kept}
    assert {name: found["figures"][name] for name in kept} == pytest.approx(expected, rel=1e-6), what
    assert found["places"]["model"] == str(model)
    now = {file.relative_to(model): file.read_bytes() for file in model.rglob("*") if file.is_file()}
    assert {name for name in {*files, *now} if files.get(name) != now.get(name)} <= {MODEL_CARD}, what
    assert not damaged_files(found["trained"]), what


def _attributes_of_an_image_and_its_mirror(output, name):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    model, _ = served(output, name)
    files = [tf.io.encode_png(image) for image in (pixels, pixels[:, ::-1])]
    return model.signatures["serving_default"](image_bytes=tf.stack(files))["attributes"].numpy()


def test_unknown_experiment_and_missing_data_are_told_before_anything_runs(output):
    with pytest.raises(ValueError, match="dmm_cnn/celeb_a"):
        read_request({"EXPERIMENT": "dmm_cnn/celeba"})
    with pytest.raises(FileNotFoundError, match=r"list_attr_celeba\.txt"):
        asked = {"EXPERIMENT": "dmm_cnn/celeb_a", "DATA_DIR": str(output), "OUTPUT_DIR": str(output)}
        local_runner.local_pipeline(read_request(asked))
