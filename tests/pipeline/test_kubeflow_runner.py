"""The compiled pipeline, read back as what Kubeflow Pipelines takes it for, and the image's recipe."""

import io
import json
import os
import pathlib
import re
from dataclasses import replace
from unittest import mock

import pytest
from google.protobuf import text_format
from kfp.pipeline_spec import pipeline_spec_pb2
from PIL import Image
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig

from components.config import Data, DatasetConfig, Resources, Task, Teacher, from_json
from components.record import FaceRecord
from pipeline import experiments, kubeflow_runner
from pipeline.experiments.registry import REGISTERED
from pipeline.graph import PipelinePaths, create_pipeline
from tests.support import tiny_faces
from tests.support.kubeflow import Compiled

PROJECT = pathlib.Path(__file__).parents[2]
NAME, OWN = "dmm_cnn/celeb_a-tiny", "dmm_cnn-celeb_a-tiny"
ROOT, IMAGE = "gs://bucket/facetfx", "example.org/facetfx:1"
SETTINGS = {"EXPERIMENT": NAME, "DATA_DIR": "gs://bucket/celeba", "PIPELINE_ROOT": f"{ROOT}/", "IMAGE": IMAGE}
RESOLVERS = {f"LastBlessed-{OWN}-model-blessing-resolver", f"LastBlessed-{OWN}-model-resolver"}


def compiled(tmp_path, file="job.json", **settings) -> Compiled:
    path = tmp_path / file
    kept = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    with mock.patch.dict(os.environ, {**kept, **SETTINGS, "OUTPUT": str(path), **settings}, clear=True):
        kubeflow_runner.main()
    return Compiled(path)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def with_resources(tmp_path_factory):
    return compiled(
        tmp_path_factory.mktemp("resources"),
        ACCELERATOR="NVIDIA_TESLA_T4",
        ACCELERATOR_COUNT="2",
        TRAINER_CPU="16",
        TRAINER_MEMORY="60",
        BEAM_ARGS="--runner=DataflowRunner --labels='team=faces and more'",
    )


def test_tasks_are_the_local_components(plain):
    paths = PipelinePaths(data_dir="", fingerprint="", root="/root", serving="/serving", reports="/reports")
    local = {node.id for node in create_pipeline("facetfx", NAME, experiments.get(NAME), paths).components}
    assert set(plain.tasks) == local - {f"LastBlessed-{OWN}"} | RESOLVERS


def test_who_feeds_whom(plain):
    examples, schema = ("LandmarkAnnotator", "annotated_examples"), ("RecordSchemaGen", "schema")
    model, check = (f"Trainer-{OWN}", "model"), (f"ServingCheck-{OWN}", "blessing")
    blessing = (f"Evaluator-{OWN}", "blessing")
    assert plain.inputs("LandmarkAnnotator") == {"examples": ("FacesExampleGen", "examples")}
    assert plain.inputs("Transform") == {"examples": examples, "schema": schema}
    assert plain.inputs(f"Trainer-{OWN}") == {
        "examples": ("Transform", "transformed_examples"),
        "transform_graph": ("Transform", "transform_graph"),
        "schema": schema,
    }
    assert plain.inputs(f"Evaluator-{OWN}") == {
        "examples": examples,
        "model": model,
        "baseline_model": (f"LastBlessed-{OWN}-model-resolver", "model"),
        "schema": schema,
    }
    assert plain.inputs(f"Pusher-{OWN}") == {"model": model, "model_blessing": blessing, "infra_blessing": check}
    assert plain.inputs(f"Report-{OWN}") == {
        "examples": examples,
        "ingestion": ("FacesExampleGen", "ingestion"),
        "anomalies": ("ExampleValidator", "anomalies"),
        "annotation": ("LandmarkAnnotator", "counts"),
        "model": model,
        "model_run": (f"Trainer-{OWN}", "model_run"),
        "evaluation": (f"Evaluator-{OWN}", "evaluation"),
        "blessing": blessing,
        "infra_blessing": check,
        "pushed_model": (f"Pusher-{OWN}", "pushed_model"),
    }


