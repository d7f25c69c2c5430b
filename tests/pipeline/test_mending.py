"""What is gone or damaged under OUTPUT_DIR is mended at the next start, or named with what to do."""

import contextlib
import functools
import pathlib
import shutil
import sqlite3
import subprocess
import sys

import pytest
from ml_metadata.metadata_store.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from components.serving.checksums import damaged_files, write_checksums
from pipeline.mending import begin_anew_without_metadata, mend_trained_models, restore_pushed


def begin(output):
    begin_anew_without_metadata(str(output / "metadata.db"), str(output / "pipeline"))


@pytest.fixture(params=["out", "run #1? 100%25"])
def output(tmp_path, request):
    """Metadata as TFX makes it, an artifact, and a pushed model."""
    tmp_path = tmp_path / request.param
    tmp_path.mkdir()
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(tmp_path / "metadata.db")
    MetadataStore(config).get_artifacts()
    for folder in ("pipeline/FacesExampleGen", "pipeline/Trainer-a/model/3", "serving/a/7"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def test_sound_metadata_stay_and_nothing_needs_none(output, tmp_path_factory, capsys):
    begin(output)
    begin(tmp_path_factory.mktemp("new"))
    assert sorted(path.name for path in output.iterdir()) == ["metadata.db", "pipeline", "serving"]
    assert capsys.readouterr().err == ""


def _whole(folder, text="graph"):
    """A model's folder."""
    for file in (
        "saved_model.pb",
        "variables/variables.index",
        "variables/variables.data",
        "assets.extra/contract.json",
    ):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    write_checksums(str(folder))
    return folder


def mend(output, name="a"):
    mend_trained_models(str(output / "pipeline"), str(output / "serving"), name)


def test_a_models_folder_without_a_model_is_no_result(output, capsys):
    models = output / "pipeline" / "Trainer-a" / "model"
    _whole(models / "4" / "Format-Serving")
    mend(output, "another")
    assert [path.name for path in models.iterdir()] == ["4"]
    assert f"{models / '3'} holds no whole model" in capsys.readouterr().err
    mend(output / "nothing")


@pytest.mark.parametrize("how", [pathlib.Path.unlink, lambda file: file.write_text("other")], ids=["gone", "other"])
@pytest.mark.parametrize("part", ["variables/variables.data", "assets.extra/contract.json"])
def test_a_damaged_trained_model_is_mended_from_what_was_pushed(output, capsys, part, how):
    model = _whole(output / "pipeline/Trainer-a/model/4/Format-Serving")
    version = shutil.copytree(model, output / "serving/a/8")
    _whole(output / "serving/a/9", "of another run")
    (version / "saved_model.pb").write_text("damaged too, elsewhere")
    how(model / part)
    mend(output)
    assert (model / part).read_text() == "graph" and not damaged_files(str(model))
    assert f"was damaged ({part}): mended from {version}" in capsys.readouterr().err


@pytest.mark.parametrize("pushed", [False, True])
def test_a_damaged_trained_model_without_a_sound_copy_is_made_again(output, capsys, pushed):
    model = _whole(output / "pipeline/Trainer-a/model/4/Format-Serving")
    (model / "saved_model.pb").write_text("damaged")
    if pushed:
        shutil.copytree(model, output / "serving/a/8")
        _whole(output / "serving/a/9", "of another run")
    mend(output)
    assert not model.parent.exists()
    assert f"{model.parent} is damaged. It is made again where needed." in capsys.readouterr().err


def _cut(database):
    database.write_bytes(database.read_bytes()[:5000])


def _overwritten(database):
    data = bytearray(database.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    database.write_bytes(data)


def _of_something_else(database):
    database.unlink()
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE other (id INTEGER)")


@pytest.mark.parametrize(
    "damage, what",
    [
        (lambda database: database.unlink(), "gone"),
        (lambda database: database.write_bytes(b""), "damaged"),
        (lambda database: database.write_text("no database"), "damaged"),
        (_cut, "damaged"),
        (_overwritten, "damaged"),
        (_of_something_else, "damaged"),
    ],
)
def test_without_metadata_a_run_begins_anew_beside_what_was_there(output, damage, what, capsys):
    damage(output / "metadata.db")
    begin(output)
    assert f"metadata.db is {what}: this run begins anew." in capsys.readouterr().err
    assert not (output / "metadata.db").exists() and not (output / "pipeline").exists()
    (aside,) = output.glob("pipeline.before-*")
    assert (aside / "Trainer-a" / "model" / "3").exists() and (output / "serving/a/7").exists()
    begin(output)
    assert capsys.readouterr().err == "", "once"


def test_a_folder_of_that_name_that_no_pipeline_wrote_stays(tmp_path, capsys):
    """As in OUTPUT_DIR=. of the project's own folder."""
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "__init__.py").touch()
    begin(tmp_path)
    assert (tmp_path / "pipeline" / "__init__.py").exists() and capsys.readouterr().err == ""


def test_metadata_that_another_process_writes_are_not_damaged(output, monkeypatch):
    monkeypatch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, timeout=0.1))
    with contextlib.closing(sqlite3.connect(output / "metadata.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OSError, match=r"metadata.db' can't be read: database is locked"):
            begin(output)
    assert (output / "metadata.db").exists() and (output / "pipeline").exists()


def test_what_a_killed_process_left_half_written_is_rolled_back(output):
    code = f"""
import os, sqlite3
connection = sqlite3.connect({str(output / "metadata.db")!r})
connection.execute("PRAGMA cache_size = 1")
connection.execute("CREATE TABLE many (text)")
connection.commit()
connection.execute("BEGIN")
connection.executemany("INSERT INTO many VALUES (?)", [("x" * 2000,)] * 500)
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert (output / "metadata.db-journal").exists()
    begin(output)
    with contextlib.closing(sqlite3.connect(output / "metadata.db")) as connection:
        assert connection.execute("SELECT COUNT(*) FROM many").fetchone() == (0,)
    assert (output / "pipeline").exists()


@pytest.fixture
def results(tmp_path):
    trained = tmp_path / "trained"
    (trained / "variables").mkdir(parents=True)
    (trained / "assets.extra").mkdir()
    for part in ("variables/variables.index", "assets.extra/contract.json"):
        (trained / part).touch()
    (trained / "saved_model.pb").write_text("graph")
    places = {"model": str(tmp_path / "serving" / "a" / "7"), "report": str(tmp_path / "reports" / "index.html")}
    return {"verdict": "blessed and pushed", "places": places, "trained": str(trained)}


def test_a_pushed_model_that_is_gone_is_pushed_again(results, tmp_path, capsys):
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "model_card.md").write_text("card")
    restore_pushed(results)
    assert (tmp_path / "serving/a/7/saved_model.pb").read_text() == "graph"
    assert (tmp_path / "serving/a/7/assets.extra/model_card.md").read_text() == "card"
    assert "pushed again" in capsys.readouterr().err
    restore_pushed(results)
    restore_pushed({"verdict": "not pushed"})
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("variables/variables.index", None),
        ("assets.extra/contract.json", None),
        ("assets.extra/contract.json", "what was never there"),
        ("saved_model.pb", ""),
        ("assets.extra/SHA256SUMS", None),
        ("assets.extra/SHA256SUMS", ""),
        ("assets.extra/SHA256SUMS", "cut"),
    ],
)
def test_a_damaged_version_is_pushed_again(results, capsys, part, text):
    write_checksums(results["trained"])
    restore_pushed(results)
    version = pathlib.Path(results["places"]["model"])
    (version / part).unlink() if text is None else (version / part).write_text(text)
    capsys.readouterr()
    restore_pushed(results)
    assert "was gone, damaged or another: pushed again" in capsys.readouterr().err
    for file in filter(pathlib.Path.is_file, pathlib.Path(results["trained"]).rglob("*")):
        assert (version / file.relative_to(results["trained"])).read_bytes() == file.read_bytes()


def test_another_model_in_the_place_of_a_version_is_none(results, capsys):
    write_checksums(results["trained"])
    _whole(pathlib.Path(results["places"]["model"]), "of somebody's")
    restore_pushed(results)
    assert "another: pushed again" in capsys.readouterr().err
    assert pathlib.Path(results["places"]["model"], "saved_model.pb").read_text() == "graph"


def test_a_sound_version_stays_whatever_becomes_of_the_trained_model(results, capsys):
    restore_pushed(results)
    pathlib.Path(results["trained"], "saved_model.pb").unlink()
    capsys.readouterr()
    restore_pushed(results)
    assert not capsys.readouterr().err


def test_a_model_that_is_gone_everywhere_is_named(results, tmp_path):
    (tmp_path / "trained" / "saved_model.pb").unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r"The pushed model .*a/7' is gone or damaged, and .*trained', as well: the next start",
    ):
        restore_pushed(results)
