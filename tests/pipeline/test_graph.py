"""What the pipeline is made of where an experiment has several data sets, and what it refuses to build."""

import json
from dataclasses import replace

import pytest
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.input_resolution.resolver_op import get_input_nodes

from components.config import Data, DatasetConfig, Export, Task, Teacher, from_json
from components.soft_labels.component import SoftLabeler
from pipeline import experiments
from pipeline.graph import PipelinePaths, create_pipeline

PATHS = PipelinePaths(data_dir="/data", fingerprint="7", root="/root", serving="/serving", reports="/reports")
NAME = "plain/synthetic"
DRAWN = DatasetConfig("drawn", {"num_train": 8}, builder="synthetic_faces", labels=("parsing",))
POINTS = DatasetConfig("points", builder="mtfl", labels=("landmarks",))
WITHOUT_VALIDATION = DatasetConfig("faces", builder="lfwa", labels=("attributes",))
ATTRIBUTES, LANDMARKS = Task("attributes", "multi_label"), Task("landmarks", "landmarks")


def of_several(*datasets, task=LANDMARKS, **training):
    """An experiment that learns label maps and another task."""
    base = experiments.get(NAME)
    return replace(
        base,
        data=replace(base.data, datasets=datasets),
        tasks=(Task("parsing", "segmentation"), task),
        training=replace(base.training, **training),
    )


def nodes(experiment, name=NAME, paths=PATHS):
    """{node: itself}."""
    built = create_pipeline("faces", name, experiment, paths).components
    return {node.id.removesuffix("-plain-synthetic"): node for node in built}


def properties(experiment, **options):
    """{node: its execution properties}."""
    return {name: getattr(node, "exec_properties", {}) for name, node in nodes(experiment, **options).items()}


def test_every_step_has_the_splits_of_all_data_sets():
    found = properties(of_several(DRAWN, POINTS))
    assert tuple(from_json(found["FacesExampleGen"]["datasets"])) == (DRAWN, POINTS)
    assert (found["FacesExampleGen"]["data_dir"], found["FacesExampleGen"]["fingerprint"]) == ("/data", "7")
    train, validation = ["drawn_train", "points_train"], ["drawn_validation", "points_validation"]
    assert json.loads(found["Transform"]["splits_config"]) == {
        "analyze": train,
        "transform": sorted(train + validation),
    }
    assert json.loads(found["Trainer"]["train_args"]) == {"splits": train}
    assert json.loads(found["Trainer"]["eval_args"]) == {"splits": validation}
    for node, name in (("Evaluator", "example_splits"), ("ServingCheck", "splits")):
        assert json.loads(found[node][name]) == ["drawn_test", "points_test"]


def test_one_data_set_has_the_plain_splits():
    found = properties(experiments.get(NAME))
    assert json.loads(found["Transform"]["splits_config"]) == {
        "analyze": ["train"],
        "transform": ["train", "validation"],
    }
    assert json.loads(found["Trainer"]["eval_args"]) == {"splits": ["validation"]}
    assert json.loads(found["Evaluator"]["example_splits"]) == ["test"]


def test_tensorflow_lite_is_measured_on_the_same_records_without_bars_and_slices():
    base = experiments.get(NAME)
    sliced = replace(base.evaluation, slice_by=("Male",))
    found = properties(replace(base, export=Export(lite="int8"), evaluation=sliced))
    assert "LiteEvaluator" not in properties(base)
    assert found["LiteEvaluator"]["example_splits"] == found["Evaluator"]["example_splits"]
    config = json.loads(found["LiteEvaluator"]["eval_config"])
    assert config["slicing_specs"] == [{}] and "threshold" not in found["LiteEvaluator"]["eval_config"]
    assert "threshold" in found["Evaluator"]["eval_config"]


def test_a_seed_changes_the_training_alone():
    base = experiments.get(NAME)
    found = [properties(replace(base, training=replace(base.training, seed=seed))) for seed in (0, 0, 1)]
    assert found[0] == found[1]
    assert [node for node in found[0] if found[0][node] != found[2][node]] == ["Trainer", "Report"]