def test_tensorflow_lite_is_evaluated_for_the_report(tmp_path):
    spec, own = compiled(tmp_path, SET="export.lite=int8"), f"{OWN}-export.lite-int8"
    assert spec.inputs(f"LiteEvaluator-{own}") == {
        name: of for name, of in spec.inputs(f"Evaluator-{own}").items() if name != "baseline_model"
    }
    assert spec.inputs(f"Report-{own}")["lite_evaluation"] == (f"LiteEvaluator-{own}", "evaluation")
    assert f"LiteEvaluator-{own}" in spec.containers


def test_every_task_but_the_look_ups_runs_in_the_image(plain):
    assert set(plain.containers) == set(plain.tasks) - RESOLVERS
    assert {container.image for container in plain.containers.values()} == {IMAGE}


def test_the_accelerator_is_asked_for_on_the_trainer_alone(with_resources):
    resources = with_resources.containers[f"Trainer-{OWN}"].resources
    assert (resources.accelerator.type, resources.accelerator.count) == ("NVIDIA_TESLA_T4", 2)
    assert (resources.cpu_limit, resources.memory_limit) == (16, 60)
    assert [t for t, container in with_resources.containers.items() if container.HasField("resources")] == [
        f"Trainer-{OWN}"
    ]


def test_an_experiment_says_what_its_steps_have(tmp_path, monkeypatch):
    steps = (Resources("Trainer", cpu=8, accelerator="nvidia.com/gpu"), Resources("Transform", cpu=4, memory=26))
    monkeypatch.setitem(REGISTERED, NAME, replace(experiments.get(NAME), resources=steps))
    containers = compiled(tmp_path, TRAINER_MEMORY="60").containers
    asked = {task: container.resources for task, container in containers.items() if container.HasField("resources")}
    assert set(asked) == {f"Trainer-{OWN}", "Transform"}
    trainer = asked[f"Trainer-{OWN}"]
    assert (trainer.cpu_limit, trainer.memory_limit, trainer.accelerator.count) == (8, 60, 1)
    assert (asked["Transform"].cpu_limit, asked["Transform"].memory_limit) == (4, 26)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((Resources("Training"),), r"resources has 'Training'; the steps of .* are FacesExampleGen, .*Trainer"),
        ((Resources("Trainer", cpu=-1),), r"resources.Trainer.cpu is 0 or more; received -1"),
    ],
)
def test_resources_that_can_not_be(steps, words, tmp_path, monkeypatch):
    monkeypatch.setitem(REGISTERED, NAME, replace(experiments.get(NAME), resources=steps))
    with pytest.raises(SystemExit, match=words):
        compiled(tmp_path)


def test_nothing_is_asked_for_unasked(plain):
    assert not any(container.HasField("resources") for container in plain.containers.values())


def test_beam_arguments_reach_the_beam_steps(plain, with_resources):
    for task in ("FacesExampleGen", "LandmarkAnnotator", "StatisticsGen", "Transform", f"Evaluator-{OWN}"):
        arguments = list(with_resources.containers[task].args)
        assert arguments[-2:] == ["--runner=DataflowRunner", "--labels=team=faces and more"], task
        assert arguments[:-2] == list(plain.containers[task].args), task


def test_everything_is_written_below_the_root(plain):
    assert plain.job.runtime_config.gcs_output_directory == f"{ROOT}/pipeline"
    push = json.loads(plain.parameter(f"Pusher-{OWN}", "push_destination"))
    assert push["filesystem"]["base_directory"] == f"{ROOT}/serving/{OWN}"
    assert plain.parameter(f"Report-{OWN}", "destination") == f"{ROOT}/reports/{OWN}"
    config = json.loads(plain.parameter(f"Trainer-{OWN}", "custom_config"))
    assert config["checkpoints"] == f"{ROOT}/pipeline/checkpoints"


