"""How other machines are told of a training, and what a wrong place in TF_CONFIG is told."""

from __future__ import annotations

import io
import json
import types

import pytest

from components.config import to_json
from components.trainer import join, loop, own_process, run_fn
from components.trainer.workers import num_machines, told_chief
from tests.support import tiny_faces

CLUSTER = {"worker": ["one:2222", "two:2222"]}


def place(kind: str, index: int, **cluster) -> str:
    return json.dumps({"cluster": {**CLUSTER, **cluster}, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("told", "machines", "chief"),
    [
        ("", 1, True),
        (place("worker", 0), 2, True),
        (place("worker", 1), 2, False),
        (place("worker", 0, chief=["zero:2222"]), 3, False),
        (place("chief", 0, chief=["zero:2222"]), 3, True),
    ],
)
def test_places(told, machines, chief, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", told)
    assert (num_machines(), told_chief()) == (machines, chief)


def test_what_the_chief_leaves_is_what_the_others_train(tmp_path, monkeypatch, capsys):
    tiny = tiny_faces.experiment(tiny_faces.LINEAR)
    tasks = tuple(tiny_faces.bound(*tiny.tasks))
    files = {"train_files": {"train": ["a.gz"]}, "validation_files": {"validation": []}}
    places = {"checkpoint_folder": str(tmp_path), "log_folder": "logs", "warm_start": None}
    monkeypatch.setenv("TF_CONFIG", place("worker", 0))
    join.write_request(str(tmp_path), experiment=to_json(tiny), tasks=to_json(tasks), **files, **places)
    said = capsys.readouterr().err
    assert "Waiting for 1 more" in said and f"python -m components.trainer.join {tmp_path}/join.json" in said
    called = []
    monkeypatch.setattr(loop, "train", lambda *args, **kwargs: called.append((args, kwargs)))
    monkeypatch.setenv("TF_CONFIG", place("worker", 1))
    join.main([f"{tmp_path}/join.json"])
    (((experiment, bound), keywords),) = called
    assert (to_json(experiment), to_json(bound)) == (to_json(tiny), to_json(tasks))
    assert keywords == {**files, **places}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("", "TF_CONFIG names no other machine"),
        (place("worker", 0), "TF_CONFIG names no other machine"),
        (place("worker", 1), "none.json"),
    ],
)
def test_who_can_not_take_part_is_told_in_a_line(told, words, tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", told)
    with pytest.raises(SystemExit, match=f"facetfx: .*{words}"):
        join.main([f"{tmp_path}/none.json"])


def test_a_trainer_of_several_machines_works_in_a_process_of_its_own(monkeypatch):
    fields = {name: [name] for name in own_process._FIELDS}
    started = {}

    def run(command, input, **options):
        started.update(command=command, input=input)
        return types.SimpleNamespace(returncode=3)

    monkeypatch.setattr(own_process.subprocess, "run", run)
    monkeypatch.setenv("TF_CONFIG", place("worker", 0))
    with pytest.raises(RuntimeError, match="ended with 3"):
        run_fn.run_fn(types.SimpleNamespace(**fields, working_dir="not told"))
    assert started["command"][1:] == ["-m", "components.trainer.own_process"]
    called = []
    monkeypatch.setattr(run_fn, "train_and_export", called.append)
    monkeypatch.setattr("sys.stdin", io.StringIO(started["input"]))
    monkeypatch.setattr(own_process.signal, "signal", lambda *args: None)
    own_process.main()
    assert vars(called[0]) == fields


def test_nobody_waits_for_ever(tmp_path, monkeypatch, capsys):
    (tmp_path / "there").touch()
    run_fn._wait_for(str(tmp_path / "there"))
    monkeypatch.setattr(run_fn, "_LONGEST_WAIT", 0.0)
    with pytest.raises(RuntimeError, match=r"has left no .*none' in 0 hours"):
        run_fn._wait_for(str(tmp_path / "none"))
    assert "another machine exports" in capsys.readouterr().err
