"""The report's part of yes-or-no labels, such as the attributes of a face."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from components.page.formatting import (
    bare_percent,
    by_name,
    decimal,
    finite_or_none,
    format_int,
    percent,
    percent_cell,
    percentage_points,
    readable,
)
from components.page.page import (
    Card,
    Cell,
    Chip,
    Column,
    Gallery,
    Headline,
    Meter,
    Part,
    Section,
    Table,
)
from components.tasks.annotation import BoundTask
from components.tasks.multi_label.evaluation import GAPS, TOP, majority_accuracy, never_said
from components.tasks.ratios import mean_of_defined
from components.tasks.reporting import (
    PREDICTED_AND_LABELLED,
    UNLABELLED,
    Answer,
    Sample,
    capitalized,
    curves_by_name,
    metric_title,
    tested_images,
    thumbnail,
)
from components.tasks.score_report import AVERAGE_PRECISION, scores_section

if TYPE_CHECKING:
    from components.report.collect import RunArtifacts

OWN_GALLERY = False
_MISTAKES = 6
_NAMED = 6  # labels that are never said, by name
_NOT_LABELLED = Chip("+", "predicted, but not labelled", "bad")
_MISSED = Chip("−", "labelled, but not predicted", "bad")


def part(task: BoundTask, artifacts: RunArtifacts) -> Part:
    """Figures by label and mistakes; for programs also how alike the sides of the slices are served."""
    values = artifacts.evaluation.of(task.name)
    evaluation, gaps, intervals = artifacts.evaluation, {}, {}
    for key, of in itertools.product(evaluation.slices, GAPS):
        name = f"{task.name} {readable(of)} gap {key}"
        gaps[name] = finite_or_none(evaluation.gap(task.name, f"mean_{of}", key))
        if interval := evaluation.gap_interval(task.name, f"mean_{of}", key):
            intervals[name] = interval
    majority = majority_accuracy(values)
    return Part(
        headlines=_headlines(task, values, majority),
        sections=(
            *_mistakes_section(task, artifacts),
            _labels_section(task, values, majority, thresholds(task, artifacts)),
            *scores_section(task, values, "label"),
        ),
        curves=curves_by_name(task, artifacts.history),
        metrics=gaps,
        intervals=intervals,
        shares=tuple(gaps),
        details={metric_title(task.name, "accuracy"): by_name(task.names, values["accuracy"])},
    )


def thresholds(task: BoundTask, artifacts: RunArtifacts) -> np.ndarray:
    """[N] a score above it is a yes: as served."""
    return np.asarray(artifacts.contract[f"{task.name}_decisions"]["thresholds"], np.float64)


def _headlines(task, values, majority):
    title, commoner = capitalized(task.name), mean_of_defined(majority)
    gain = values["mean_accuracy"] - commoner
    side = "above" if gain > 0 else "below"
    questions = f"{format_int(values['annotated'])} test images × {len(task.names)} questions"
    means = f"of all yes-or-no answers agree with the label ({questions})."
    if np.isfinite(gain):
        means += (
            f" Always giving the commoner answer would score {percent(commoner)}: the model is "
            f"{percent(abs(gain)).replace('%', 'points')} {side} it."
        )
    found = [
        *_never_said(task, values),
        Headline(
            percent(values["mean_accuracy"]),
            f"{title}: mean accuracy",
            means,
            "good" if gain > 0 else "bad",
            metric="mean_accuracy",
        ),
        Headline(
            percent(values["mean_balanced_accuracy"]),
            f"{title}: mean balanced accuracy",
            "is how often it is right when images with and without a label count alike. 50 % is guessing.",
            metric="mean_balanced_accuracy",
        ),
        Headline(
            percent(values["mean_f1"]),
            f"{title}: mean F1",
            "weighs finding a label against claiming it wrongly; 100 % is perfect. Rare labels pull it down.",
            metric="mean_f1",
        ),
    ]
    if "top_10_recall" in values:
        means = (
            f"is how often a label that an image has is among the {TOP} with the highest scores of the image, in the "
            f"mean over labels. {TOP} drawn at random would find {percent(TOP / len(task.names), 1)}. Of all that "
            f"images have together {percent(values['pooled_top_10_recall'])} are found."
        )
        recall = percent(values["top_10_recall"])
        found.append(Headline(recall, f"{title}: top-{TOP} recall", means, metric="top_10_recall"))
    return tuple(found)


def _never_said(task, values):
    """First of all what a good mean hides: labels that the model never gives, though test images have them."""
    never = never_said(values)
    if not never.size:
        return ()
    names = ", ".join(readable(task.names[index]) for index in never[:_NAMED])
    more = f" and {never.size - _NAMED} more" if never.size > _NAMED else ""
    means = f"are never given to a test image, though some have them: {names}{more}. For these the model is of no use."
    return (Headline(f"{never.size} of {len(task.names)}", f"{capitalized(task.name)}: never said", means, "bad"),)


def answer(task: BoundTask, sample: Sample, artifacts: RunArtifacts) -> Answer:
    """Chips: wrong decisions first, then the right ones; what is neither predicted nor labelled is left out."""
    decided = sample.outputs[f"{task.name}_decisions"] > 0
    labels = _labels(task, sample)
    if not (labels >= 0).any():
        chips = [_chip(task, sample, artifacts, index, UNLABELLED) for index in np.flatnonzero(decided)]
        return Answer(chips=tuple(chips), legend=(UNLABELLED,))
    wrong = _wrong(task, sample)
    chips = [
        _chip(task, sample, artifacts, index, _NOT_LABELLED if decided[index] else _MISSED)
        for index in sorted(wrong, key=lambda index: -_margins(task, sample, artifacts)[index])
    ]
    for kind, which in ((PREDICTED_AND_LABELLED, decided & (labels > 0)), (UNLABELLED, decided & (labels < 0))):
        chips += [_chip(task, sample, artifacts, index, kind) for index in np.flatnonzero(which)]
    annotated = int((labels >= 0).sum())
    legend = (PREDICTED_AND_LABELLED, _NOT_LABELLED, _MISSED, *([UNLABELLED] if (labels < 0).any() else []))
    return Answer(text=f"{annotated - len(wrong)} of {annotated} right", chips=tuple(chips), legend=legend)


def _labels(task, sample):
    """[N] 1, 0, or -1 where it is not annotated."""
    labels = sample.record.labels.get(task.name)
    return np.full(len(task.names), -1) if labels is None else np.asarray(labels)


def _wrong(task, sample):
    """Indices of the decisions that differ from their label."""
    labels, decided = _labels(task, sample), sample.outputs[f"{task.name}_decisions"] > 0
    return np.flatnonzero((labels >= 0) & (decided != (labels > 0))).tolist()


def _margins(task, sample, artifacts):
    """[N] how far the scores are from their thresholds."""
    return np.abs(sample.outputs[task.name] - thresholds(task, artifacts))


def _score(task, sample, artifacts, index):
    score, threshold = (float(values[index]) for values in (sample.outputs[task.name], thresholds(task, artifacts)))
    return f"score {decimal(score, 2)}, threshold {decimal(threshold, 2)}"


def _chip(task, sample, artifacts, index, kind):
    return Chip(kind.symbol, readable(task.names[index]), kind.tone, _score(task, sample, artifacts, index))


def surest_mistakes(task: BoundTask, artifacts: RunArtifacts, limit: int = _MISTAKES) -> list[tuple[Sample, int]]:
    """(sample, index) of the wrong decisions, the furthest from its threshold first."""
    wrong = [
        (_margins(task, sample, artifacts)[index], sample, index)
        for sample in artifacts.samples[task.dataset]
        for index in _wrong(task, sample)
    ]
    return [(sample, index) for _, sample, index in sorted(wrong, key=lambda each: -each[0])[:limit]]


def _mistakes_section(task, artifacts):
    mistakes = surest_mistakes(task, artifacts)
    if not mistakes:
        return ()
    cards = tuple(
        Card(
            (("", thumbnail(sample)),),
            f"{'+' if sample.outputs[f'{task.name}_decisions'][index] else '−'} {readable(task.names[index])}",
            f"{sample.record.id}: {_score(task, sample, artifacts, index)}",
        )
        for sample, index in mistakes
    )
    lead = (
        "Wrong answers with the scores furthest on the wrong side of the threshold. Look twice: the label is sometimes "
        "what is wrong."
    )
    gallery = Gallery(cards, (_NOT_LABELLED, _MISSED), small=True)
    return (Section(f"{capitalized(task.name)}: surest mistakes", f"{task.name}-mistakes", (gallery,), lead),)


def _labels_section(task, values, majority, found):
    """Every label's figures."""
    gains = values["accuracy"] - majority
    known = np.isfinite(gains)
    good = int((gains[known] >= 0).sum())
    lead = (
        f"Counted on {tested_images(task, values['annotated'])}. {good} of {int(known.sum())} "
        "are at least as accurate as always giving the commoner answer."
    )
    return Section(capitalized(task.name), task.name, (_label_table(task, values, gains, found),), lead)


