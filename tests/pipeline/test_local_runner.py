"""What the local runner looks at before anything runs: the files of every data set."""

import pathlib
import shutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from PIL import Image

from components.config import DatasetConfig, Task, configured, from_json
from components.datasets.synthetic_faces import SyntheticFaces
from pipeline import experiments, local_runner
from pipeline.experiments.registry import REGISTERED
from pipeline.request import read_request

NAME = "plain/of_several"
LINE = "lfw_5590/a.jpg 1 2 3 4 5 1 2 3 4 5 1 1 1 3"

OUTPUTS = {"parsing": len(SyntheticFaces.ANNOTATIONS["parsing"].names), "landmarks": 2 * 5}


def network(width=8, **outputs):
    return configured(
        "keras_models.MultiTaskNetwork", outputs=outputs, maps=["parsing"], backbone="resnet18", backbone_width=width
    )


@pytest.fixture(autouse=True)
def of_several(monkeypatch):
    """An experiment on drawn faces and on MTFL."""
    base = experiments.get("plain/synthetic")
    datasets = (
        DatasetConfig("drawn", {"num_train": 8}, builder="synthetic_faces", labels=("parsing",)),
        DatasetConfig("mtfl", labels=("landmarks",)),
    )
    tasks = (Task("parsing", "segmentation"), Task("landmarks", "landmarks"))
    several = replace(base, data=replace(base.data, datasets=datasets), tasks=tasks, model=network(**OUTPUTS))
    monkeypatch.setitem(REGISTERED, NAME, several)


@pytest.fixture
def data_dir(tmp_path):
    folder = tmp_path / "data" / "MTFL"
    (folder / "lfw_5590").mkdir(parents=True)
    (folder / "training.txt").write_text(LINE)
    (folder / "testing.txt").write_text(LINE.replace("a.jpg", "b.jpg"))
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (8, 8)).save(folder / "lfw_5590" / name)
    return tmp_path / "data"


def ingestion(name, data_dir, tmp_path):
    """FacesExampleGen's execution properties."""
    asked = {"EXPERIMENT": name, "DATA_DIR": str(data_dir), "OUTPUT_DIR": str(tmp_path / "out")}
    pipeline = local_runner.local_pipeline(read_request(asked))
    return pipeline.components[0].exec_properties


def test_the_fingerprint_is_of_all_data_sets(data_dir, tmp_path):
    found = ingestion(NAME, data_dir, tmp_path)
    assert found["data_dir"] == str(data_dir)
    assert ingestion(NAME, data_dir, tmp_path) == found
    (data_dir / "MTFL" / "testing.txt").write_text(f"{LINE}\n")
    changed = ingestion(NAME, data_dir, tmp_path)["fingerprint"].split()
    drawn, mtfl = found["fingerprint"].split()
    assert changed[0] == drawn and changed[1] != mtfl


def test_one_data_set_s_fingerprint_is_its_own(tmp_path):
    assert " " not in ingestion("plain/synthetic", "", tmp_path)["fingerprint"]


def test_a_folder_that_is_missing(data_dir, tmp_path):
    (data_dir / "MTFL").rename(data_dir / "MTFL2")
    with pytest.raises(FileNotFoundError, match=r"should hold one folder for 'mtfl'.*It holds: MTFL2"):
        ingestion(NAME, data_dir, tmp_path)


