"""iFAN through the real pipeline: several tasks, each from a data set of its own."""

from dataclasses import replace

import pytest

from components.drift.reference import read_reference
from pipeline import experiments
from tests.support.pipeline_runs import DATA_NODES, own, page, results, run, served, with_low_bars
from tests.support.tiny_tasks import SMALL

pytestmark = pytest.mark.e2e
TASKS = "e2e/tasks"


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("out")


def two_tasks():
    ifan = experiments.get("ifan/synthetic")
    names, (parsing, landmarks, _) = ("parsing", "landmarks"), ifan.training.tasks
    faces = {"num_train": 16, "num_validation": 8, "num_test": 8, "image_size": 48}
    datasets = tuple(replace(each, options={**each.options, **faces}) for each in ifan.data.datasets[:2])
    outputs = {name: ifan.model.kwargs["tasks"][name] for name in names}
    return replace(
        ifan,
        data=replace(ifan.data, datasets=datasets),
        tasks=with_low_bars(map(ifan.task, names)),
        model=replace(ifan.model, kwargs={**ifan.model.kwargs, **SMALL, "tasks": outputs, "iterations": 1}),
        training=replace(
            ifan.training,
            tasks=(
                replace(parsing, batch_size=8, pretraining_epochs=0),
                replace(landmarks, batch_size=8, pretraining_epochs=1),
            ),
            plain_epochs=1,
            epochs=1,
            steps=2,
            precision="float32",
        ),
    )


@pytest.fixture(scope="module")
def two_tasks_run(output):
    return run(two_tasks(), output, TASKS)


def test_data_sets_that_share_nothing_go_through_the_same_pipeline(two_tasks_run, output):
    assert two_tasks_run == DATA_NODES | own(TASKS)
    found = results(output, TASKS)
    assert found["verdict"] == "blessed and pushed"
    assert found["figures"]["images tested"] == 16 and found["figures"]["records quarantined"] == 0
    assert {"parsing mean F1", "landmarks NME"} <= set(found["figures"])
    assert {"iteration 0", "iteration 1"} <= set(found)
    reference = read_reference(found["places"]["model"])
    own_tasks = {dataset: {name.partition(".")[0] for name in values} for dataset, values in reference.items()}
    images = {f"image {what}" for what in ("brightness", "contrast", "chroma", "sharpness")}
    assert own_tasks == {"drawn_parsing": images | {"parsing"}, "drawn_landmarks": images | {"landmarks"}}
    assert "drawn_parsing_train" in page(output, TASKS) and "taking turns" in page(output, TASKS)


def test_one_call_of_the_pushed_model_answers_every_task(two_tasks_run, output):
    model, shapes = served(output, TASKS)
    assert shapes == {"parsing": (2, 50, 40), "landmarks": (2, 68, 2)}
    assert "landmarks_iter0" in model.signatures["iterations_from_examples"].structured_outputs


def test_a_second_run_of_several_tasks_finds_everything_cached(two_tasks_run, output):
    assert run(two_tasks(), output, TASKS) == set()
