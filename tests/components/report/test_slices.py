"""Every task's figures by slice."""

import numpy as np
import pytest

from components.page.page import Heading, Note, Table
from components.report.slices import slices_section
from components.tasks.multi_label.evaluation import mistakes
from tests.components.page.page_checks import check
from tests.components.report import sample_run
from tests.components.report.sample_run import (
    AGE,
    ATTRIBUTES,
    EMOTION,
    age_values,
    artifacts,
    attribute_values,
    bound,
    emotion_values,
)

SIDES = {"Male": ("Male", "not Male"), "Eyeglasses": ("Eyeglasses", "not Eyeglasses")}
COUNTS = {"Male": 411, "not Male": 587, "Eyeglasses": 66, "not Eyeglasses": 932}
MOODS = ("happy", "sad", "calm")
MOOD_COUNTS = dict(zip(MOODS, (500, 400, 98), strict=True))


def sliced(*tasks, slices=SIDES, counts=COUNTS, **values):
    """A run whose evaluation has slices; `values` of a task, by slice."""
    made = {(name, side): of for name, by_side in values.items() for side, of in by_side.items()}
    return artifacts(*tasks, slices=slices, counts=counts, values=made)


def blocks(run, kind):
    section = slices_section(run)
    check(sample_run.page_of(run, section))
    return [block for block in section.blocks if isinstance(block, kind)]


def rows(table):
    return [[cell.text for cell in row] for row in table.rows]


def test_without_slices_there_is_no_section():
    assert slices_section(artifacts(ATTRIBUTES, AGE)) is None
    assert "fairness" not in check(sample_run.whole_page(artifacts(ATTRIBUTES))).sections


def test_gaps_are_signed_and_the_largest_comes_first():
    high = attribute_values()
    low = high | {"accuracy": high["accuracy"] - 0.136, "mean_accuracy": high["mean_accuracy"] - 0.136}
    values = {"Eyeglasses": low, "not Eyeglasses": low, "Male": high, "not Male": low}
    run = sliced(ATTRIBUTES, attributes=values)
    table, _ = blocks(run, Table)
    accuracies = [f"{100 * each['mean_accuracy']:.2f}" for each in (high, low)]
    assert rows(table) == [
        ["Male", "411 / 587", *accuracies, "+13.60", "+12.12 to +15.08", "+0.00", "−1.48 to +1.48"],
        ["Eyeglasses", "66 / 932", accuracies[1], accuracies[1], *["+0.00", "−1.48 to +1.48"] * 2],
    ]
    # By hand: 2.093 · √(0.5² + 0.5²) = 1.48 points to both sides.
    assert [row[4].tone for row in table.rows] == ["bad", ""]
    assert [column.heading for column in table.columns[2:5]] == [
        "Attributes mean accuracy with, %", "Attributes mean accuracy without, %", "Gap, points",
    ]  # fmt: skip
    notes = [note.text for note in blocks(run, Note)]
    assert [("Male" in note, "Eyeglasses" in note) for note in notes] == [(True, False)] * 2 + [(False, True)], (
        "large; beyond chance; few"
    )
    assert "fairness" in check(sample_run.whole_page(run)).sections


def test_the_balanced_gap_is_over_what_is_defined_on_both_sides():
    """On one side nobody has a hat: the sides' own means, 80 % and 70 %, are over different labels."""
    task = bound("attributes", "multi_label", ("Hat", "Young"))
    values = attribute_values(rates=np.array([0.2, 0.5]))
    having = values | {"balanced_accuracy": np.array([0.9, 0.7]), "mean_balanced_accuracy": 0.8}
    lacking = values | {"balanced_accuracy": np.array([np.nan, 0.7]), "mean_balanced_accuracy": 0.7}
    run = sliced(task, slices={"Male": SIDES["Male"]}, attributes={"Male": having, "not Male": lacking})
    table, _ = blocks(run, Table)
    assert table.columns[6].heading == "Balanced gap, points" and rows(table)[0][6] == "+0.00"


def test_a_balanced_gap_beyond_chance_is_marked():
    values = attribute_values(rates=np.array([0.2, 0.5]))
    having = values | {"balanced_accuracy": np.array([0.8, 0.8]), "mean_balanced_accuracy": 0.8}
    lacking = values | {"balanced_accuracy": np.array([0.75, 0.75]), "mean_balanced_accuracy": 0.75}
    task = bound("attributes", "multi_label", ("Hat", "Young"))
    run = sliced(task, slices={"Male": SIDES["Male"]}, attributes={"Male": having, "not Male": lacking})
    ((*_, balanced, interval),) = blocks(run, Table)[0].rows
    assert (balanced.text, balanced.tone, interval.text) == ("+5.00", "bad", "+3.52 to +6.48")