def test_no_path_of_this_machine(plain):
    for here in (PROJECT, pathlib.Path.home(), pathlib.Path.cwd()):
        assert str(here) not in plain.text
    values = [p.runtime_value.constant.string_value for t in plain.tasks.values() for p in t.inputs.parameters.values()]
    assert values
    assert not [value for value in values if value.startswith("/")]


def test_the_experiment_arrives_whole(plain):
    config = json.loads(plain.parameter(f"Trainer-{OWN}", "custom_config"))
    trained, whole = from_json(config["experiment"]), experiments.get(NAME)
    assert (trained.data, trained.model, trained.training) == (whole.data, whole.model, whole.training)
    assert [task.name for task in from_json(config["tasks"])] == [task.name for task in whole.tasks]
    assert from_json(plain.parameter(f"Report-{OWN}", "experiment")) == experiments.get(NAME)


def test_a_step_fits_on_a_command_line(plain):
    # Linux takes 128 KiB an argument; a step gets all its parameters in one, with some KB for the artifacts beside.
    sizes = [
        sum(len(p.runtime_value.constant.string_value) for p in task.inputs.parameters.values())
        for task in plain.tasks.values()
    ]
    assert max(sizes) < 64 * 1024


def test_a_step_runs_as_in_its_container(plain, tmp_path, monkeypatch):
    """Kubeflow's part played here: the task's arguments with its inputs filled in, from the image's working folder."""
    monkeypatch.chdir(PROJECT)
    task = "RecordSchemaGen"
    given = pipeline_spec_pb2.ExecutorInput()
    image = io.BytesIO()
    Image.new("RGB", (64, 64)).save(image, "PNG")
    record = FaceRecord("a.png", "celeb_a", image.getvalue()).to_example().SerializeToString()
    tiny_faces.write(tmp_path / "examples" / "Split-train", [record])
    definition = plain.spec.components[task].input_definitions.artifacts["examples"]
    examples = given.inputs.artifacts["examples"].artifacts.add(
        name="projects/1/artifacts/1", uri=str(tmp_path / "examples"), type=definition.artifact_type
    )
    examples.metadata["split_names"] = '["train"]'
    for name, output in plain.spec.components[task].output_definitions.artifacts.items():
        given.outputs.artifacts[name].artifacts.add(
            name=f"projects/1/artifacts/{name}", uri=str(tmp_path / name), type=output.artifact_type
        )
    given.outputs.output_file = str(tmp_path / "run" / "executor_output.json")
    found = plain.run(task, given)
    schema = text_format.Parse((tmp_path / "schema" / "schema.pbtxt").read_text(), schema_pb2.Schema())
    assert {"image/encoded", "attributes", "landmarks"} < {feature.name for feature in schema.feature}
    assert found.artifacts["schema"].artifacts


def test_yaml_without_look_ups_for_kubeflow_itself(tmp_path):
    spec = compiled(tmp_path, "pipeline.yaml", BASELINE_MODEL="none")
    assert not any(executor.HasField("resolver") for executor in spec.executors.values())
    assert "baseline_model" not in spec.inputs(f"Evaluator-{OWN}")


def test_fine_tuning_starts_from_the_given_model(tmp_path):
    name = "dmm_cnn-lfwa-tiny"
    model, baseline = "gs://bucket/trainer/model", "gs://bucket/earlier/model"
    spec = compiled(tmp_path, EXPERIMENT="dmm_cnn/lfwa-tiny", WARM_START_MODEL=model, BASELINE_MODEL=baseline)
    for task, uri in ((f"WarmStart-{name}", model), (f"LastBlessed-{name}", baseline)):
        assert spec.executors[task].importer.artifact_uri.constant.string_value == uri
    assert spec.inputs(f"Trainer-{name}")["base_model"] == (f"WarmStart-{name}", "model")
    assert spec.inputs(f"Evaluator-{name}")["baseline_model"] == (f"LastBlessed-{name}", "model")


