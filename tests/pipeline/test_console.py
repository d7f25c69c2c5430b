"""What a person sees while a pipeline runs, from the messages that LocalDagRunner logs, and of runs side by side."""

from __future__ import annotations

import inspect
import io
import json
import logging
import pathlib
import re
from types import SimpleNamespace

import pytest
from absl import logging as absl_logging
from rich.console import Console
from tfx.orchestration.local import local_dag_runner
from tfx.orchestration.portable import launcher
from tfx.types import Channel

from components.report.component import RunReport, RunReportSpec
from pipeline import compare, console
from pipeline.console import ComponentProgress, print_results, results_of
from pipeline.request import read_request

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


def nodes(*ids: str, run_id: str = "") -> SimpleNamespace:
    """A pipeline of such components, with a report if it is of a run."""
    channels = {name: Channel(type=parameter.type) for name, parameter in RunReportSpec.INPUTS.items()}
    report = RunReport("plain/synthetic", "{}", "reports", "code", "abc1234", run_id, **channels).with_id("report")
    others = [SimpleNamespace(id=each) for each in ids]
    return SimpleNamespace(components=[*others, report] if run_id else others)


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
    progress = ComponentProgress(nodes("a", "b", "c"))
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
    with ComponentProgress(nodes("a")) as progress:
        pass
    assert not progress.ran
    assert said() == []


def test_a_component_that_fails_has_no_closing_line(said, clock):
    progress = ComponentProgress(nodes("a", "b"))
    with pytest.raises(RuntimeError), progress:
        absl_logging.info(RUNNING, "a")
        raise RuntimeError("disk full")
    assert said() == ["[1/2] a"]
    absl_logging.info(RUNNING, "b")  # nobody listens any more
    assert said() == ["[1/2] a"]


@pytest.fixture
def request_of(tmp_path):
    """A request for the drawn faces, with an output folder of its own."""
    return lambda **environment: read_request(
        {"EXPERIMENT": "plain/synthetic", "OUTPUT_DIR": str(tmp_path), **environment}
    )


def leave_results(request, execution, **changed):
    folder = pathlib.Path(request.pipeline_root, "Report-plain-synthetic", "report", str(execution))
    folder.mkdir(parents=True)
    results = {
        "run": "this",
        "verdict": "not pushed",
        "figures": {"images tested": 200, "mean accuracy": 0.8125},
        "intervals": {"mean accuracy": [0.75, 0.875]},
        "shares": ["mean accuracy"],
        "places": {"report": "out/[red]reports/x-y/index.html"},
        "bars": ["Mean accuracy is 81.25 %; the bar, at least 60 %, is passed by 21.25 points."],
        "reasons": ["mean balanced accuracy 0.5 is below 0.6 [/bold]"],
    }
    (folder / "results.json").write_text(json.dumps(results | changed))
    (folder / "index.html").write_text(f"page {execution}")
    return folder


def test_the_table_at_the_end(said, clock, request_of):
    leave_results(request_of(), 9)
    progress = ComponentProgress(nodes("a", "b", run_id="this"))
    run(progress, clock, ("a", 60.0, False), ("b", 120.0, False), ("report", 0.0, True))
    print_results(request_of(), progress)
    text = "\n".join(said())
    assert "out/[red]reports" in text and "0.6 [/bold]" in text, "no mark-up"
    for expected in (
        "plain/synthetic: not pushed",
        "images tested",
        "200",
        "81.25 %",
        "75.00 % to 87.50 %",
        "index.html",
    ):
        assert expected in text
    assert said()[-1] == "3.0 min in 3 components, 1 of them cached; longest: b 2.0, a 1.0, report 0.0"


