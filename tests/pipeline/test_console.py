"""What a person sees while a pipeline runs, from the messages that LocalDagRunner logs."""

from __future__ import annotations

import inspect
import io
import json
import logging
from types import SimpleNamespace

import pytest
from absl import logging as absl_logging
from rich.console import Console
from tfx.orchestration.local import local_dag_runner
from tfx.orchestration.portable import launcher

from pipeline import console
from pipeline.console import ComponentProgress, print_results

RUNNING, CACHED, FINISHED = (
    "Component %s is running.",
    "A cached execution %d is used.",
    "Component %s is finished.",
)


@pytest.fixture(autouse=True)
def said(monkeypatch):
    """What is printed; the logging that `with ComponentProgress` sets up is put back."""
    stream = io.StringIO()
    monkeypatch.setattr(console, "_OUT", Console(file=stream, highlight=False, width=100))
    handlers = [absl_logging.get_absl_handler(), *logging.getLogger("tensorflow").handlers]
    levels = [handler.level for handler in handlers]
    verbosity = absl_logging.get_verbosity()
    root = list(logging.getLogger().handlers)
    yield lambda: [line.rstrip() for line in stream.getvalue().splitlines()]
    absl_logging.set_verbosity(verbosity)
    logging.getLogger().handlers[:] = root
    for handler, level in zip(handlers, levels, strict=True):
        handler.setLevel(level)


@pytest.fixture
def clock(monkeypatch):
    """Sets the time in seconds."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(console.time, "monotonic", lambda: now.seconds)
    return now


def run(progress: ComponentProgress, clock, *components: tuple[str, float, bool]) -> None:
    """Logs what LocalDagRunner logs: (name, seconds, whether it is cached) each."""
    with progress:
        for name, seconds, cached in components:
            absl_logging.info(RUNNING, name)
            absl_logging.info("MetadataStore with DB connection initialized")
            if cached:
                absl_logging.info(CACHED, 7)
            clock.seconds += seconds
            absl_logging.info(FINISHED, name)


def test_the_messages_are_tfx_s_own():
    assert RUNNING in inspect.getsource(local_dag_runner)
    assert FINISHED in inspect.getsource(local_dag_runner)
    assert CACHED in inspect.getsource(launcher)


def test_a_line_as_each_component_starts_and_one_as_it_ends(said, clock):
    progress = ComponentProgress(SimpleNamespace(components=["a", "b", "c"]))
    run(progress, clock, ("FacesExampleGen", 12.4, False), ("Transform", 3.0, True), ("Trainer-x-y", 75.0, False))
    assert said() == [
        "[1/3] FacesExampleGen",
        "        done in 12 s",
        "[2/3] Transform",
        "        cached",
        "[3/3] Trainer-x-y",
        "        done in 75 s",
    ]
    assert progress.minutes == pytest.approx({"FacesExampleGen": 12.4 / 60, "Transform": 0.05, "Trainer-x-y": 1.25})
    assert progress.cached == {"Transform"}


def test_nothing_ran_where_a_pipeline_is_only_registered(said):
    with ComponentProgress(SimpleNamespace(components=["a"])) as progress:
        pass
    assert not progress.ran
    assert said() == []


def test_a_component_that_fails_has_no_closing_line(said, clock):
    progress = ComponentProgress(SimpleNamespace(components=["a", "b"]))
    with pytest.raises(RuntimeError), progress:
        absl_logging.info(RUNNING, "a")
        raise RuntimeError("disk full")
    assert said() == ["[1/2] a"]
    absl_logging.info(RUNNING, "b")  # nobody listens any more
    assert said() == ["[1/2] a"]


def test_the_table_at_the_end(said, clock, tmp_path):
    folder = tmp_path / "reports" / "x-y"
    folder.mkdir(parents=True)
    results = {
        "verdict": "not pushed",
        "figures": {"images tested": 200, "mean accuracy": 0.8125},
        "places": {"report": "out/reports/x-y/index.html"},
        "reasons": ["mean balanced accuracy 0.5 is below 0.6"],
    }
    (folder / "results.json").write_text(json.dumps(results))
    progress = ComponentProgress(SimpleNamespace(components=["a", "b"]))
    run(progress, clock, ("a", 60.0, False), ("b", 120.0, False), ("c", 0.0, True))
    print_results("x/y", str(tmp_path), progress)
    text = "\n".join(said())
    for expected in ("x/y: not pushed", "images tested", "200", "0.8125", "index.html", "  mean balanced accuracy 0.5"):
        assert expected in text
    assert said()[-1] == "3.0 min in 3 components, 1 of them cached; longest: b 2.0, a 1.0, c 0.0"
