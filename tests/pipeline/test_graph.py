"""What the pipeline is made of where an experiment has several data sets, and what it refuses to build."""

import json
from dataclasses import replace

import pytest
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.input_resolution.resolver_op import get_input_nodes

from components.config import Source, Teacher, from_json
from components.soft_labels import SoftLabeler
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
    train, evaluation = ["drawn_train", "points_train"], ["drawn_validation", "points_validation"]
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
    assert json.loads(found["Transform"]["splits_config"]) == {"analyze": ["train"], "transform": ["validation", "train"]}
    assert json.loads(found["Trainer"]["eval_args"]) == {"splits": ["validation"]}
    assert json.loads(found["Evaluator"]["example_splits"]) == ["test"]


def test_validation_on_the_training_splits():
    without_eval = replace(POINTS, options={"validation_every": 0})
    found = properties(of_several(DRAWN, without_eval, validation_split="train"))
    splits = ["drawn_train", "points_train"]
    assert json.loads(found["Transform"]["splits_config"]) == {"analyze": splits, "transform": splits}
    assert json.loads(found["Trainer"]["eval_args"]) == {"splits": splits}


def test_a_split_that_one_of_them_lacks():
    message = r"'points' has no split 'eval', but train, test\. Name one of them in .*training\.validation_split"
    with pytest.raises(ValueError, match=message):
        properties(of_several(DRAWN, replace(POINTS, options={"validation_every": 0})))
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


FACES = Source("faces", {"num_train": 8}, builder="synthetic_faces", labels=("attributes",))
CLOTHES = Source("clothes", {"num_train": 8}, builder="synthetic_faces", labels=("clothing",))
FACE_TEACHER, CLOTHING_TEACHER = Teacher("attributes", "branching/faces"), Teacher("clothing", "branching/clothes")


def taught(*teachers, places=PLACES):
    """{node id: node} of an experiment on faces and clothes with teachers."""
    base = experiments.get("dmm_cnn/synthetic")
    experiment = replace(
        base,
        data=replace(base.data, sources=(FACES, CLOTHES), clothing=True, num_landmarks=0, teachers=teachers),
        evaluation=replace(base.evaluation, min_clothing_top3=0.3),
    )
    return {node.id: node for node in create_pipeline("faces", "joint/tiny", experiment, places).components}


def producer(node, name):
    """(Node id, output) that an input comes from."""
    channel = node.inputs[name]
    return channel.producer_component_id, channel.output_key


def test_teachers_label_what_everything_after_reads():
    nodes = taught(FACE_TEACHER, CLOTHING_TEACHER)
    labeler = nodes["SoftLabeler"]
    assert producer(labeler, "examples") == ("FacesExampleGen", "examples")
    assert producer(labeler, "attributes_teacher") == ("Teacher-branching-faces", "model")
    assert producer(labeler, "clothing_teacher") == ("Teacher-branching-clothes", "model")
    found = labeler.exec_properties
    assert tuple(from_json(found["teachers"])) == (FACE_TEACHER, CLOTHING_TEACHER)
    assert json.loads(found["lengths"]) == {"attributes": 40, "clothing": 10}
    assert json.loads(found["splits"]) == ["faces_train", "clothes_train"]
    own = "joint-tiny"
    for reader in ("StatisticsGen", "Transform", f"Evaluator-{own}", f"ServingCheck-{own}", f"Report-{own}"):
        assert producer(nodes[reader], "examples") == ("SoftLabeler", "labelled_examples")


@pytest.mark.parametrize("name", ["faces", "clothes"])
def test_a_teacher_is_a_blessed_model_of_its_experiment(name):
    teacher = taught(FACE_TEACHER, CLOTHING_TEACHER)[f"Teacher-branching-{name}"]
    looked_at = get_input_nodes(teacher.inputs["model"].output_node)
    assert {node.wrapped.producer_component_id for node in looked_at} == {
        f"Trainer-branching-{name}",
        f"Evaluator-branching-{name}",
    }


def test_one_network_teaches_both():
    nodes = taught(FACE_TEACHER, replace(CLOTHING_TEACHER, experiment=FACE_TEACHER.experiment))
    assert [name for name in nodes if name.startswith("Teacher-")] == ["Teacher-branching-faces"]
    for label in ("attributes", "clothing"):
        assert producer(nodes["SoftLabeler"], f"{label}_teacher") == ("Teacher-branching-faces", "model")


def test_without_teachers_nothing_is_labelled():
    nodes = taught()
    assert not any(isinstance(node, SoftLabeler) for node in nodes.values())
    assert producer(nodes["Transform"], "examples") == ("FacesExampleGen", "examples")


def test_a_model_that_is_given():
    places = replace(PLACES, models={FACE_TEACHER.experiment: "gs://bucket/model"})
    nodes = taught(FACE_TEACHER, places=places)
    teacher = nodes["Teacher-branching-faces"]
    assert isinstance(teacher, Importer) and teacher.exec_properties["artifact_uri"] == "gs://bucket/model"
    assert producer(nodes["SoftLabeler"], "attributes_teacher") == (teacher.id, "model")
    with pytest.raises(
        ValueError, match=r"no blessed model of 'branching/faces' yet.*make run EXPERIMENT=branching/faces"
    ):
        taught(FACE_TEACHER, places=replace(PLACES, models={FACE_TEACHER.experiment: ""}))


@pytest.mark.parametrize(
    ("teachers", "message"),
    [
        ([Teacher("clothing", "a"), Teacher("clothing", "b")], "'clothing' has several teachers.*: a, b"),
        ([Teacher("landmarks", "a")], "'a' should teach 'landmarks', which .* doesn't use, but attributes, clothing"),
        ([Teacher("smile", "a")], "'a' should teach 'smile', which .* doesn't use"),
    ],
)
def test_teachers_that_cannot_be(teachers, message):
    with pytest.raises(ValueError, match=message):
        taught(*teachers)


def test_a_label_used_that_cannot_be_taught():
    base = experiments.get(NAME)
    with pytest.raises(
        ValueError, match=r"'a' should teach 'parsing'\. A teacher's label is one of: attributes, clothing"
    ):
        properties(replace(base, data=replace(base.data, teachers=(Teacher("parsing", "a"),))))
