"""The real pipeline with a small network on a few drawn faces: what runs, what is cached, what is left."""

import json
import pathlib
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from tfx.orchestration.local.local_dag_runner import LocalDagRunner

from components.config import Data, Source, Teacher, factory
from components.serving.branch_tree import read_tree
from pipeline import compare, experiments, local_runner
from pipeline.console import ComponentProgress, print_results
from pipeline.experiments.registry import REGISTERED

NAME = "e2e/tiny"
DATA_NODES = {"FacesExampleGen", "StatisticsGen", "ImportSchemaGen", "ExampleValidator", "Transform"}
RESOLVER = "LastBlessed-e2e-tiny"  # resolvers look into the metadata anew each time


def own(*nodes):
    return {f"{node}-e2e-tiny" for node in nodes}


def tiny():
    base = experiments.get("dmm_cnn/synthetic")
    return replace(
        base,
        data=Data(
            (Source("synthetic_faces", {"num_train": 32, "num_validation": 8, "num_test": 16, "image_size": 64}),),
            image_size=(32, 32),
        ),
        model=factory(
            "keras_models.DMMCNN",
            num_landmarks=68,
            backbone="resnet18",
            backbone_width=8,
            objective_units=[8],
            subjective_units=[8],
            landmark_units=[8],
        ),
        training=replace(base.training, epochs=1, batch_size=8, precision="float32"),
        evaluation=replace(base.evaluation, min_balanced_accuracy=0.1),
    )


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("out")


def run(experiment, output, name=NAME):
    """Runs as `make run` does; returns the nodes that ran and were not found in the cache."""
    REGISTERED[name] = experiment
    pipeline = local_runner.local_pipeline(name, data_dir="", seed=None, output_dir=str(output))
    with ComponentProgress(pipeline) as progress:
        LocalDagRunner().run(pipeline)
    print_results(name, str(output), progress)
    return set(progress.minutes) - progress.cached - {RESOLVER}


@pytest.fixture(scope="module")
def first_run(output):
    return run(tiny(), output)


def results(output, own_name="e2e-tiny"):
    return json.loads((output / "reports" / own_name / "results.json").read_text())


def kernels(saved_model):
    """Values of the network's trained weights by name."""
    return {v.name: v.numpy() for v in tf.saved_model.load(saved_model).network.trainable_variables}


def test_everything_runs_and_the_model_is_pushed(first_run, output):
    assert first_run == DATA_NODES | own("Trainer", "Evaluator", "ServingCheck", "Pusher", "Report")
    assert results(output)["verdict"] == "blessed and pushed"
    assert results(output)["reasons"] == []
    assert results(output)["figures"]["images tested"] == 16
    (version,) = (output / "serving" / "e2e-tiny").iterdir()
    assert str(version) == results(output)["places"]["model"]


def test_the_pushed_model_answers(first_run, output):
    model = tf.saved_model.load(results(output)["places"]["model"])
    picture = tf.io.encode_png(tf.zeros([50, 40, 3], tf.uint8))
    answers = model.signatures["serving_default"](image_bytes=tf.stack([picture, picture]))
    assert {name: tuple(values.shape) for name, values in answers.items()} == {
        "attributes": (2, 40),
        "decisions": (2, 40),
        "landmarks": (2, 68, 2),
    }


def test_the_report_and_the_logs_are_there(first_run, output):
    page = (output / "reports" / "e2e-tiny" / "index.html").read_text()
    assert "5 o Clock Shadow" in page or "5_o_Clock_Shadow" in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://localhost", "")
    logs = pathlib.Path(results(output)["places"]["logs"])
    tags = {
        value.tag
        for file in logs.rglob("events*.attributes")
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }
    assert {"threshold/Male", "loss_weight/Young", "validation_loss/Smiling"} <= tags


def test_a_second_run_finds_everything_cached(first_run, output):
    assert run(tiny(), output) == set()


