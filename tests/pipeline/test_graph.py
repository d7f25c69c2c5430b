"""What the pipeline is made of where an experiment has several data sets, and what it refuses to build."""

import json
from dataclasses import replace

import pytest

from components.config import Source, from_json
from pipeline import experiments
from pipeline.graph import Places, create_pipeline

PLACES = Places(source="/data", fingerprint="7", root="/root", serving="/serving", reports="/reports")
NAME = "dml_csr/synthetic"
DRAWN = Source("drawn", {"num_train": 8}, builder="synthetic_faces", labels=("parsing",))
POINTS = Source("points", builder="mtfl", labels=("landmarks",))


def of_several(*sources, **training):
    base = experiments.get(NAME)
    return replace(
        base,
        data=replace(base.data, sources=sources, num_landmarks=5),
        training=replace(base.training, **training),
    )


def properties(experiment):
    """{node: its execution properties}."""
    nodes = create_pipeline("faces", NAME, experiment, PLACES).components
    return {node.id.removesuffix("-dml_csr-synthetic"): getattr(node, "exec_properties", {}) for node in nodes}


def test_every_step_has_the_splits_of_all_data_sets():
    found = properties(of_several(DRAWN, POINTS))
    assert tuple(from_json(found["FacesExampleGen"]["sources"])) == (DRAWN, POINTS)
    assert (found["FacesExampleGen"]["data_dir"], found["FacesExampleGen"]["fingerprint"]) == ("/data", "7")
    train, evaluation = ["drawn_train", "points_train"], ["drawn_eval", "points_eval"]
    assert json.loads(found["Transform"]["splits_config"]) == {
        "analyze": train,
        "transform": sorted(train + evaluation),
    }
    assert json.loads(found["Trainer"]["train_args"]) == {"splits": train}
    assert json.loads(found["Trainer"]["eval_args"]) == {"splits": evaluation}
    for node, name in (("Evaluator", "example_splits"), ("ServingCheck", "splits")):
        assert json.loads(found[node][name]) == ["drawn_test", "points_test"]


def test_one_data_set_has_the_plain_splits():
    found = properties(experiments.get(NAME))
    assert json.loads(found["Transform"]["splits_config"]) == {"analyze": ["train"], "transform": ["eval", "train"]}
    assert json.loads(found["Trainer"]["eval_args"]) == {"splits": ["eval"]}
    assert json.loads(found["Evaluator"]["example_splits"]) == ["test"]


def test_validation_on_the_training_splits():
    without_eval = replace(POINTS, options={"eval_every": 0})
    found = properties(of_several(DRAWN, without_eval, validation_split="train"))
    splits = ["drawn_train", "points_train"]
    assert json.loads(found["Transform"]["splits_config"]) == {"analyze": splits, "transform": splits}
    assert json.loads(found["Trainer"]["eval_args"]) == {"splits": splits}


def test_a_split_that_one_of_them_lacks():
    message = r"'points' has no split 'eval', but train, test\. Name one of them in .*training\.validation_split"
    with pytest.raises(ValueError, match=message):
        properties(of_several(DRAWN, replace(POINTS, options={"eval_every": 0})))
    tested = of_several(DRAWN, POINTS)
    with pytest.raises(ValueError, match="'drawn' has no split 'final', but train, eval, test"):
        properties(replace(tested, evaluation=replace(tested.evaluation, split="final")))


def test_a_label_that_none_of_them_gives():
    with pytest.raises(ValueError, match="drawn, points, none give 'landmarks'"):
        properties(of_several(DRAWN, replace(POINTS, labels=("attributes",))))


def test_two_of_a_name():
    with pytest.raises(ValueError, match="2 data sets are called 'drawn'"):
        properties(of_several(DRAWN, replace(POINTS, name="drawn")))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("mgg_net/celeb_a-tiny", {"parsing": True}, "'celeb_a' has no parsing: set parsing=False"),
        ("mgg_net/celeb_a-tiny", {"emotion": True}, "'celeb_a' has no emotion: set emotion=False"),
        ("dml_csr/lapa-tiny", {"attributes": True}, "'lapa' has no attributes: set attributes=False"),
    ],
)
def test_a_task_without_labels(name, changes, message):
    base = experiments.get(name)
    with pytest.raises(ValueError, match=message):
        create_pipeline("faces", name, replace(base, data=replace(base.data, **changes)), PLACES)