def test_a_teacher_that_is_given_labels_the_training_records(tmp_path):
    base, teacher, model = experiments.get("dmm_cnn/synthetic"), "dmm_cnn/celeb_a", "gs://bucket/trainer/model"
    experiment = replace(base, data=replace(base.data, teachers=(Teacher("attributes", teacher),)))
    paths = PipelinePaths(
        "", "", f"{ROOT}/pipeline", f"{ROOT}/serving", f"{ROOT}/reports", {teacher: model}, custom_resolvers=False
    )
    pipeline = create_pipeline("facetfx-taught", "dmm_cnn/taught", experiment, paths)
    config = KubeflowV2DagRunnerConfig(default_image=IMAGE, use_pipeline_spec_2_1=True)
    KubeflowV2DagRunner(config, output_dir=str(tmp_path), output_filename="job.json").run(pipeline)
    spec = Compiled(tmp_path / "job.json")
    assert spec.executors["Teacher-dmm_cnn-celeb_a"].importer.artifact_uri.constant.string_value == model
    assert spec.inputs("SoftLabeler") == {
        "examples": ("FacesExampleGen", "examples"),
        "attributes_teacher": ("Teacher-dmm_cnn-celeb_a", "model"),
    }
    assert json.loads(spec.parameter("SoftLabeler", "splits")) == ["train"]
    assert spec.inputs("Transform")["examples"] == ("SoftLabeler", "labelled_examples")


def test_settings_name_the_run(tmp_path):
    spec = compiled(tmp_path, SET="training.epochs=3")
    own = f"{OWN}-training.epochs-3"
    config = json.loads(spec.parameter(f"Trainer-{own}", "custom_config"))
    assert from_json(config["experiment"]).training.epochs == 3
    assert spec.spec.pipeline_info.name == "facetfx-dmm-cnn-celeb-a-tiny-training-epochs-3"


def test_data_version_and_seed_reach_their_steps(tmp_path):
    spec = compiled(tmp_path, DATA_VERSION="2024-05", SEED="3")
    assert spec.parameter("FacesExampleGen", "fingerprint") == "2024-05"
    config = json.loads(spec.parameter(f"Trainer-{OWN}", "custom_config"))
    assert from_json(config["experiment"]).training.seed == 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"EXPERIMENT": ""}, "EXPERIMENT is not set"),
        ({"EXPERIMENT": "dmm_cnn/celeba"}, "No experiment is called 'dmm_cnn/celeba'"),
        ({"IMAGE": ""}, "IMAGE is not set"),
        ({"PIPELINE_ROOT": ""}, "PIPELINE_ROOT is not set"),
        ({"PIPELINE_ROOT": "out"}, "PIPELINE_ROOT is 'out'"),
        ({"DATA_DIR": ""}, "DATA_DIR is not set"),
        ({"DATA_DIR": "../celeba"}, "DATA_DIR is '../celeba'"),
        ({"EXPERIMENT": "dmm_cnn/lfwa-tiny"}, "WARM_START_MODEL is not set"),
        ({"EXPERIMENT": "branching/joint-tiny"}, "ATTRIBUTES_TEACHER_MODEL is not set"),
        (
            {"EXPERIMENT": "branching/joint-tiny", "ATTRIBUTES_TEACHER_MODEL": "gs://a/1"},
            "CLOTHING_TEACHER_MODEL is not set",
        ),
        ({"ACCELERATOR_COUNT": "2"}, "ACCELERATOR is not set"),
        ({"ACCELERATOR": "nvidia.com/gpu", "ACCELERATOR_COUNT": "two"}, "ACCELERATOR_COUNT is 'two'"),
        ({"TRAINER_MEMORY": "60G"}, "TRAINER_MEMORY is '60G'"),
        ({"SEED": "x"}, "SEED is 'x'"),
        ({"SET": "training.epoch=3"}, "training.epoch: there is no 'epoch'"),
    ],
)
def test_a_bad_setting_is_named(tmp_path, settings, words):
    with pytest.raises(SystemExit, match=re.escape(words)):
        compiled(tmp_path, **settings)
    assert not list(tmp_path.iterdir())


