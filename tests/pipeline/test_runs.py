"""How a run ended, by its components; and that one works in a folder at a time."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from ml_metadata.metadata_store.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from rich.console import Console

from components.config import DatasetConfig, to_json
from pipeline import request
from pipeline.experiments import get
from pipeline.experiments.plain import TRAINING
from pipeline.lock import InUseError, held, is_held
from pipeline.runs import Node, Run, listed, main, read_runs

State = metadata_store_pb2.Execution.State
DATA = Node("FacesExampleGen", State.CACHED, 60.0)


def run(*nodes: tuple[str, int]) -> Run:
    return Run(0.0, (DATA, *(Node(name, state, 120.0) for name, state in nodes)))


@pytest.mark.parametrize(
    ("nodes", "works", "state"),
    [
        ([("Trainer-a", State.COMPLETE), ("Report-a", State.COMPLETE)], False, "done, 1 of 3 components cached"),
        ([("Trainer-a", State.RUNNING)], False, "stopped in Trainer-a: the same command goes on"),
        ([("Trainer-a", State.RUNNING)], True, "running, in Trainer-a"),
        ([("Trainer-a", State.COMPLETE)], False, "stopped after Trainer-a: the same command goes on"),
        ([("Trainer-a", State.COMPLETE)], True, "running, after Trainer-a"),
        ([("Trainer-a", State.FAILED)], False, "failed in Trainer-a"),
    ],
)
def test_how_it_ended(nodes, works, state):
    assert run(*nodes).state(works) == state


def test_what_a_later_run_did_needs_no_command():
    stopped, done = run(("Trainer-a", State.RUNNING)), run(("Trainer-a", State.COMPLETE), ("Report-a", State.COMPLETE))
    other = run(("Trainer-b", State.RUNNING))
    console = Console(width=200, record=True)
    console.print(listed([done, stopped, other], works=False))
    _, _, first, second = console.export_text().splitlines()
    assert "stopped in Trainer-a: a later run went on" in first
    assert "stopped in Trainer-b: the same command goes on" in second


def test_which_and_how_long():
    assert run(("Trainer-plain-a", State.RUNNING)).experiment == "plain-a"
    assert run(("Trainer-plain-a", State.RUNNING)).minutes == 2.0
    assert run().experiment == "–" and Run(0.0, (DATA,), datasets="fer2013").experiment == "(one that reads fer2013)"
    assert Run(5.0, ()).minutes == 0 and Run(5.0, ()).state(False) == "stopped: the same command goes on"


def test_names_are_no_markup():
    console = Console(width=200, record=True)
    console.print(listed([run(("Trainer-[red]a", State.FAILED))], works=False))
    assert "failed in Trainer-[red]a" in console.export_text()


@pytest.fixture
def database(tmp_path):
    """Metadata as TFX writes them: a run with two nodes, of which one runs."""
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(tmp_path / "metadata.db")
    config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    store = MetadataStore(config)
    types = {
        name: store.put_context_type(metadata_store_pb2.ContextType(name=name))
        for name in ("pipeline", "pipeline_run", "node")
    }
    contexts = {
        name: store.put_contexts([metadata_store_pb2.Context(type_id=types[kind], name=name)])[0]
        for kind, name in (
            ("pipeline", "facetfx"),
            ("pipeline_run", "2026-11-30"),
            ("node", "facetfx.FacesExampleGen"),
            ("node", "facetfx.Trainer-plain-a"),
        )
    }
    kind = store.put_execution_type(metadata_store_pb2.ExecutionType(name="component"))
    for node, state in (("FacesExampleGen", State.COMPLETE), ("Trainer-plain-a", State.RUNNING)):
        execution = metadata_store_pb2.Execution(type_id=kind, last_known_state=state)
        if node == "FacesExampleGen":
            datasets = DatasetConfig("mtfl"), DatasetConfig("fer2013")
            execution.custom_properties["datasets"].string_value = to_json(datasets)
        if node.startswith("Trainer"):
            told = {"experiment": to_json(replace(get("plain/synthetic"), training=replace(TRAINING, seed=7)))}
            execution.custom_properties["custom_config"].string_value = json.dumps(told)
        of = [contexts["facetfx"], contexts["2026-11-30"], contexts[f"facetfx.{node}"]]
        store.put_execution(execution, [], store.get_contexts_by_id(of))
    return tmp_path


def test_runs_are_read(database):
    (found,) = read_runs(str(database / "metadata.db"))
    assert [node.id for node in found.nodes] == ["FacesExampleGen", "Trainer-plain-a"]
    assert (found.experiment, found.seed, found.datasets) == ("plain-a", "7", "mtfl, fer2013")
    assert "stopped in Trainer-plain-a" in found.state(works=False)


def test_none_yet(tmp_path, monkeypatch):
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    with pytest.raises(SystemExit, match="facetfx: No runs yet"):
        main()


def _take(folder, queue):
    try:
        with held(folder):
            queue.put("taken")
    except InUseError as error:
        queue.put(str(error))


def test_one_at_a_time(tmp_path):
    folder = str(tmp_path / "out")
    assert not is_held(folder)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with held(folder):
        assert is_held(folder)
        other = context.Process(target=_take, args=(folder, queue))
        other.start()
        said = queue.get(timeout=60)
        other.join()
        assert f"Another run (process {os.getpid()}) works in" in said
    assert not is_held(folder)


def test_a_start_beside_another_is_refused_before_anything_is_imported(tmp_path, monkeypatch):
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    request.main()
    with held(str(tmp_path)), pytest.raises(SystemExit, match=rf"facetfx: Another run \(process {os.getpid()}\) works"):
        request.main()


def test_a_process_that_dies_lets_go(tmp_path):
    script = f"import os; from pipeline.lock import held; held({str(tmp_path)!r}).__enter__(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script], check=False)
    with held(str(tmp_path)):
        pass
