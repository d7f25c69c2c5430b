"""The part of yes-or-no labels."""

import dataclasses

import numpy as np
import pytest

from components.page.formatting import percent
from components.tasks.multi_label.evaluation import majority_accuracy
from components.tasks.multi_label.report import answer, part, surest_mistakes, thresholds
from components.tasks.reporting import representative
from tests.components.page.page_checks import check
from tests.components.report import sample_run
from tests.components.report.sample_run import ATTRIBUTES, NAMES, artifacts, attribute_values, bound, made_sample


def table(run, anchor):
    """The cells' texts of a section's first table, and the table."""
    sections = {section.anchor: section for section in part(run.tasks[0], run).sections}
    shown = next(block for block in sections[anchor].blocks if hasattr(block, "rows"))
    return [[cell.text for cell in row] for row in shown.rows], shown


def test_the_table_has_a_row_for_every_label():
    values = attribute_values()
    rows, shown = table(artifacts(ATTRIBUTES), "attributes")
    assert [row[0] for row in rows] == [name.replace("_", " ") for name in NAMES]
    gains = values["accuracy"] - majority_accuracy(values)
    for index in (0, 4, 39):
        assert rows[index][1] == f"{100 * values['accuracy'][index]:.2f}"
        assert float(rows[index][2].replace("−", "-")) == pytest.approx(100 * gains[index], abs=0.006)
    assert [row[2].startswith("−") for row in rows] == (gains < 0).tolist()
    assert shown.footer[0][1].text == f"{100 * values['mean_accuracy']:.2f}"
    assert rows[0][8] == "−0.200", "the threshold as served"


def test_the_headlines_stand_beside_the_majority():
    values = attribute_values()
    found = part(ATTRIBUTES, artifacts(ATTRIBUTES)).headlines
    shares = (values["mean_accuracy"], values["mean_balanced_accuracy"], 0.6251)
    assert [found[index].value for index in (0, 1, 3)] == [percent(share) for share in shares]
    assert percent(float(np.mean(majority_accuracy(values)))) in found[0].meaning and found[0].tone == "good"
    worse = artifacts(ATTRIBUTES, values={"attributes": values | {"mean_accuracy": 0.7}})
    headline = part(ATTRIBUTES, worse).headlines[0]
    assert headline.tone == "bad" and "points below it" in headline.meaning


def test_what_is_never_said_comes_first():
    values = attribute_values()
    silent = {name: counts.copy() for name, counts in values.items() if name.startswith(("true_", "false_"))}
    for index in (4, 22):  # Bald and Mustache
        silent["false_negatives"][index] += silent["true_positives"][index]
        silent["true_negatives"][index] += silent["false_positives"][index]
        silent["true_positives"][index] = silent["false_positives"][index] = 0
    first = part(ATTRIBUTES, artifacts(ATTRIBUTES, values={"attributes": values | silent})).headlines[0]
    assert (first.value, first.label, first.tone) == ("2 of 40", "Attributes: never said", "bad")
    assert "Bald, Mustache" in first.meaning
    assert "never said" not in part(ATTRIBUTES, artifacts(ATTRIBUTES)).headlines[0].label


def test_gaps_for_programs():
    high, moods = attribute_values(), ("happy", "sad", "calm")
    low = high | {"accuracy": high["accuracy"] - 0.136, "mean_accuracy": high["mean_accuracy"] - 0.136}
    values = {("attributes", "Male"): high, ("attributes", "not Male"): low}
    values |= {("attributes", mood): high for mood in moods}
    run = artifacts(ATTRIBUTES, slices={"Male": ("Male", "not Male"), "mood": moods}, values=values)
    metrics = part(ATTRIBUTES, run).metrics
    assert metrics["attributes accuracy gap Male"] == pytest.approx(0.136)
    assert metrics["attributes accuracy gap mood"] is None, "three sides have no gap"


def test_two_tasks_of_the_kind_have_addresses_of_their_own():
    tags = bound("tags", "multi_label", ("Hat", "Tie"), "web")
    run = artifacts(ATTRIBUTES, tags, values={"tags": attribute_values(rates=np.array([0.2, 0.5]))})
    sections = check(sample_run.whole_page(run)).sections
    assert {"attributes", "attributes-mistakes", "tags", "tags-mistakes"} <= set(sections)


def test_the_surest_mistakes_come_first():
    run = artifacts(ATTRIBUTES)
    limits, mistakes = thresholds(ATTRIBUTES, run), surest_mistakes(ATTRIBUTES, run)
    margins = [abs(sample.outputs["attributes"][index] - limits[index]) for sample, index in mistakes]
    assert len(mistakes) == 6 and margins == sorted(margins, reverse=True)
    for sample, index in mistakes:
        assert sample.outputs["attributes_decisions"][index] != sample.record.labels["attributes"][index]


def test_an_answer_has_a_chip_for_every_yes_and_its_score():
    task = bound("tags", "multi_label", "abcde")
    values = {"tags": attribute_values(rates=np.full(5, 0.5))}
    run = artifacts(task, values=values, contract={"tags_decisions": {"thresholds": [0.5] * 5}})
    outputs = {"tags": np.array([0.9, 0.1, 0.7, 0.0, 0.8]), "tags_decisions": np.array([1, 0, 1, 0, 1])}
    sample = dataclasses.replace(made_sample(0, "celeb_a", [task]), outputs=outputs)
    sample.record.labels["tags"] = np.array([1, 1, 0, 0, -1])
    shown = answer(task, sample, run)
    assert [(chip.symbol, chip.text) for chip in shown.chips] == [("−", "b"), ("+", "c"), ("✓", "a"), ("?", "e")]
    assert shown.chips[0].meaning == "score 0.10, threshold 0.50"
    assert shown.text == "2 of 4 right" and len(shown.legend) == 4, "the fifth is not annotated"
    del sample.record.labels["tags"]
    shown = answer(task, sample, run)
    assert [chip.symbol for chip in shown.chips] == ["?"] * 3


def test_curves_of_what_moved():
    run = artifacts(ATTRIBUTES)
    shown = part(ATTRIBUTES, run).curves
    assert len(shown) == 3 and ">Young</text>" in shown[0].markup
    fixed = {"attributes_weights": [1.0] * 40, "attributes_thresholds": [0.5] * 40}
    still = artifacts(ATTRIBUTES, epochs=[epoch | fixed for epoch in run.history.epochs])
    assert [figure.title for figure in part(ATTRIBUTES, still).curves] == [shown[0].title]
    assert representative(NAMES) == [NAMES.index("Mouth_Slightly_Open"), NAMES.index("Young")]
    assert representative("abc") == [0, 2]


@pytest.mark.parametrize("count", [0, 5])
def test_one_label_and_figures_that_are_undefined(count):
    task = bound("tags", "multi_label", ("Hat",))
    values = {"tags": attribute_values(count=count, rates=np.zeros(1))}
    run = artifacts(task, values=values, epochs=[{"loss": 1.0, "tags_losses": [1.0]}])
    assert "tags" in check(sample_run.whole_page(run)).sections


def test_names_from_outside_are_escaped():
    nasty = "<img src=http://x.example/>"
    page = sample_run.whole_page(artifacts(bound("attributes", "multi_label", (nasty, *NAMES[1:]), nasty)))
    assert check(page).text.count(nasty) >= 3
    assert "<img src=http" not in page