def test_a_file_that_is_missing_in_one_of_them(data_dir, tmp_path):
    (data_dir / "MTFL" / "testing.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"MTFL' has no testing\.txt"):
        ingestion(NAME, data_dir, tmp_path)


def test_no_folder_is_given(tmp_path):
    with pytest.raises(ValueError, match="plain/of_several reads the files of mtfl, and DATA_DIR is not set"):
        ingestion(NAME, "", tmp_path)


def test_settings_change_the_experiment_and_the_run_s_name(tmp_path):
    settings = "training.epochs=3 data.image_size=32,32"
    asked = {"EXPERIMENT": "plain/synthetic", "SEED": "5", "SET": settings, "OUTPUT_DIR": str(tmp_path / "out")}
    pipeline = local_runner.local_pipeline(read_request(asked))
    (report,) = (node for node in pipeline.components if node.id.startswith("Report-"))
    name = "plain/synthetic+data.image_size=32,32+training.epochs=3"
    assert report.exec_properties["name"] == name
    assert report.exec_properties["destination"] == str(
        tmp_path / "out" / "reports" / "plain-synthetic-data.image_size-32-32-training.epochs-3"
    )
    ran = from_json(report.exec_properties["experiment"])
    assert (ran.training.epochs, ran.training.seed, ran.data.image_size) == (3, 5, (32, 32))


@pytest.mark.parametrize(
    "model, message",
    [
        (network(parsing=3, landmarks=10), r"3 channels for task 'parsing', .* need \d+"),
        (network(parsing=OUTPUTS["parsing"]), "no output for task 'landmarks'"),
        (network(width=0, **OUTPUTS), "can't be built as the experiment says: .*positive value"),
    ],
)
def test_a_network_that_does_not_fit_is_told_before_any_data_are_read(model, message, data_dir, tmp_path, monkeypatch):
    monkeypatch.setitem(REGISTERED, NAME, replace(experiments.get(NAME), model=model))
    with pytest.raises(ValueError, match=message):
        ingestion(NAME, data_dir, tmp_path)


def test_a_network_that_was_built_is_not_built_again(data_dir, tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(local_runner, "check_network", lambda experiment, tasks: built.append(experiment.model) or 0)
    for width in (8, 8, 16, 8):
        monkeypatch.setitem(REGISTERED, NAME, replace(experiments.get(NAME), model=network(width, **OUTPUTS)))
        ingestion(NAME, data_dir, tmp_path)
    assert [model.kwargs["backbone_width"] for model in built] == [8, 16]


def test_a_disk_that_will_not_hold_records_and_checkpoints_is_told_once(data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(local_runner, "check_network", lambda experiment, tasks: 10**8)
    free = 6e9
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    with pytest.raises(OSError, match=r"has 6,000 MB left; this run takes about 6,00\d MB\. Free some"):
        ingestion(NAME, data_dir, tmp_path)  # the records beside the weights' 60 bytes each are too much
    free = 6.1e9
    ingestion(NAME, data_dir, tmp_path)
    free = 1e9
    ingestion(NAME, data_dir, tmp_path)  # it was found to fit, and much of it is there


def test_weights_that_can_not_be_fetched_are_told_in_a_line(data_dir, tmp_path, monkeypatch):
    def fail(experiment, tasks):
        raise OSError("The ImageNet weights could not be fetched: put them there.")

    monkeypatch.setattr(local_runner, "check_network", fail)
    request = read_request({"EXPERIMENT": NAME, "DATA_DIR": str(data_dir), "OUTPUT_DIR": str(tmp_path / "out")})
    with pytest.raises(SystemExit, match="facetfx: The ImageNet weights could not be fetched: put them there"):
        local_runner._run(request)


def test_no_module_beside_the_runner_hides_a_package():
    """TFX starts the runner as a script, whose folder Python looks into first."""
    beside = {file.stem for file in pathlib.Path(local_runner.__file__).parent.glob("*.py")} - {"__init__"}
    code = f"import importlib.util; print([n for n in {sorted(beside)} if importlib.util.find_spec(n)])"
    found = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_options_that_beam_does_not_have_are_told_before_any_data_are_read(tmp_path):
    asked = {"EXPERIMENT": "plain/synthetic", "OUTPUT_DIR": str(tmp_path / "out"), "BEAM_ARGS": "--workers=2"}
    with pytest.raises(ValueError, match="no option --workers"):
        local_runner.local_pipeline(read_request(asked))
    assert not (tmp_path / "out").exists()
