"""How other machines are told of a training, and what a wrong place in TF_CONFIG is told."""

from __future__ import annotations

import json

import pytest

from components.config import to_json
from components.trainer import join, loop
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
