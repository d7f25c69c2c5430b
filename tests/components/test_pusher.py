"""A pushed version is there whole or not at all, and once."""

import pathlib

import pytest
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts
from tfx.utils import io_utils, proto_utils

from components.pusher import Executor, latest_push, push


def model(folder, fingerprint=b"a"):
    """As much of a SavedModel as a push looks at."""
    (folder / "variables").mkdir(parents=True)
    (folder / "variables" / "variables.index").write_text("weights")
    (folder / "saved_model.pb").write_text("graph")
    (folder / "fingerprint.pb").write_bytes(fingerprint)
    return folder


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_version_has_all_files_of_the_model(tmp_path):
    trained = model(tmp_path / "model")
    push(str(trained), str(tmp_path / "serving" / "7"))
    assert files(tmp_path / "serving" / "7") == files(trained)
    assert [path.name for path in (tmp_path / "serving").iterdir()] == ["7"]


def test_a_push_that_is_stopped_leaves_no_version_and_the_next_one_cleans_up(tmp_path, monkeypatch):
    trained, version = model(tmp_path / "model"), tmp_path / "serving" / "7"

    def stopped(source, target, **options):
        pathlib.Path(target).mkdir(parents=True)
        (pathlib.Path(target) / "saved_model.pb").write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(io_utils, "copy_dir", stopped)
        with pytest.raises(KeyboardInterrupt):
            push(str(trained), str(version))
    assert not version.exists() and latest_push(str(trained), str(version.parent)) is None
    push(str(trained), str(tmp_path / "serving" / "8"))
    assert [path.name for path in (tmp_path / "serving").iterdir()] == ["8"]


def test_what_stands_there_stays_where_a_copy_fails(tmp_path, monkeypatch):
    version = model(tmp_path / "serving" / "7", b"before")

    def full(source, target, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(io_utils, "copy_dir", full)
    with pytest.raises(OSError, match="No space left"):
        push(str(model(tmp_path / "model")), str(version))
    assert (version / "fingerprint.pb").read_bytes() == b"before"


def test_what_an_earlier_push_left_in_place_gives_way(tmp_path):
    version = tmp_path / "serving" / "7"
    (version / "variables").mkdir(parents=True)
    push(str(model(tmp_path / "model")), str(version))
    assert (version / "saved_model.pb").exists()


def test_the_version_of_a_model_is_known_by_its_fingerprint(tmp_path):
    base = tmp_path / "serving"
    assert latest_push("anything", str(base)) is None
    trained = model(tmp_path / "model", b"b")
    model(base / "5", b"a")
    assert latest_push(str(trained), str(base)) is None
    model(base / "16", b"b")
    model(base / ".pushing-19", b"b")
    assert latest_push(str(trained), str(base)) == str(base / "16")
    (base / "16" / "variables" / "variables.index").unlink()
    assert latest_push(str(trained), str(base)) is None
    model(base / "17", b"b")
    model(base / "18", b"a")
    assert latest_push(str(trained), str(base)) is None, "what servers answer with is another"
    (trained / "fingerprint.pb").unlink()
    (base / "18" / "fingerprint.pb").unlink()
    assert latest_push(str(trained), str(base)) is None, "two that can't be told apart"


def test_a_model_is_pushed_once_however_often_it_is_asked_for(tmp_path):
    trained, blessing = standard_artifacts.Model(), standard_artifacts.ModelBlessing()
    trained.uri, blessing.uri = str(tmp_path / "trained"), str(tmp_path / "blessing")
    blessing.set_int_custom_property("blessed", 1)
    model(tmp_path / "trained" / "Format-Serving")
    destination = pusher_pb2.PushDestination()
    destination.filesystem.base_directory = str(tmp_path / "serving")
    properties = {"push_destination": proto_utils.proto_to_json(destination)}
    found = []
    for _ in range(2):
        pushed = standard_artifacts.PushedModel()
        Executor().Do({"model": [trained], "model_blessing": [blessing]}, {"pushed_model": [pushed]}, properties)
        found.append(pushed.get_string_custom_property("pushed_destination"))
    assert len(set(found)) == 1 and [str(path) for path in (tmp_path / "serving").iterdir()] == found[:1]
    blessing.set_int_custom_property("blessed", 0)
    pushed = standard_artifacts.PushedModel()
    Executor().Do({"model": [trained], "model_blessing": [blessing]}, {"pushed_model": [pushed]}, properties)
    assert not pushed.get_string_custom_property("pushed_destination")