def test_what_to_do_next_is_a_command_that_works(said, clock, request_of):
    request = request_of()
    version = pathlib.Path(request.output_dir, "serving", "plain-synthetic", "7")
    (version / "variables").mkdir(parents=True)
    (version / "variables" / "variables.index").touch()
    (version / "saved_model.pb").touch()
    leave_results(request, 9, verdict="blessed and pushed", places={"model": str(version)})
    progress = ComponentProgress(nodes("a", run_id="this"))
    run(progress, clock, ("a", 60.0, False), ("report", 0.0, True))
    print_results(request, progress)
    assert f"make serve MODEL=plain/synthetic OUTPUT_DIR={request.output_dir}, a page" in "\n".join(said())


def test_a_cached_run_shows_its_own_results_and_not_those_of_another(request_of, tmp_path):
    leave_results(request_of(), 9, verdict="this run's")
    leave_results(request_of(), 10, verdict="another's", run="another")
    assert results_of(request_of(), "this")["verdict"] == "this run's"
    assert (tmp_path / "reports" / "plain-synthetic" / "index.html").read_text() == "page 9"
    assert results_of(request_of(), "another")["verdict"] == "another's"
    assert (tmp_path / "reports" / "plain-synthetic" / "index.html").read_text() == "page 10"


def test_what_a_killed_run_left_is_passed_over(request_of):
    leave_results(request_of(), 9, verdict="whole")
    (leave_results(request_of(), 10) / "results.json").write_text('{"run": "this",')
    (leave_results(request_of(), 11) / "results.json").unlink()
    assert results_of(request_of(), "this")["verdict"] == "whole"


def test_without_a_report_of_this_run_nothing_is_claimed(request_of, clock):
    leave_results(request_of(), 9, run="another")
    progress = ComponentProgress(nodes(run_id="this"))
    run(progress, clock, ("report", 0.0, True))
    with pytest.raises(SystemExit, match="No report of this run of plain/synthetic can be read"):
        print_results(request_of(), progress)


def test_a_component_that_did_not_run_is_told(request_of, clock):
    leave_results(request_of(), 9)
    progress = ComponentProgress(nodes("a", "b", "c"))
    run(progress, clock, ("b", 1.0, False))
    with pytest.raises(SystemExit, match="facetfx: a, c neither ran nor was found done"):
        print_results(request_of(), progress)


def leave_report(output_dir, execution, experiment, seed, **figures):
    """All figures but those whose names begin with "not" are compared."""
    folder = output_dir / "pipeline" / f"Report-{experiment.replace('/', '-')}" / "report" / str(execution)
    folder.mkdir(parents=True)
    compared = [name for name in figures if not name.startswith("not")]
    shares = [name for name in figures if name in ("accuracy", "F1")]
    results = {"experiment": experiment, "seed": seed, "figures": figures, "compared": compared, "shares": shares}
    (folder / "results.json").write_text(json.dumps(results))
    return folder / "results.json"


def compared(output_dir, width=200):
    """The tables' lines as words; a column is two blanks or more from the next."""
    stream = io.StringIO()
    for table in compare.compared(compare.latest_results(str(output_dir)), width):
        Console(file=stream, width=width).print(table)
    lines = [line.strip() for line in stream.getvalue().splitlines()]
    assert max(map(len, lines)) <= width
    return [re.split(r"\s{2,}", line) for line in lines if line and not set(line) <= set("─━╶╴ ")]


def test_the_latest_run_of_each_seed_counts(tmp_path):
    leave_report(tmp_path, 9, "dmm", 0, **{"accuracy": 0.9, "F1": 0.5, "minutes": 2.0, "not this": 1})
    leave_report(tmp_path, 10, "dmm", 0, **{"accuracy": 0.8, "F1": 0.4, "minutes": 4.0, "not this": 1})
    leave_report(tmp_path, 11, "dmm", 1, **{"accuracy": 0.9, "F1": 0.5, "minutes": 4.0})
    assert compared(tmp_path) == [
        ["experiment", "seeds", "accuracy", "F1", "minutes"],
        ["dmm", "0 1", "85.00 ± 7.07 %", "45.00 ± 7.07 %", "4.0000 ± 0.0000"],
    ]