def test_another_experiment_starts_from_the_blessed_model(first_run, output):
    training = replace(tiny().training, warm_start=NAME, learning_rate=0.0)
    ran = run(replace(tiny(), training=training), output, "e2e/tuned")
    assert not ran & DATA_NODES
    blessed, tuned = (kernels(results(output, name)["places"]["model"]) for name in ("e2e-tiny", "e2e-tuned"))
    assert blessed.keys() == tuned.keys()
    for name, values in blessed.items():
        np.testing.assert_array_equal(tuned[name], values, err_msg=name)


def test_another_bar_evaluates_anew_and_trains_nothing(first_run, output):
    strict = replace(tiny(), evaluation=replace(tiny().evaluation, min_balanced_accuracy=0.99))
    assert run(strict, output) == own("Evaluator", "Pusher", "Report")
    assert results(output)["verdict"] == "not pushed"
    assert "below the bar 0.99" in results(output)["reasons"][0]
    assert len(list((output / "serving" / "e2e-tiny").iterdir())) == 1


def test_another_seed_trains_anew_on_the_prepared_data(first_run, output):
    other = replace(tiny(), training=replace(tiny().training, seed=1))
    assert run(other, output) == own("Trainer", "Evaluator", "ServingCheck", "Pusher", "Report")
    assert set(compare.latest_results(str(output))[NAME]) == {0, 1}


def test_another_system_on_the_same_data_shows_what_it_attends_to(first_run, output):
    """MGG-Net with DMM-CNN's callbacks: its branches for training stay behind, its masks and affinities do not."""
    mgg_net = experiments.get("mgg_net/synthetic")
    adaptive = experiments.get("mgg_net/celeb_a-adaptive-tiny").training.callbacks
    attentive = replace(
        mgg_net,
        data=tiny().data,
        model=replace(mgg_net.model, kwargs={"backbone_width": 4}),
        training=replace(mgg_net.training, epochs=1, batch_size=8, precision="float32", callbacks=adaptive),
        evaluation=tiny().evaluation,
    )
    assert not run(attentive, output, "e2e/attentive") & DATA_NODES
    assert results(output, "e2e-attentive")["verdict"] == "blessed and pushed"
    model = tf.saved_model.load(results(output, "e2e-attentive")["places"]["model"])
    assert not [v.name for v in model.network.variables if v.name.startswith("gal_")]
    picture = tf.io.encode_png(tf.zeros([50, 40, 3], tf.uint8))
    maps = model.signatures["attention"](image_bytes=picture[None])
    assert maps["masks_block3"].shape == (1, 4, 4, 8) and maps["affinities_block4"].shape == (1, 8, 8)
    page = (output / "reports" / "e2e-attentive" / "index.html").read_text()
    assert "Masks of block 3" in page and "Who listens to whom, block 4" in page
    files = list(pathlib.Path(results(output, "e2e-attentive")["places"]["logs"]).rglob("events*.attention"))
    tags = {v.tag for f in files for e in tf.compat.v1.train.summary_iterator(str(f)) for v in e.summary.value}
    assert {"masks/block3", "affinities/block4", "dead_masks/block3"} <= tags


def test_unknown_experiment_and_missing_data_are_told_before_anything_runs(output):
    with pytest.raises(ValueError, match="dmm_cnn/celeb_a"):
        local_runner.local_pipeline("dmm_cnn/celeba", "", None, str(output))
    with pytest.raises(FileNotFoundError, match=r"list_attr_celeba\.txt"):
        local_runner.local_pipeline("dmm_cnn/celeb_a", str(output), None, str(output))


@pytest.fixture(scope="module")
def parsed(first_run, output):
    """Which nodes ran for DML-CSR, with self-regulation, on the faces that are there already."""
    dml_csr = experiments.get("dml_csr/synthetic")
    (regulation,) = dml_csr.training.callbacks
    training = replace(
        dml_csr.training,
        epochs=2,
        batch_size=8,
        precision="float32",
        learning_rate=0.001,
        callbacks=(replace(regulation, kwargs={"first_epochs": 1, "cycle_epochs": 1}),),
    )
    parsing = replace(
        dml_csr,
        data=replace(dml_csr.data, sources=tiny().data.sources, image_size=(33, 33)),
        model=factory(
            "keras_models.DMLCSR", num_classes=19, backbone_blocks=[1, 1, 1, 1], backbone_width=4, head_width=16
        ),
        training=training,
        evaluation=replace(dml_csr.evaluation, min_mean_f1=0.001),
    )
    return run(parsing, output, "e2e/parsing")