def _label_table(task, values, gains, found):
    high = max(float(np.nanmax(gains, initial=0.0)), 0.01)
    low = min(float(np.nanmin(gains, initial=0.0)), -0.1 * high)
    true, predicted = values["positive_rate_true"], values["positive_rate_predicted"]
    columns = [
        (Column("Label", number=False), [Cell(readable(name)) for name in task.names], "Mean"),
        (
            Column("Accuracy, %", "share of the test images answered like the label."),
            [percent_cell(value) for value in values["accuracy"]],
            bare_percent(values["mean_accuracy"]),
        ),
        (
            Column("Over majority, points", "accuracy minus that of always giving the commoner answer; the tick is 0."),
            [_gain_cell(gain, low, high) for gain in gains],
            percentage_points(mean_of_defined(gains)),
        ),
        (
            Column(
                "Balanced accuracy, %", "mean of the accuracies on images with and without it; bar from 50, guessing."
            ),
            [percent_cell(value, Meter(max(value, 0.5), start=0.5, low=0.5)) for value in values["balanced_accuracy"]],
            bare_percent(values["mean_balanced_accuracy"]),
        ),
        (
            Column("F1", "harmonic mean of precision and recall; 1 is perfect, – means no image has the label."),
            [Cell(decimal(value), value, None if np.isnan(value) else Meter(value)) for value in values["f1"]],
            decimal(values["mean_f1"]),
        ),
        (
            AVERAGE_PRECISION,
            [Cell(decimal(value), float(value)) for value in values["average_precision"]],
            decimal(values["mean_average_precision"]),
        ),
        (
            Column("Labelled, %", "share of the test images with the label."),
            [percent_cell(value, digits=1) for value in true],
            "",
        ),
        (
            Column(
                "Predicted, %",
                "share of the test images which the model says have it. The tick is how many do: a bar beyond it says "
                "yes too often.",
            ),
            [percent_cell(value, Meter(value, tick=at), digits=1) for value, at in zip(predicted, true, strict=True)],
            "",
        ),
        (
            Column("Threshold", "a score above it is a yes; saved with the model."),
            [Cell(decimal(value), value) for value in found],
            "",
        ),
    ]
    headings, cells, means = zip(*columns, strict=True)
    return Table(headings, tuple(zip(*cells, strict=True)), (tuple(map(Cell, means)),), sortable=True)


def _gain_cell(gain, low, high):
    tone = "bad" if gain < 0 else ""
    meter = None if np.isnan(gain) else Meter(gain, tick=0.0, low=low, high=high, tone=tone)
    return Cell(percentage_points(gain), float(gain), meter, tone)