def test_a_run_is_told_from_others_by_data_experiment_and_code(monkeypatch):
    experiment = of_several(DRAWN, POINTS)

    def told(experiment=experiment, paths=PATHS):
        return properties(experiment, paths=paths)["Report"]["run"]

    same = told()
    assert told() == same
    others = {
        told(of_several(DRAWN, POINTS, seed=9)),
        told(of_several(POINTS, DRAWN)),
        told(paths=replace(PATHS, data_dir="/other")),
        told(paths=replace(PATHS, fingerprint="8")),
    }
    monkeypatch.setattr("pipeline.graph.code_version", lambda *paths: "other code")
    assert len(others | {same, told()}) == 6


def test_validation_on_the_training_splits():
    found = properties(of_several(DRAWN, WITHOUT_VALIDATION, task=ATTRIBUTES, validation_split="train"))
    splits = ["drawn_train", "faces_train"]
    assert json.loads(found["Transform"]["splits_config"]) == {"analyze": splits, "transform": splits}
    assert json.loads(found["Trainer"]["eval_args"]) == {"splits": splits}


def test_a_split_that_one_of_them_lacks():
    message = r"'faces' has no split 'validation', but train, test\. Name one of them in .*training\.validation_split"
    with pytest.raises(ValueError, match=message):
        properties(of_several(DRAWN, WITHOUT_VALIDATION, task=ATTRIBUTES))
    tested = of_several(DRAWN, POINTS)
    with pytest.raises(ValueError, match="'drawn' has no split 'final', but train, validation, test"):
        properties(replace(tested, evaluation=replace(tested.evaluation, split="final")))


def test_a_label_that_none_of_them_gives():
    with pytest.raises(ValueError, match="drawn, points, none give 'landmarks'"):
        properties(of_several(DRAWN, replace(POINTS, labels=("attributes",))))


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        ("mgg_net/celeb_a-tiny", Task("parsing", "segmentation"), "'celeb_a' has no 'parsing'; its labels: attributes"),
        ("dml_csr/lapa-tiny", Task("attributes", "multi_label"), "'lapa' has no 'attributes'; its labels: parsing"),
        ("dml_csr/lapa-tiny", Task("parsing", "landmarks"), "'parsing' is of kind landmarks, but .* as segmentation"),
    ],
)
def test_a_task_without_labels(name, task, message):
    with pytest.raises(ValueError, match=message):
        nodes(replace(experiments.get(name), tasks=(task,)), name)


def test_what_is_prepared_rests_on_the_data_alone():
    """Another bar, loss or network finds the prepared data in the cache, and another bar the trained model, too."""
    base = experiments.get(NAME)
    before, own = properties(base), ("Evaluator", "Report")
    tasks = tuple(replace(task, bar=None) for task in base.tasks)
    unbarred = properties(replace(base, tasks=tasks, summary="Other words"))
    assert {name for name, found in unbarred.items() if found != before[name]} == set(own)
    weighted = replace(base, tasks=tuple(replace(task, weight=2.0) for task in base.tasks))
    changed = {name for name, found in properties(weighted).items() if found != before[name]}
    assert changed == {"Trainer", "Report"}


def test_a_run_with_other_values_has_nodes_and_folders_of_its_own():
    found = create_pipeline("faces", f"{NAME}+training.epochs=3", experiments.get(NAME), PATHS).components
    own = "plain-synthetic-training.epochs-3"
    names = [node.id for node in found]
    assert [name for name in names if name.startswith("Trainer-")] == [f"Trainer-{own}"]
    report = next(node for node in found if node.id == f"Report-{own}")
    assert report.exec_properties["name"] == f"{NAME}+training.epochs=3"
    assert report.exec_properties["destination"] == f"/reports/{own}"


def test_landmarks_are_annotated_under_the_label_that_is_named():
    base = experiments.get(NAME)
    experiment = replace(
        base, data=replace(base.data, annotate_landmarks="dots"), tasks=(Task("dots", "landmarks"), base.tasks[0])
    )
    found = nodes(experiment)
    assert found["LandmarkAnnotator"].exec_properties["label"] == "dots"
    config = json.loads(found["Transform"].exec_properties["custom_config"])
    dots = next(iter(from_json(config["tasks"])))
    assert (dots.name, len(dots.names)) == ("dots", 68)
    assert producer(found["Transform"], "examples") == ("LandmarkAnnotator", "annotated_examples")
    assert producer(found["Report"], "annotation") == ("LandmarkAnnotator", "counts")