def test_both_mistakes_have_a_row_for_each_slice_with_intervals():
    values = attribute_values()
    run = sliced(ATTRIBUTES, slices={"Male": SIDES["Male"]}, attributes={"Male": values, "not Male": values})
    _, table = blocks(run, Table)
    figures = mistakes(ATTRIBUTES, [values, values])[0]
    rates = [values[f"mean_false_{side}_rate"] for side in ("positive", "negative")]
    assert [figure.value for figure in figures] == pytest.approx(rates)
    cells = [
        text
        for figure in figures
        for text in (f"{100 * figure.value:.2f}", " to ".join(f"{100 * end:.2f}" for end in figure.interval))
    ]
    *sides, gap = rows(table)
    assert sides == [["Male", "411", *cells], ["not Male", "587", *cells]]
    assert gap[:3] == ["gap by Male", "", "+0.00"] and gap[4] == "+0.00"
    assert not blocks(run, Note)


def test_a_gap_of_mistakes_beyond_chance_is_marked():
    """Among those with a label half of what is rightly denied is said instead."""
    often, never = attribute_values(), attribute_values()
    parts = often["parts"].copy()
    count = (parts.shape[1] - 1) // 4
    moved = parts[:, 3 * count : -1] // 2
    parts[:, count : 2 * count] += moved
    parts[:, 3 * count : -1] -= moved
    run = sliced(
        ATTRIBUTES, slices={"Male": SIDES["Male"]}, attributes={"Male": often | {"parts": parts}, "not Male": never}
    )
    _, table = blocks(run, Table)
    gap = table.rows[2]
    assert gap[2].text.startswith("+") and gap[2].tone == "bad" and gap[4].tone == ""
    assert gap[3].text and blocks(run, Note)[-1].text.endswith("attributes mean false positive rate by Male.")


def test_a_gap_of_errors_is_in_their_own_unit():
    """5 and 8 years are a gap of 3 years, and no 300 points."""
    ages = {"Male": age_values(8.0), "not Male": age_values(5.0)}
    run = sliced(AGE, slices={"Male": SIDES["Male"]}, age=ages)
    (table,) = blocks(run, Table)
    assert rows(table) == [["Male", "411 / 587", "8.00", "5.00", "+3.00", "+2.99 to +3.01"]]
    headings = [column.heading for column in table.columns[2:]]
    assert headings == ["Age mean absolute error with", "Age mean absolute error without", "Gap", "95 % interval"]
    assert "lower is better" in table.columns[2].meaning
    (note,) = blocks(run, Note)
    assert "more than chance" in note.text, "no number of years is large in itself"


def test_a_slice_of_classes_has_a_row_for_each_with_the_headline_figures():
    emotions = {mood: emotion_values(number) for number, mood in enumerate(MOODS)}
    ages = {mood: age_values(5.0 + number) for number, mood in enumerate(MOODS)}
    run = sliced(EMOTION, AGE, slices={"mood": MOODS}, counts=MOOD_COUNTS, emotion=emotions, age=ages)
    by_emotion, by_age = blocks(run, Table)
    accuracies = [f"{100 * each['accuracy']:.2f}" for each in emotions.values()]
    images = [["happy", "500"], ["sad", "400"], ["calm", "98"]]
    assert [row[:3] for row in rows(by_emotion)] == [[*row, each] for row, each in zip(images, accuracies, strict=True)]
    errors = [("5.00", "4.99 to 5.01"), ("6.00", "5.99 to 6.01"), ("7.00", "6.99 to 7.01")]
    assert rows(by_age) == [[*row, *error] for row, error in zip(images, errors, strict=True)]
    headings = ["Mood", "Images", "Age mean absolute error", "95 % interval"]
    assert [column.heading for column in by_age.columns] == headings
    assert [heading.title for heading in blocks(run, Heading)] == ["Emotion", "Age"]
    assert [note.text for note in blocks(run, Note)] == [
        "Fewer than 100 images on one side (mood): one image moves its figures much."
    ]


def test_slices_of_another_data_set_say_nothing_of_a_task():
    nobody = age_values(count=0)
    attributes = {side: attribute_values(seed, COUNTS[side]) for seed, side in enumerate(COUNTS)}
    run = sliced(ATTRIBUTES, AGE, attributes=attributes, age=dict.fromkeys(COUNTS, nobody))
    headings = [heading.title for heading in blocks(run, Heading)]
    assert len(blocks(run, Table)) == 2 and headings == ["Both mistakes by slice"], "of the attributes alone"
    half = {"Male": age_values(5.0), "not Male": nobody}
    (table,) = blocks(sliced(AGE, slices={"Male": SIDES["Male"]}, age=half), Table)
    assert rows(table)[0][2:] == ["5.00", "–", "–", ""]


def test_names_from_outside_are_escaped():
    nasty = "<img src=http://x.example/>"
    values = {nasty: attribute_values(), f"not {nasty}": attribute_values(1)}
    counts = dict.fromkeys(values, 500)
    run = sliced(ATTRIBUTES, slices={nasty: tuple(values)}, counts=counts, attributes=values)
    page = sample_run.page_of(run, slices_section(run))
    assert nasty in check(page).text and "<img src=http" not in page
