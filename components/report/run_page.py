"""The report of one run: what its tasks and its system have to show, and what all runs have in common."""

from __future__ import annotations

import json
import os
import pathlib
import shlex
from collections.abc import Sequence
from dataclasses import replace

from components.config import form
from components.overrides import settings_of
from components.page.formatting import (
    decimal,
    figure_text,
    finite_or_none,
    format_int,
    interval_text,
    readable,
)
from components.page.page import Block, Cell, Chip, Code, Column, Headlines, Note, Page, Part, Section, Table
from components.report.bars import comparisons, reasons
from components.report.card import card_section
from components.report.collect import RunArtifacts, Verdict, report_of
from components.report.data_section import data_section
from components.report.gallery import gallery_section
from components.report.learning import learning_section
from components.report.slices import slices_section
from components.serving.lite import LITE
from components.systems.base import system_of
from components.tasks.figures import Figure

_SERVING_COMMANDS = """docker run -p 8501:8501 -v {model}:/models/faces/1 -e MODEL_NAME=faces tensorflow/serving
echo '{{"inputs": {{"image_bytes": [{{"b64": "'$(base64 -w0 face.jpg)'"}}]}}}}' |
  curl --output answer.json --data @- localhost:8501/v1/models/faces:predict"""

_FLIP_AVERAGE = (
    "Answers",
    "the mean of the outputs for an image and, turned back, for the image flipped left to right",
)


def parts_of(artifacts: RunArtifacts) -> list[Part]:
    """The parts of the tasks that were measured, in their order, then the system's."""
    measured = [task for task in artifacts.tasks if artifacts.evaluation.of(task.name)]
    parts = [_with_intervals(report_of(task).part(task, artifacts), task, artifacts) for task in measured]
    return [*parts, *system_of(artifacts.experiment).parts(artifacts)]


def _with_intervals(part, task, artifacts):
    """The part with confidence intervals in its headlines."""
    figures = {figure.metric: figure for figure in artifacts.evaluation.figures(task.name) if figure.metric}
    headlines = (
        replace(headline, interval=_interval(figures[headline.metric])) if headline.metric in figures else headline
        for headline in part.headlines
    )
    return replace(part, headlines=tuple(headlines))


def _interval(figure: Figure) -> str:
    """`95 % interval: 89.12 to 90.03 %`; empty if it isn't known."""
    interval = interval_text(figure.interval, figure.share)
    return interval and f"95 % interval: {interval}{' %' if figure.share else ''}"


def run_page(artifacts: RunArtifacts, parts: Sequence[Part]) -> Page:
    """The whole report of one run; `.render()` gives the HTML."""
    experiment = artifacts.experiment
    sections = [
        _result_section(artifacts, parts),
        gallery_section(artifacts),
        *(section for part in parts for section in part.sections),
        slices_section(artifacts),
        learning_section(artifacts, parts),
        data_section(artifacts.data),
        card_section(artifacts),
        _run_section(artifacts),
    ]
    return Page(
        title=artifacts.name.split("+")[0],  # its settings stand below
        kicker="facetfx report",
        lead=experiment.summary,
        byline=(
            f"{artifacts.created:%d %B %Y, %H:%M}",
            f"seed {experiment.training.seed}",
            *settings_of(artifacts.name),
        ),
        badges=_badges(artifacts.verdict),
        sections=tuple(section for section in sections if section is not None),
    )


def results_json(artifacts: RunArtifacts, parts: Sequence[Part], report: str) -> str:
    """The figures of a run for programs: what the console prints and `make compare` compares.

    Args:
        report: where the page lies.
    """
    evaluation, verdict, training = artifacts.evaluation, artifacts.verdict, artifacts.training
    measured = _figures(artifacts, evaluation)
    on_lite = _figures(artifacts, artifacts.lite) if artifacts.lite else ()
    metrics = {
        "images tested": int(evaluation.counts[""]),
        **{figure.name: finite_or_none(figure.value) for figure in measured},
        **{name: value for part in parts for name, value in part.metrics.items()},
        "parameters": training["parameters"],
        "training minutes": training["minutes"],
        "processor minutes": training["processor_minutes"],
        "epochs": len(training["epochs"]),
        "records quarantined": sum(split["quarantined"] for split in artifacts.data.splits.values()),
    }
    figures = {name: value for name, value in metrics.items() if value is not None}
    compared = [
        *(figure.name for figure in measured if figure.headline),
        *(name for part in parts for name in part.compared),
        "parameters",
        "training minutes",
        "processor minutes",
    ]
    intervals = {figure.name: figure.interval for figure in measured if figure.interval}
    for part in parts:
        intervals |= part.intervals
    values = {
        "experiment": artifacts.name,
        "seed": artifacts.experiment.training.seed,
        "overrides": settings_of(artifacts.name),
        "form": form(artifacts.experiment),
        "commit": artifacts.commit,
        "run": artifacts.run,
        "trained": artifacts.model_path,
        "verdict": "blessed and pushed" if verdict.pushed_path else "not pushed",
        "bars": [text for text, passed in comparisons(artifacts) if passed],
        "reasons": reasons(artifacts),
        "figures": figures,
        "intervals": intervals,
        "shares": sorted(
            {figure.name for figure in (*measured, *on_lite) if figure.share}.union(*(part.shares for part in parts))
        ),
        "compared": [name for name in compared if name in figures],
        **({"TensorFlow Lite": {each.name: finite_or_none(each.value) for each in on_lite}} if on_lite else {}),
        "places": {"model": _model_place(artifacts), "report": report, "logs": artifacts.model_run},
        **{title: found for part in parts for title, found in part.details.items()},
    }
    return json.dumps(values, indent=1)