def test_face_parsing_goes_through_the_same_pipeline(parsed, output):
    """Other labels are prepared of the same records."""
    nodes = ("Trainer", "LastBlessed", "Evaluator", "ServingCheck", "Pusher", "Report")
    assert parsed == {"Transform"} | {f"{node}-e2e-parsing" for node in nodes}
    found = results(output, "e2e-parsing")
    assert found["verdict"] == "blessed and pushed"
    assert found["figures"]["images tested"] == 16
    assert 0 < found["figures"]["parsing mean F1"] < 1 and set(found["f1"]) >= {"background", "nose", "cloth"}
    page = (output / "reports" / "e2e-parsing" / "index.html").read_text()
    assert "Mean F1 without background" in page and "edges" in page.lower()


def test_the_pushed_parsing_model_has_no_edges(parsed, output):
    folder = results(output, "e2e-parsing")["places"]["model"]
    assert not [name for name, _ in tf.train.list_variables(f"{folder}/variables/variables") if "edge" in name]
    model = tf.saved_model.load(folder)
    assert not [v.name for v in model.network.variables if "edge" in v.name]
    pictures = tf.stack([tf.io.encode_png(tf.zeros([50, 40, 3], tf.uint8))] * 2)
    (labels,) = model.signatures["serving_default"](image_bytes=pictures).values()
    assert labels.shape == (2, 50, 40) and labels.dtype == tf.uint8


def three_tasks():
    ifan = experiments.get("ifan/synthetic")
    faces = {"num_train": 16, "num_validation": 8, "num_test": 8, "image_size": 48}
    small = {"width": 8, "growth": 4, "block_layers": 1, "up_width": 8, "re_encoder_widths": [4, 4, 4]}
    return replace(
        ifan,
        data=replace(
            ifan.data,
            sources=tuple(replace(source, options={**source.options, **faces}) for source in ifan.data.sources),
        ),
        model=replace(ifan.model, kwargs={**ifan.model.kwargs, **small}),
        training=replace(
            ifan.training,
            tasks=tuple(replace(task, batch_size=8, pretraining_epochs=1) for task in ifan.training.tasks),
            epochs=1,
            steps=2,
            precision="float32",
        ),
        evaluation=replace(ifan.evaluation, min_mean_f1=1e-6, max_nme=100.0, min_emotion_accuracy=1e-6),
    )


@pytest.fixture(scope="module")
def three_tasks_run(first_run, output):
    return run(three_tasks(), output, "e2e/tasks")


def test_data_sets_that_share_nothing_go_through_the_same_pipeline(three_tasks_run, output):
    nodes = ("Trainer", "Evaluator", "ServingCheck", "Pusher", "Report")
    assert three_tasks_run - {"LastBlessed-e2e-tasks"} == DATA_NODES - {"ImportSchemaGen"} | {
        f"{node}-e2e-tasks" for node in nodes
    }
    found = results(output, "e2e-tasks")
    assert found["figures"]["images tested"] == 24 and found["figures"]["records quarantined"] == 0
    assert {"parsing mean F1", "landmark NME", "emotion accuracy"} <= set(found["figures"])
    assert {"iteration 0", "iteration 1", "iteration 2"} <= set(found)
    page = (output / "reports" / "e2e-tasks" / "index.html").read_text()
    assert "drawn_parsing_train" in page and "taking turns" in page


def test_one_call_of_the_pushed_model_answers_every_task(three_tasks_run, output):
    model = tf.saved_model.load(results(output, "e2e-tasks")["places"]["model"])
    picture = tf.io.encode_png(tf.zeros([50, 40, 3], tf.uint8))
    answers = model.signatures["serving_default"](image_bytes=tf.stack([picture, picture]))
    assert {name: tuple(values.shape) for name, values in answers.items()} == {
        "parsing": (2, 50, 40),
        "landmarks": (2, 68, 2),
        "emotion": (2, 7),
    }


