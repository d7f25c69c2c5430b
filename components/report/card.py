"""What whoever gets a model should know: made of what, for what, how good and for whom; on the page and as Markdown."""

from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Sequence
from importlib import metadata

from components.config import to_json
from components.overrides import settings_of
from components.page.formatting import decimal, figure_text, format_int, interval_text, readable
from components.page.page import Block, Code, Details, Heading, Note, Section
from components.report.collect import RunArtifacts
from components.serving.lite import LITE
from components.tasks.figures import Figure

_DLIB_68 = (
    "Landmarks that images lacked were marked by dlib's 68-point predictor, whose training data (iBUG 300-W) exclude "
    "commercial use."
)
_DLIB = (
    "Faces of photographs are found and aligned by dlib's detectors and five-point predictor: Boost licence and public "
    "domain, for any use."
)
_LIMITS = (
    "Labels of faces are other people's opinions. What a model says of a person may be wrong and is no ground for a "
    "decision about them.",
    "It was measured on the test images of the data it was trained on. Photographs of other cameras, ages, regions and "
    "times will be answered worse; measure it on yours before you rely on it.",
    "It answers for any image, also for one without a face. What isn't shown to it as its training images were, "
    "aligned faces or whole photographs, gets an answer that means nothing.",
)
_VERSIONS = ("tensorflow", "keras", "tfx", "tensorflow-model-analysis", "apache-beam")


def card_section(artifacts: RunArtifacts) -> Section:
    """The parts of the card that no other section of the page has."""
    blocks: list[Block] = [Heading("What may be done with it")]
    blocks += [Note(text) for text in terms(artifacts)]
    blocks += [Heading("What it can't do"), *(Note(text) for text in _LIMITS)]
    blocks += [
        Heading("How it was made"),
        Code("The command that makes it again, given the data:", command(artifacts)),
        Details("All that the experiment sets", (Code("As JSON:", _experiment(artifacts)),)),
        Note(versions()),
    ]
    return Section("Use and limits", "card", tuple(blocks), "What whoever gets this model should know.")


def card(artifacts: RunArtifacts) -> str:
    """The model card as Markdown."""
    verdict, experiment = artifacts.verdict, artifacts.experiment
    where = verdict.pushed_path or artifacts.model_path
    lines = [
        f"# Model card: {artifacts.name}",
        "",
        f"{experiment.summary.rstrip('.')}. Reported {artifacts.created:%d %B %Y}, seed {experiment.training.seed}, by "
        f"facetfx at commit {artifacts.commit or 'unknown'}; it lies in `{where}`.",
        f"{'Blessed' if verdict.blessed else 'Not blessed'}; {'pushed' if verdict.pushed_path else 'not pushed'}.",
        *([experiment.target] if experiment.target else []),
        "",
        "## What it answers",
        "",
        *(f"- `{task.name}`: {_answers(task)}" for task in artifacts.tasks),
        "",
        *_thresholds(artifacts),
        "## What may be done with it",
        "",
        *(f"- {text}" for text in terms(artifacts)),
        "",
        "## How good it is",
        "",
        *_figures_table(artifacts, "", f"{format_int(artifacts.evaluation.counts[''])} test images"),
        *_slices(artifacts),
        "",
        "## What it can't do",
        "",
        *(f"- {text}" for text in _LIMITS),
        "",
        "## How it was made",
        "",
        "```",
        command(artifacts),
        "```",
        "",
        f"{versions()} Names and what answers keep to: `assets.extra/contract.json` in the model's folder."
        f"{f' For TensorFlow Lite: `{LITE}` there.' if artifacts.lite else ''}",
        "",
    ]
    return "\n".join(lines)


def terms(artifacts: RunArtifacts) -> list[str]:
    """A sentence on each data set, and on what dlib marks, finds and aligns."""
    found = [f"{readable(dataset)}: {text}" for dataset, text in artifacts.terms.items()]
    experiment = artifacts.experiment
    learnt_from = [teacher.experiment for teacher in experiment.data.teachers]
    if warm_start := getattr(experiment.training, "warm_start", None):
        learnt_from.append(warm_start)
    if learnt_from:
        found.append(f"It has learnt from {' and '.join(learnt_from)}, whose data's terms hold for it, too.")
    marked, aligned = experiment.data.annotate_landmarks, artifacts.frames
    return [*found, *([_DLIB_68] if marked else []), *([_DLIB] if aligned else [])]


def command(artifacts: RunArtifacts) -> str:
    """That makes the model again."""
    settings = settings_of(artifacts.name)
    said = f" SET={shlex.quote(' '.join(settings))}" if settings else ""
    name = artifacts.name.split("+")[0]
    return f"make run EXPERIMENT={name} DATA_DIR=… SEED={artifacts.experiment.training.seed}{said}"


def versions() -> str:
    """Of the libraries that decide what a training gives."""
    found = ", ".join(f"{name} {metadata.version(name)}" for name in _VERSIONS)
    return f"Python {platform.python_version()}, {found}."


def _experiment(artifacts):
    return json.dumps(json.loads(to_json(artifacts.experiment)), indent=1)


def _answers(task):
    numbered = all(name.isdecimal() for name in task.names)
    names = f"{len(task.names)} points" if numbered else ", ".join(map(readable, task.names))
    return f"{readable(task.kind)}{f': {names}' if task.names else ''}, from {readable(task.dataset)}"


def _thresholds(artifacts) -> list[str]:
    """Of every yes or no, the score above which it is a yes."""
    lines: list[str] = []
    for task in artifacts.tasks:
        decided = artifacts.contract.get(f"{task.name}_decisions")
        if decided:
            rows = zip(task.names, decided["thresholds"], strict=True)
            lines += [f"| {readable(task.name)} | yes for a score above |", "| --- | --- |"]
            lines += [*(f"| {readable(name)} | {decimal(threshold)} |" for name, threshold in rows), ""]
    return lines


def _figures_table(artifacts, slice_name, over) -> list[str]:
    rows = [
        f"| {figure.name} | {_with_unit(figure)} | {interval_text(figure.interval, figure.share)} |"
        for task in artifacts.tasks
        for figure in artifacts.evaluation.figures(task.name, slice_name)
        if figure.headline
    ]
    return [f"| on {over} | | 95 % interval |", "| --- | --- | --- |", *rows]


def _slices(artifacts) -> list[str]:
    lines: list[str] = []
    sides: Sequence[str]
    for key, sides in artifacts.evaluation.slices.items():
        for side in sides:
            over = f"{format_int(artifacts.evaluation.counts[side])} of them: {readable(side)}"
            lines += ["", f"By {readable(key)}:", "", *_figures_table(artifacts, side, over)]
    return lines


def _with_unit(figure: Figure) -> str:
    return f"{figure_text(figure.value, figure.share)}{' %' if figure.share else ''}"