def _precision(found):
    """The precision of the served model, with what the other one reached if both were tried."""
    if not found["figures"]:
        return found["served"]
    where = " where the processor is faster in it" if found["served"] == "bfloat16" else ""
    tried = {f"in {precision}": figures for precision, figures in found["figures"].items()}
    figures = (
        f"{what}: {', '.join(f'{readable(name)} {value:.4f}' for name, value in of.items())}"
        for what, of in tried.items()
    )
    return f"{found['served']}{where} (on validation, {'; '.join(figures)})"


def _lite(artifacts):
    """The file of TensorFlow Lite, with what it reaches beside the served model, or why there is none."""
    found = artifacts.training["lite"]
    if artifacts.lite is None:
        return f"none. {found['error']}"
    served = {figure.name: figure.value for figure in _figures(artifacts, artifacts.evaluation)}
    compared = ", ".join(
        f"{figure.name} {figure_text(figure.value, figure.share)} instead of "
        f"{figure_text(served[figure.name], figure.share)}{' %' if figure.share else ''}"
        for figure in _figures(artifacts, artifacts.lite)
        if figure.headline
    )
    return f"{LITE} in the model's folder, {found['bytes'] / 1e6:.1f} MB; on the same images {compared}"


def _figures(artifacts, evaluation):
    return [figure for task in artifacts.tasks for figure in evaluation.figures(task.name)]


def _asking(artifacts):
    if not artifacts.verdict.pushed_path:
        return f"make predict IMAGES=… MODEL={artifacts.model_path} OUT=faces.csv"
    # <OUTPUT_DIR>/serving/<run>/<version>
    output_dir = pathlib.Path(artifacts.verdict.pushed_path).parents[2]
    model = f"MODEL={shlex.quote(artifacts.name)} OUTPUT_DIR={shlex.quote(str(output_dir))}"
    return f"make predict IMAGES=… {model} OUT=faces.csv\nmake serve {model}"


def _model_place(artifacts):
    return artifacts.verdict.pushed_path or artifacts.model_path


def _badges(verdict: Verdict) -> tuple[Chip, ...]:
    """Blessed or not, served alike or not, pushed or not."""
    return (
        Chip("✓", "Blessed", "good") if verdict.blessed else Chip("✗", "Not blessed", "bad"),
        Chip("✓", "Serving check passed", "good") if verdict.serving_ok else Chip("✗", "Serving check failed", "bad"),
        Chip("✓", "Pushed", "good") if verdict.pushed_path else Chip("○", "Not pushed", "quiet"),
    )


def _result_section(artifacts, parts):
    """The few numbers that say how good the model is, and why the badges are as they are."""
    verdict, target = artifacts.verdict, artifacts.experiment.target
    blocks: list[Block] = [Headlines(tuple(headline for part in parts for headline in part.headlines))]
    if target:
        blocks.append(Note(target))
    blocks += [Note(text, "good") for text, passed in comparisons(artifacts) if passed]
    blocks += [Note(reason, "bad") for reason in reasons(artifacts)]
    if verdict.serving_message and verdict.serving_ok:
        blocks.append(Note(f"Serving: {verdict.serving_message}", "good"))
    return Section("Result", "result", tuple(blocks))


def _run_section(artifacts):
    """What ran for how long, where things lie, and the commands to go on with."""
    training, experiment = artifacts.training, artifacts.experiment
    model, count = _model_place(artifacts), training["parameters"]
    properties = (
        ("Experiment", artifacts.name),
        ("Created", f"{artifacts.created:%Y-%m-%d %H:%M %Z}".strip()),
        ("Seed", str(experiment.training.seed)),
        ("Code", artifacts.commit or "not under git"),
        (
            "Training",
            f"{len(training['epochs'])} epochs, {decimal(training['minutes'], 1)} minutes, "
            f"{decimal(training['processor_minutes'], 1)} of all processors, in {training['trained_in']}",
        ),
        ("Served in", _precision(training["precision"])),
        *([_FLIP_AVERAGE] if experiment.export.flip_average else []),
        *([("As TensorFlow Lite", _lite(artifacts))] if training["lite"] else []),
        ("Parameters of the served model", f"{format_int(count)} ({count * 4 / 1e6:,.1f} MB as float32)"),
        ("Image size", "{} × {} pixels (height × width)".format(*experiment.data.image_size)),
        ("Pushed model" if artifacts.verdict.pushed_path else "Model, not pushed", model),
        ("TensorBoard logs", artifacts.model_run),
    )
    blocks: tuple[Block, ...] = (
        Table((Column("", number=False),) * 2, tuple((Cell(name), Cell(value)) for name, value in properties)),
        Code("To watch the curves in TensorBoard:", f"tensorboard --logdir {artifacts.model_run}"),
        Code("To ask it about your photographs, in a table or on a page:", _asking(artifacts)),
        Code("To serve the model and ask it about an image:", _SERVING_COMMANDS.format(model=os.fspath(model))),
    )
    return Section("Run", "run", blocks, "What ran, for how long, and where its results lie.")
