"""What is asked for, checked before anything heavy is imported."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from components.config import DatasetConfig, Teacher
from pipeline import experiments, request
from pipeline.experiments.registry import REGISTERED
from pipeline.request import read_request


def asked(tmp_path, **environment):
    return read_request({"OUTPUT_DIR": str(tmp_path / "out"), **environment})


def bless(tmp_path, slug):
    folder = tmp_path / "out" / "pipeline" / f"Evaluator-{slug}" / "blessing" / "9"
    folder.mkdir(parents=True)
    return folder


def test_what_is_asked_for(tmp_path):
    found = asked(tmp_path, EXPERIMENT="plain/synthetic", SEED="5", SET="training.epochs=3", DATA_DIR=str(tmp_path))
    assert (found.name, found.data_dir, found.settings) == ("plain/synthetic", str(tmp_path), ("training.epochs=3",))
    assert (found.experiment.training.seed, found.experiment.training.epochs) == (5, 3)
    assert found.run_name == "plain/synthetic+training.epochs=3"
    assert found.pipeline_root == str(tmp_path / "out" / "pipeline")


def test_nothing_is_asked_for():
    found = read_request({})
    assert (found.name, found.data_dir, found.output_dir) == (request.DEFAULT_EXPERIMENT, "", os.path.abspath("out"))
    assert found.experiment == experiments.get(request.DEFAULT_EXPERIMENT)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"EXPERIMENT": "dmm_cnn/celeba"}, "No experiment is called 'dmm_cnn/celeba'. Near: dmm_cnn/celeb_a"),
        ({"SEED": "-1"}, "SEED is '-1', expected a whole number from 0 to 4294967295"),
        ({"SEED": "one"}, "SEED is 'one', expected a whole number from 0 to 4294967295"),
        ({"SEED": "4294967296"}, "SEED is '4294967296', expected a whole number from 0 to 4294967295"),
        ({"SET": "training.epochs=0"}, "training.epochs is 1 or more"),
        ({"SET": "a='3"}, """SET is "a='3": No closing quotation."""),
        ({"BEAM_ARGS": "'x"}, """BEAM_ARGS is "'x": No closing quotation."""),
        (
            {"EXPERIMENT": "plain/mtfl-tiny"},
            "plain/mtfl-tiny reads the files of mtfl, and DATA_DIR is not set: give the f",
        ),
        ({"EXPERIMENT": "ifan/3t-tiny"}, "celebamask_hq, mtfl, fer2013, and DATA_DIR is not set: give a folder with a"),
        ({"SET": "training.warm_start=plain/synthetics"}, "No experiment is called 'plain/synthetics'"),
    ],
)
def test_what_cannot_be(tmp_path, environment, message):
    with pytest.raises(ValueError) as error:
        asked(tmp_path, **environment)
    assert message in str(error.value)


def test_where_it_went_wrong_is_shown_if_asked_for(monkeypatch):
    monkeypatch.setenv("SEED", "one")
    with pytest.raises(SystemExit, match="facetfx: SEED is 'one'"):
        request.request_or_exit()
    monkeypatch.setenv("VERBOSE", "1")
    with pytest.raises(ValueError, match="SEED is 'one'"):
        request.request_or_exit()


def test_a_data_folder_that_is_none(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match=f"DATA_DIR is no folder: '{path}'"):
            asked(tmp_path, DATA_DIR=str(path))


def test_a_start_from_a_model_that_is_not_there(tmp_path):
    data, out = tmp_path / "my data", tmp_path / "out"
    data.mkdir()
    environment = {"EXPERIMENT": "plain/synthetic", "SET": "training.warm_start=dmm_cnn/synthetic"}
    with pytest.raises(ValueError) as error:
        asked(tmp_path, DATA_DIR=str(data), **environment)
    assert str(error.value) == (
        f"plain/synthetic starts from the model of dmm_cnn/synthetic, of which there is no blessed one under '{out}' "
        f"yet. First: make run EXPERIMENT=dmm_cnn/synthetic DATA_DIR='{data}' OUTPUT_DIR={out}"
    )
    folder = bless(tmp_path, "dmm_cnn-synthetic")
    (folder / "NOT_BLESSED").touch()
    with pytest.raises(ValueError, match="no blessed one"):
        asked(tmp_path, **environment)
    (folder / "BLESSED").touch()
    with pytest.raises(ValueError, match=r"was blessed and is gone from .*another SEED"):
        asked(tmp_path, **environment)
    model = out / "pipeline" / "Trainer-dmm_cnn-synthetic" / "model" / "6" / "Format-Serving"
    (model / "assets.extra").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"6/Format-Serving' is of an earlier facetfx, without assets.extra/trained"):
        asked(tmp_path, **environment)
    (model / "assets.extra" / "trained.keras").touch()
    assert asked(tmp_path, **environment).experiment.training.warm_start == "dmm_cnn/synthetic"


def test_a_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    where = {"EXPERIMENT": "plain/synthetic", "OUTPUT_DIR": str(tmp_path / "not" / "there" / "yet")}
    read_request(where)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1e8) if folder == tmp_path else None)
    with pytest.raises(OSError, match=r"yet'\) has 100 MB left; this run takes about 300 MB"):
        read_request(where)


def test_an_output_folder_that_can_not_be_one(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for place in ("file", "file/below"):
        with pytest.raises(NotADirectoryError, match=f"OUTPUT_DIR is .*{place}', but .*file' is a file: name a folder"):
            read_request({"OUTPUT_DIR": str(tmp_path / place)})
    monkeypatch.setattr(os, "access", lambda *_: False)  # who runs tests as root may write everywhere
    with pytest.raises(PermissionError, match=r"OUTPUT_DIR is .*out', but nothing may be written in "):
        read_request({"OUTPUT_DIR": str(tmp_path / "out")})


def test_the_usual_output_folder_is_not_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked_for = {"EXPERIMENT": "plain/synthetic", "SET": "training.warm_start=dmm_cnn/synthetic"}
    for output_dir in ({}, {"OUTPUT_DIR": "out"}):  # which is what make sets
        with pytest.raises(ValueError, match=r"First: make run EXPERIMENT=dmm_cnn/synthetic DATA_DIR=…$"):
            read_request({**asked_for, **output_dir})


def test_a_teacher_of_other_data_that_is_not_there(tmp_path, monkeypatch):
    base = experiments.get("plain/synthetic")
    teacher = Teacher(task="attributes", experiment="dmm_cnn/celeb_a-tiny")
    monkeypatch.setitem(REGISTERED, "plain/taught", replace(base, data=replace(base.data, teachers=(teacher,))))
    with pytest.raises(ValueError, match=r"is taught by the model of dmm_cnn/celeb_a-tiny.* DATA_DIR=… OUTPUT_DIR="):
        asked(tmp_path, EXPERIMENT="plain/taught", DATA_DIR=str(tmp_path))


def test_a_teacher_of_one_of_several_data_sets_is_named_with_that_one_s_folder(tmp_path, monkeypatch):
    base = experiments.get("plain/synthetic")
    teacher = Teacher(task="attributes", experiment="dmm_cnn/celeb_a-tiny")
    (drawn,) = base.data.datasets
    labels = ("attributes", "parsing", "landmarks", "emotion", "age")
    datasets = (replace(drawn, labels=labels), DatasetConfig("celeb_a", labels=()))
    taught = replace(base, data=replace(base.data, datasets=datasets, teachers=(teacher,)))
    monkeypatch.setitem(REGISTERED, "plain/taught", taught)
    with pytest.raises(ValueError, match=rf"First: make run \S+ DATA_DIR={tmp_path}/celeb_a OUTPUT_DIR="):
        asked(tmp_path, EXPERIMENT="plain/taught", DATA_DIR=str(tmp_path))


def test_it_is_told_in_a_line_before_tensorflow_is_imported():
    code = "import sys; from pipeline import request; assert not {'tensorflow', 'tfx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    told = subprocess.run(
        [sys.executable, "-m", "pipeline.request"],
        env={**os.environ, "EXPERIMENT": "nope"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1 and not told.stdout
    assert told.stderr.startswith("facetfx: No experiment is called 'nope'.") and told.stderr.count("\n") == 1


def test_where_beam_s_steps_run(tmp_path):
    assert asked(tmp_path).beam_args == ()
    assert asked(tmp_path, BEAM_ARGS="--direct_num_workers=2").beam_args == ("--direct_num_workers=2",)
    there = asked(tmp_path, BEAM_RUNNER="FlinkRunner", BEAM_ARGS="--parallelism=2 --labels='a b'")
    assert there.beam_args == ("--runner=FlinkRunner", "--parallelism=2", "--labels=a b")
