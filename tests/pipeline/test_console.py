"""What a person sees while a pipeline runs, from the messages that LocalDagRunner logs, and of runs side by side."""

from __future__ import annotations

import inspect
import io
import json
import logging
import re
from types import SimpleNamespace

import pytest
from absl import logging as absl_logging
from rich.console import Console
from tfx.orchestration.local import local_dag_runner
from tfx.orchestration.portable import launcher

from pipeline import compare, console
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


def leave_report(output_dir, execution, experiment, seed, **figures):
    folder = output_dir / "pipeline" / f"Report-{experiment}" / "report" / str(execution)
    folder.mkdir(parents=True)
    results = {"experiment": experiment, "seed": seed, "figures": figures}
    (folder / "results.json").write_text(json.dumps(results))


def compared(output_dir):
    """The table's rows of words; a cell holds no two blanks."""
    stream = io.StringIO()
    Console(file=stream, width=200).print(compare.compared(compare.latest_results(str(output_dir))))
    lines = [re.split(r"[│┃]", line)[1:-1] for line in stream.getvalue().splitlines()]
    return [[word.strip() for word in line] for line in lines if line]


def test_runs_of_one_task_have_its_columns_alone(tmp_path):
    leave_report(tmp_path, 9, "dmm", 0, **{"mean accuracy": 0.9, "mean F1": 0.5, "training minutes": 2.0})
    leave_report(tmp_path, 10, "dmm", 0, **{"mean accuracy": 0.8, "mean F1": 0.4, "training minutes": 4.0})
    leave_report(tmp_path, 11, "dmm", 1, **{"mean accuracy": 0.9, "mean F1": 0.5, "training minutes": 4.0})
    assert compared(tmp_path) == [
        ["experiment", "seeds", "mean accuracy", "mean F1", "training minutes"],
        ["dmm", "0 1", "0.8500 ± 0.0707", "0.4500 ± 0.0707", "4.0000 ± 0.0000"],
    ]


def test_the_tasks_mean_f1_are_two_columns(tmp_path):
    leave_report(tmp_path, 1, "dml", 0, **{"parsing mean F1": 0.7, "mean IoU": 0.6, "pixel accuracy": 0.9})
    leave_report(tmp_path, 2, "dmm", 0, **{"mean F1": 0.5})
    assert compared(tmp_path) == [
        ["experiment", "seeds", "mean F1", "parsing mean F1", "mean IoU", "pixel accuracy"],
        ["dml", "0", "–", "0.7000", "0.6000", "0.9000"],
        ["dmm", "0", "0.5000", "–", "–", "–"],
    ]


def test_columns_of_clothing_and_of_scores(tmp_path):
    leave_report(tmp_path, 1, "vgg", 0, **{"clothing top-5": 0.9, "clothing top-3": 0.8, "clothing accuracy": 0.5})
    leave_report(tmp_path, 2, "thin", 0, **{"top-10 recall": 0.7, "mean accuracy": 0.9})
    assert compared(tmp_path) == [
        ["experiment", "seeds", "mean accuracy", "top-10 recall", "clothing top-3", "clothing top-5"],
        ["thin", "0", "0.9000", "0.7000", "–", "–"],
        ["vgg", "0", "–", "–", "0.8000", "0.9000"],
    ]