def test_a_second_run_of_several_tasks_finds_everything_cached(three_tasks_run, output):
    assert run(three_tasks(), output, "e2e/tasks") - {"LastBlessed-e2e-tasks"} == set()


def people():
    """Attributes and clothing of the same drawn faces: a network that can teach both."""
    synthetic = experiments.get("branching/synthetic")
    return replace(
        synthetic,
        data=replace(tiny().data, num_landmarks=0, clothing=True),
        model=factory("keras_models.ThinVGG16", width=4, num_tasks=50, outputs={"attributes": 40, "clothing": 10}),
        training=replace(synthetic.training, epochs=3, steps=4, batch_size=8, alpha=3.0, precision="float32"),
        evaluation=replace(tiny().evaluation, min_clothing_top3=1e-6),
    )


def joint():
    """The same tasks from data sets that have one of the labels each."""
    faces = {"num_train": 16, "num_validation": 8, "num_test": 8, "image_size": 48}
    sources = tuple(
        Source(f"drawn_{label}", {**faces, "seed": seed}, builder="synthetic_faces", labels=(label,))
        for seed, label in enumerate(("attributes", "clothing"), start=1)
    )
    teachers = (Teacher("attributes", "e2e/people"), Teacher("clothing", "e2e/people"))
    return replace(people(), data=replace(people().data, sources=sources, teachers=teachers))


@pytest.fixture(scope="module")
def people_run(first_run, output):
    return run(people(), output, "e2e/people")


@pytest.fixture(scope="module")
def joint_run(people_run, output):
    return run(joint(), output, "e2e/joint")


def test_a_network_that_widens_itself_goes_through_the_same_pipeline(people_run, output):
    assert not people_run & (DATA_NODES - {"Transform"})  # clothing is prepared of the same records
    found = results(output, "e2e-people")
    assert found["verdict"] == "blessed and pushed"
    assert {"mean accuracy", "top-10 recall", "clothing top-3"} <= set(found["figures"])
    tree = read_tree(found["places"]["model"])
    assert tree.num_tasks == 50 and len(tree.of("fc7")) > 1
    page = (output / "reports" / "e2e-people" / "index.html").read_text()
    assert "fc7" in page and "Wearing_Lipstick".replace("_", " ") in page.replace("_", " ")


def test_the_pushed_tree_has_no_batch_norm_and_answers_for_both_domains(people_run, output):
    model = tf.saved_model.load(results(output, "e2e-people")["places"]["model"])
    graph = model.signatures["serving_default"].graph.as_graph_def()
    ops = {node.op for function in graph.library.function for node in function.node_def}
    assert "Conv2D" in ops and not [op for op in ops if "BatchNorm" in op]
    picture = tf.io.encode_png(tf.zeros([50, 40, 3], tf.uint8))
    answers = model.signatures["serving_default"](image_bytes=tf.stack([picture, picture]))
    assert {name: tuple(values.shape) for name, values in answers.items()} == {
        "attributes": (2, 40),
        "decisions": (2, 40),
        "clothing": (2, 10),
    }


def test_teachers_label_what_the_data_sets_lack(joint_run, output):
    assert "SoftLabeler" in joint_run
    found = results(output, "e2e-joint")
    assert found["verdict"] == "blessed and pushed" and found["figures"]["records quarantined"] == 0
    (counts,) = (output / "pipeline" / "SoftLabeler" / "counts").rglob("*.json")
    training = json.loads(counts.read_text())["drawn_attributes_train"]
    assert training["clothing"] == {"labelled": 16, "annotated": 0}
    assert training["attributes"] == {"labelled": 0, "annotated": 16}


def test_shuffled_tasks_train_in_the_tree_that_was_found(people_run, output):
    shuffled = replace(people().training, warm_start="e2e/people", given_tree="shuffled", epochs=1)
    run(replace(people(), training=shuffled), output, "e2e/shuffled")
    trees = [read_tree(results(output, name)["places"]["model"]) for name in ("e2e-people", "e2e-shuffled")]
    assert trees[1] == trees[0].with_halves_swapped() != trees[0]