def test_only_a_system_s_own_code_is_part_of_its_training(monkeypatch):
    versions = []
    monkeypatch.setattr("pipeline.graph.code_version", lambda *paths: versions.append(paths) or "1")
    nodes(experiments.get("branching/synthetic"), "branching/synthetic")
    (training,) = (paths for paths in versions if "keras_models" in paths)
    systems = {path for path in training if path.startswith("components/systems")}
    assert {path.split("/")[2] for path in systems} == {"base.py", "branching"}
    assert "components/systems/branching/widening.py" in systems
    assert "components/systems/branching/report.py" not in systems


FACES = DatasetConfig("faces", {"num_train": 8}, builder="synthetic_faces", labels=("attributes",))
CLOTHES = DatasetConfig("clothes", {"num_train": 8}, builder="synthetic_faces", labels=("clothing",))
FACE_TEACHER, CLOTHING_TEACHER = Teacher("attributes", "branching/faces"), Teacher("clothing", "branching/clothes")


def taught(*teachers, paths=PATHS):
    """{node id: node} of an experiment on faces and clothes with teachers."""
    experiment = replace(
        experiments.get(NAME),
        data=Data((FACES, CLOTHES), teachers=teachers),
        tasks=(Task("attributes", "multi_label"), Task("clothing", "classification")),
    )
    return nodes(experiment, "joint/tiny", paths)


def producer(node, name):
    """(Node id, output) that an input comes from."""
    channel = node.inputs[name]
    return channel.producer_component_id, channel.output_key


def test_teachers_label_what_everything_after_reads():
    found = taught(FACE_TEACHER, CLOTHING_TEACHER)
    labeler = found["SoftLabeler"]
    assert producer(labeler, "examples") == ("FacesExampleGen", "examples")
    assert producer(labeler, "attributes_teacher") == ("Teacher-branching-faces", "model")
    assert producer(labeler, "clothing_teacher") == ("Teacher-branching-clothes", "model")
    given = labeler.exec_properties
    assert tuple(from_json(given["teachers"])) == (FACE_TEACHER, CLOTHING_TEACHER)
    assert json.loads(given["lengths"]) == {"attributes": 40, "clothing": 10}
    assert json.loads(given["splits"]) == ["faces_train", "clothes_train"]
    own = "joint-tiny"
    for reader in ("StatisticsGen", "Transform", f"Evaluator-{own}", f"ServingCheck-{own}", f"Report-{own}"):
        assert producer(found[reader], "examples") == ("SoftLabeler", "labelled_examples")


@pytest.mark.parametrize("name", ["faces", "clothes"])
def test_a_teacher_is_a_blessed_model_of_its_experiment(name):
    teacher = taught(FACE_TEACHER, CLOTHING_TEACHER)[f"Teacher-branching-{name}"]
    looked_at = get_input_nodes(teacher.inputs["model"].output_node)
    assert {node.wrapped.producer_component_id for node in looked_at} == {
        f"Trainer-branching-{name}",
        f"Evaluator-branching-{name}",
    }


def test_one_network_teaches_both():
    found = taught(FACE_TEACHER, replace(CLOTHING_TEACHER, experiment=FACE_TEACHER.experiment))
    assert [name for name in found if name.startswith("Teacher-")] == ["Teacher-branching-faces"]
    for label in ("attributes", "clothing"):
        assert producer(found["SoftLabeler"], f"{label}_teacher") == ("Teacher-branching-faces", "model")


def test_without_teachers_nothing_is_labelled():
    found = taught()
    assert not any(isinstance(node, SoftLabeler) for node in found.values())
    assert producer(found["Transform"], "examples") == ("FacesExampleGen", "examples")


def test_a_model_that_is_given():
    paths = replace(PATHS, models={FACE_TEACHER.experiment: "gs://bucket/model"})
    found = taught(FACE_TEACHER, paths=paths)
    teacher = found["Teacher-branching-faces"]
    assert isinstance(teacher, Importer) and teacher.exec_properties["artifact_uri"] == "gs://bucket/model"
    assert producer(found["SoftLabeler"], "attributes_teacher") == (teacher.id, "model")
    with pytest.raises(
        ValueError, match=r"no blessed model of 'branching/faces' yet.*make run EXPERIMENT=branching/faces"
    ):
        taught(FACE_TEACHER, paths=replace(PATHS, models={FACE_TEACHER.experiment: ""}))