def test_what_an_earlier_facetfx_left_is_named(tmp_path, capsys):
    leave_report(tmp_path, 1, "dmm", 0, **{"accuracy": 0.9})
    file = leave_report(tmp_path, 2, "dmm", 1, **{"accuracy": 0.8})
    earlier = json.loads(file.read_text())
    del earlier["compared"]
    file.write_text(json.dumps(earlier))
    assert compared(tmp_path)[1] == ["dmm", "0", "90.00 %"]
    assert f"Left out, of an earlier facetfx: {file}. Run the experiment again" in capsys.readouterr().err


def test_what_a_stopped_run_left_half_written_is_named(tmp_path, capsys):
    leave_report(tmp_path, 1, "dmm", 0, **{"accuracy": 0.9})
    file = leave_report(tmp_path, 2, "dmm", 1, **{"accuracy": 0.8})
    file.write_text(file.read_text()[:30])
    assert compared(tmp_path)[1] == ["dmm", "0", "90.00 %"]
    assert f"Left out, of a run that was stopped while it wrote: {file}." in capsys.readouterr().err


def test_columns_are_what_the_runs_compare(tmp_path):
    leave_report(tmp_path, 1, "dml", 0, **{"mask F1": 0.7, "parameters": 10_000})
    leave_report(tmp_path, 2, "dmm", 0, **{"label F1": 0.5, "parameters": 20_000})
    assert compared(tmp_path) == [
        ["experiment", "seeds", "mask F1", "parameters", "label F1"],
        ["dml", "0", "0.7000", "10,000", "–"],
        ["dmm", "0", "–", "20,000", "0.5000"],
    ]


def test_a_run_with_many_settings_leaves_room_for_its_figures(tmp_path):
    name = "plain/synthetic+" + "+".join(f"training.setting{number}={number}" for number in range(6))
    leave_report(tmp_path, 1, name, 0, **{f"figure{number}": number / 10 for number in range(3)})
    lines = compared(tmp_path, width=80)
    figures = [word for line in lines for word in line if re.fullmatch(r"0\.\d000", word)]
    assert figures == ["0.0000", "0.1000", "0.2000"]


def test_what_does_not_fit_is_a_further_table_and_no_name_is_cut(tmp_path):
    name = "branching/celeb_a-w32-a2-tiny-with-a-long-name"
    leave_report(tmp_path, 1, name, 0, **{f"figure{number}": number / 10 for number in range(5)})
    lines = compared(tmp_path, width=100)
    headings = [line for line in lines if line[0] == "experiment"]
    shown = [figure for line in headings for figure in line[2:]]
    assert len(headings) > 1 and shown == [f"figure{number}" for number in range(5)]
    assert [line[0] for line in lines if line not in headings] == [name] * len(headings)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("The split is empty."), "facetfx: Trainer failed: The split is empty.\nVERBOSE=1 shows where."),
        (ValueError(), "facetfx: Trainer failed: ValueError\nVERBOSE=1 shows where."),
        (
            RuntimeError(
                'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    x\nKeyError: 7 [while "b"]\n'
            ),
            'facetfx: Trainer failed: KeyError: 7 [while "b"]\nVERBOSE=1 shows where.',
        ),
    ],
)
def test_what_goes_wrong_is_told_in_a_line(error, words, monkeypatch):
    monkeypatch.delenv("VERBOSE", raising=False)
    progress = console.ComponentProgress(nodes())
    progress.current = "Trainer"
    with pytest.raises(SystemExit) as ended, console.told_in_a_line(progress):
        raise error
    assert ended.value.code == words


def test_verbose_shows_where(monkeypatch):
    monkeypatch.setenv("VERBOSE", "1")
    with pytest.raises(ValueError), console.told_in_a_line(console.ComponentProgress(nodes())):
        raise ValueError