def test_drawn_faces_need_no_data_dir(tmp_path):
    spec = compiled(tmp_path, EXPERIMENT="dmm_cnn/synthetic", DATA_DIR="")
    assert "data_dir" in spec.tasks["FacesExampleGen"].inputs.parameters
    assert spec.parameter("FacesExampleGen", "data_dir") == ""


@pytest.fixture
def of_several(monkeypatch):
    """The name of an experiment on drawn faces and on MTFL."""
    base, name = experiments.get("plain/synthetic"), "plain/of_several"
    datasets = (
        DatasetConfig("drawn", builder="synthetic_faces", labels=("parsing",)),
        DatasetConfig("mtfl", labels=("landmarks",)),
    )
    tasks = (Task("parsing", "segmentation"), Task("landmarks", "landmarks"))
    monkeypatch.setitem(REGISTERED, name, replace(base, data=Data(datasets, (64, 64)), tasks=tasks))
    return name


def test_several_data_sets(tmp_path, of_several):
    spec = compiled(tmp_path, EXPERIMENT=of_several, DATA_DIR="gs://bucket/faces/")
    assert spec.parameter("FacesExampleGen", "data_dir") == "gs://bucket/faces"
    datasets = from_json(spec.parameter("FacesExampleGen", "datasets"))
    assert [(dataset.name, dataset.builder, dataset.labels) for dataset in datasets] == [
        ("drawn", "synthetic_faces", ("parsing",)),
        ("mtfl", None, ("landmarks",)),
    ]
    own = "plain-of_several"
    assert json.loads(spec.parameter(f"Evaluator-{own}", "example_splits")) == ["drawn_test", "mtfl_test"]
    assert json.loads(spec.parameter(f"ServingCheck-{own}", "splits")) == ["drawn_test", "mtfl_test"]
    assert json.loads(spec.parameter(f"Trainer-{own}", "train_args"))["splits"] == ["drawn_train", "mtfl_train"]


def test_of_several_one_needs_files(tmp_path, of_several):
    with pytest.raises(SystemExit, match=r"DATA_DIR is not set.*'mtfl' reads files"):
        compiled(tmp_path, EXPERIMENT=of_several, DATA_DIR="")


def test_every_experiment_has_a_valid_pipeline_name_of_its_own():
    names = {kubeflow_runner.pipeline_name(name) for name in experiments.names()}
    assert len(names) == len(experiments.names())
    # Vertex AI adds a time of 15 characters, and takes 128.
    assert all(re.fullmatch(r"[a-z][a-z0-9-]{0,110}", name) for name in names)


def test_what_the_image_is_made_of_exists():
    recipe = (PROJECT / "Dockerfile").read_text()
    copied = [line.split()[1:-1] for line in recipe.splitlines() if re.match(r"COPY (?!--from)", line)]
    sources = {source for sources in copied for source in sources}
    assert sources > {"requirements.lock", "pipeline", "components", "keras_models", "schemas"}
    assert all((PROJECT / source).exists() for source in sources)
    kept = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert kept == sources


def test_the_image_has_the_versions_of_the_lock():
    recipe = (PROJECT / "Dockerfile").read_text()
    beam = re.search(r"^apache-beam==(\S+)", (PROJECT / "requirements.lock").read_text(), re.MULTILINE)[1]
    bases = set(re.findall(r"^FROM (\S+)", recipe, re.MULTILINE))
    assert bases == {"python:3.10", "python:3.10-slim", f"apache/beam_python3.10_sdk:{beam}"}
