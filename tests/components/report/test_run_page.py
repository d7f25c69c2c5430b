"""A page of whatever tasks a run has."""

import dataclasses

import sample_data
from page_checks import check

from components.report import attribute_part, parsing_part, run_page
from components.report.page import Number, Section
from components.report.run_page import Part


def test_a_run_with_both_tasks_shows_both():
    attributes = {key: sample_data.whole_report()[key] for key in ("results", "slices", "pictures", "attention")}
    parsing = {key: sample_data.whole_parsing_report()[key] for key in ("results", "pictures", "edges")}
    both = dataclasses.replace(
        sample_data.parsing_history(),
        names=sample_data.NAMES,
        attribute_losses=sample_data.history().attribute_losses,
    )
    parts = [attribute_part(**attributes), parsing_part(**parsing)]
    reader = check(run_page(sample_data.run(), parts, history=both).render())
    assert reader.sections == [
        "result", "predictions", "attention", "attributes", "fairness", "parsed-pictures", "classes", "edges",
        "learning", "run",
    ]  # fmt: skip
    for words in ("Mean accuracy", "Mean F1 without background", "Validation loss of the attributes", "Mean F1 on val"):
        assert words in reader.text
    assert not set(parts[0].figures) & set(parts[1].figures), "no figure has two meanings"


def test_another_task_is_another_part():
    number = Number("81.2 %", "Emotions", "of the faces are given the emotion that they are labelled with.")
    part = Part((number,), (Section("Emotions", "emotions", ()),))
    reader = check(run_page(sample_data.run(), [parsing_part(sample_data.parsing_results()), part]).render())
    assert reader.sections == ["result", "classes", "emotions", "run"]
    assert reader.text.index("Pixel accuracy") < reader.text.index("Emotions 81.2 %")


def test_a_run_that_nothing_is_known_of():
    assert "was not evaluated" in check(run_page(sample_data.run()).render()).text


def test_the_data_section_says_how_many_labels_a_teacher_gave():
    page = run_page(run=sample_data.run(), data=sample_data.data_summary()).render()
    assert "Labels that a teacher gave" in page
    assert "train: clothing" in page and "3,068" in page and "8,000" in page
