"""What whoever gets a model should know: made of what, for what, how good and for whom; on the page and as Markdown."""

from __future__ import annotations

import json
import math
import platform
import shlex
from collections.abc import Iterator
from importlib import metadata

from components import tasks as task_kinds
from components.config import to_json
from components.overrides import settings_of
from components.page.formatting import change_text, decimal, figure_text, format_int, interval_text, readable
from components.page.page import Block, Code, Details, Heading, Note, Section
from components.report.bars import comparisons, reasons
from components.report.collect import RunArtifacts
from components.serving.lite import LITE
from components.tasks.figures import Figure, beyond_chance

_DLIB_68 = (
    "Landmarks that images lacked were marked by dlib's 68-point predictor, whose training data (iBUG 300-W) exclude "
    "commercial use."
)
_DLIB = (
    "Faces of photographs are found and aligned by dlib's detectors and five-point predictor: Boost licence and public "
    "domain, for any use."
)
_INTENDED = (
    "To answer these questions about faces where somebody looks at the answers, or where their mean over many images "
    "counts: research, measurements, the search and sorting of one's own photographs.",
    "Not to find out who somebody is, nor where it decides about a person: work, credit, police, borders, medicine.",
)
_DRAWN = ("To try the software: it was trained on drawn faces, and what it says of a photograph means nothing.",)
_OPINIONS = (
    "Labels of faces are other people's opinions. What a model says of a person may be wrong and is no ground for a "
    "decision about them."
)
_LIMITS = (
    "It was measured on the test images of the data it was trained on. Photographs of other cameras, ages, regions and "
    "times will be answered worse; measure it on yours before you rely on it.",
    "It answers for any image, also for one without a face. What isn't shown to it as its training images were, "
    "aligned faces or whole photographs, gets an answer that means nothing.",
)
_VERSIONS = ("tensorflow", "keras", "tfx", "tensorflow-model-analysis", "apache-beam")


def card_section(artifacts: RunArtifacts) -> Section:
    """The parts of the card that no other section of the page has."""
    blocks: list[Block] = [Heading("What it is for"), *(Note(text) for text in _intended(artifacts))]
    blocks += [Heading("What may be done with it")]
    blocks += [Note(text) for text in terms(artifacts)]
    blocks += [Heading("What it can't do"), *(Note(text) for text in _limits(artifacts))]
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
        *([f"To be compared with: {experiment.target}"] if experiment.target else []),
        "",
        "## Whether it passed",
        "",
        *(f"- {text}" for text in (*(text for text, passed in comparisons(artifacts) if passed), *reasons(artifacts))),
        "",
        "## What it answers",
        "",
        *(f"- `{task.name}`: {_answers(task)}" for task in artifacts.tasks),
        "",
        *_thresholds(artifacts),
        "## What it is for",
        "",
        *(f"- {text}" for text in _intended(artifacts)),
        "",
        "## What may be done with it",
        "",
        *(f"- {text}" for text in terms(artifacts)),
        "",
        "## How good it is",
        "",
        *_figures_table(
            artifacts,
            "",
            "test images",
            {task.name: artifacts.evaluation.figures(task.name) for task in artifacts.tasks},
        ),
        *_never_said(artifacts),
        *_slices(artifacts),
        "",
        "## What it can't do",
        "",
        *(f"- {text}" for text in _limits(artifacts)),
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


def _intended(artifacts) -> tuple[str, ...]:
    return _INTENDED if artifacts.of_people else _DRAWN


def _limits(artifacts) -> tuple[str, ...]:
    return (_OPINIONS, *_LIMITS) if artifacts.of_people else _LIMITS


def command(artifacts: RunArtifacts) -> str:
    """That makes the model again."""
    settings = settings_of(artifacts.name)
    said = f" SET={shlex.quote(' '.join(settings))}" if settings else ""
    name = artifacts.name.split("+")[0]
    data = " DATA_DIR=…" if artifacts.of_people else ""
    return f"make run EXPERIMENT={name}{data} SEED={artifacts.experiment.training.seed}{said}"


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


def _figures_table(artifacts, slice_name, over, figures) -> list[str]:
    """A row for each of the figures, by task."""
    rows = []
    for task, of_task in figures.items():
        annotated = format_int(artifacts.evaluation.of(task, slice_name).get("annotated", 0))
        rows += [
            f"| {figure.name} | {annotated} | {_with_unit(figure)} | {interval_text(figure.interval, figure.share)} |"
            for figure in of_task
        ]
    return [f"| {over} | annotated | | 95 % interval |", "| --- | --- | --- | --- |", *rows]


def _never_said(artifacts) -> list[str]:
    """The labels that the test images have and the model never gives, by name."""
    lines = []
    for task in artifacts.tasks:
        module, values = task_kinds.role(task.kind, "evaluation"), artifacts.evaluation.of(task.name)
        if values and hasattr(module, "never_said") and len(never := module.never_said(values)):
            names = ", ".join(readable(task.names[place]) for place in never)
            lines += ["", f"Of {readable(task.name)} it never gives {names}: of no use there."]
    return lines


def _slices(artifacts) -> list[str]:
    evaluation = artifacts.evaluation
    lines: list[str] = []
    for key, sides in evaluation.slices.items():
        mistakes = {task.name: _mistakes(artifacts, task, sides) for task in artifacts.tasks}
        lines += [
            "",
            f"By {readable(key)}. A side's means are over what is defined there; gaps, and how often both mistakes are "
            "made, are over what is defined on all sides.",
        ]
        for place, side in enumerate(sides):
            over = f"{format_int(evaluation.counts[side])} test images: {readable(side)}"
            figures = {
                task: [*(f for f in evaluation.figures(task, side) if f.headline), *(of[place] if of else [])]
                for task, of in mistakes.items()
            }
            lines += ["", *_figures_table(artifacts, side, over, figures)]
        if evaluation.has_two_sides(key):
            gaps = list(_gaps(artifacts, key))
            lines += ["", *gaps] if gaps else []
    return lines


def _mistakes(artifacts, task, sides) -> list[list[Figure]]:
    """How often each mistake is made on each side; nothing where the kind knows no several."""
    module, values = task_kinds.role(task.kind, "evaluation"), [artifacts.evaluation.of(task.name, s) for s in sides]
    return module.mistakes(task, values) if all(values) and hasattr(module, "mistakes") else []


def _gaps(artifacts, key) -> Iterator[str]:
    """What divides the two sides: headlines, and how often each mistake is made."""
    evaluation = artifacts.evaluation
    for task in artifacts.tasks:
        mistakes = {f"mean_{rate}" for rate in getattr(task_kinds.role(task.kind, "evaluation"), "MISTAKES", ())}
        for figure in evaluation.figures(task.name):
            if figure.metric and (figure.headline or figure.metric in mistakes):
                gap = evaluation.gap(task.name, figure.metric, key)
                if gap is not None and math.isfinite(gap):
                    yield _gap(figure, gap, evaluation.gap_interval(task.name, figure.metric, key), key)


def _gap(figure, gap, interval, key) -> str:
    unit = " points" if figure.share else ""
    ends = f" ({' to '.join(change_text(end, figure.share) for end in interval)})" if interval else ""
    chance = ": more than chance makes it" if beyond_chance(interval) else ""
    return f"- {figure.name}: {change_text(gap, figure.share)}{unit}{ends} with {readable(key)}{chance}"


def _with_unit(figure: Figure) -> str:
    return f"{figure_text(figure.value, figure.share)}{' %' if figure.share else ''}"
