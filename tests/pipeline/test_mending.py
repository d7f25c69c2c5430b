"""What is gone or damaged under OUTPUT_DIR is mended at the next start, or named with what to do."""

import sqlite3

import pytest
from ml_metadata.metadata_store.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from pipeline.mending import begin_anew_without_metadata, restore_pushed


@pytest.fixture
def output(tmp_path):
    """Metadata as TFX makes it, an artifact, and a pushed model."""
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(tmp_path / "metadata.db")
    MetadataStore(config).get_artifacts()
    for folder in ("pipeline/Trainer-a/model/3", "serving/a/7"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def test_sound_metadata_stay_and_nothing_needs_none(output, tmp_path_factory, capsys):
    begin_anew_without_metadata(str(output))
    begin_anew_without_metadata(str(tmp_path_factory.mktemp("new")))
    assert sorted(path.name for path in output.iterdir()) == ["metadata.db", "pipeline", "serving"]
    assert capsys.readouterr().err == ""


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
    begin_anew_without_metadata(str(output))
    assert f"metadata.db is {what}: this run begins anew." in capsys.readouterr().err
    assert not (output / "metadata.db").exists() and not (output / "pipeline").exists()
    (aside,) = output.glob("pipeline.before-*")
    assert (aside / "Trainer-a" / "model" / "3").exists() and (output / "serving/a/7").exists()
    begin_anew_without_metadata(str(output))
    assert capsys.readouterr().err == "", "once"


@pytest.fixture
def results(tmp_path):
    trained = tmp_path / "trained"
    trained.mkdir()
    (trained / "saved_model.pb").write_text("graph")
    version = tmp_path / "serving" / "a" / "7"
    return {"verdict": "blessed and pushed", "places": {"model": str(version)}, "trained": str(trained)}


def test_a_pushed_model_that_is_gone_is_pushed_again(results, tmp_path, capsys):
    restore_pushed(results)
    assert (tmp_path / "serving/a/7/saved_model.pb").read_text() == "graph"
    assert "pushed again" in capsys.readouterr().err
    restore_pushed(results)
    restore_pushed({"verdict": "not pushed"})
    assert capsys.readouterr().err == ""


def test_a_model_that_is_gone_everywhere_is_named(results, tmp_path):
    (tmp_path / "trained" / "saved_model.pb").unlink()
    with pytest.raises(SystemExit, match=r"the pushed model .*a/7' is gone, and what was trained, .*trained', as well"):
        restore_pushed(results)
