"""A network that widens itself through the real pipeline; teachers that label what data sets lack."""

import json
from dataclasses import replace

import pytest

from components.config import Data, DatasetConfig, Teacher, configured
from components.systems.branching.tree_file import read_tree
from pipeline import experiments
from tests.support.pipeline_runs import DATA_NODES, DRAWN, own, page, results, run, served, with_low_bars

pytestmark = pytest.mark.e2e
PEOPLE, JOINT = "e2e/people", "e2e/joint"


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("out")


def people():
    """Attributes and clothing of the same drawn faces: a network that can teach both."""
    synthetic = experiments.get("branching/synthetic")
    clothing = experiments.get("branching/joint-tiny").task("clothing")
    return replace(
        synthetic,
        data=DRAWN,
        tasks=with_low_bars((*synthetic.tasks, clothing)),
        model=configured("keras_models.ThinVGG16", width=4, num_tasks=50, outputs={"attributes": 40, "clothing": 10}),
        training=replace(synthetic.training, epochs=1, steps=4, batch_size=8, alpha=0.1, precision="float32"),
    )


def joint():
    """The same tasks from data sets that have one of the labels each."""
    faces = {"num_train": 16, "num_validation": 8, "num_test": 8, "image_size": 48}
    datasets = tuple(
        DatasetConfig(f"drawn_{label}", {**faces, "seed": seed}, builder="synthetic_faces", labels=(label,))
        for seed, label in enumerate(("attributes", "clothing"), start=1)
    )
    teachers = (Teacher("attributes", PEOPLE), Teacher("clothing", PEOPLE))
    people_ = people()
    return replace(
        people_,
        data=Data(datasets, image_size=(32, 32), teachers=teachers),
        tasks=with_low_bars(people_.tasks, clothing=None),  # which such a network may never find
        # Branches cost more than they can win, so that the first round is the last one.
        training=replace(people_.training, alpha=0.01),
    )


@pytest.fixture(scope="module")
def people_run(output):
    return run(people(), output, PEOPLE)


@pytest.fixture(scope="module")
def joint_run(people_run, output):
    return run(joint(), output, JOINT)


def test_a_network_that_widens_itself_goes_through_the_same_pipeline(people_run, output):
    assert people_run == DATA_NODES | own(PEOPLE)
    found = results(output, PEOPLE)
    assert found["verdict"] == "blessed and pushed"
    named = {"attributes mean accuracy", "attributes top-10 recall", "clothing top-3 accuracy"}
    assert named <= set(found["figures"])
    tree = read_tree(found["places"]["model"])
    assert tree.num_tasks == 50 and len(tree.of("fc7")) > 1
    shown = page(output, PEOPLE)
    assert "fc7" in shown and "Wearing_Lipstick".replace("_", " ") in shown.replace("_", " ")


def test_the_pushed_tree_has_no_batch_norm_and_answers_for_both_domains(people_run, output):
    model, shapes = served(output, PEOPLE)
    graph = model.signatures["serving_default"].graph.as_graph_def()
    ops = {node.op for function in graph.library.function for node in function.node_def}
    assert "Conv2D" in ops and not [op for op in ops if "BatchNorm" in op]
    assert shapes == {"attributes": (2, 40), "attributes_decisions": (2, 40), "clothing": (2, 10)}


def test_teachers_label_what_the_data_sets_lack(joint_run, output):
    assert "SoftLabeler" in joint_run
    found = results(output, JOINT)
    assert found["verdict"] == "blessed and pushed"
    assert found["figures"]["records quarantined"] == 0
    (counts,) = (output / "pipeline" / "SoftLabeler" / "counts").rglob("*.json")
    training = json.loads(counts.read_text())["drawn_attributes_train"]
    assert training["clothing"] == {"labelled": 16, "annotated": 0}
    assert training["attributes"] == {"labelled": 0, "annotated": 16}
