"""The learning section: generic over what the history has."""

import re

import numpy as np
import pytest

from components.report.learning import learning_section, validation_figures
from components.report.run_page import parts_of
from components.tasks.reporting import History
from tests.components.page.page_checks import check
from tests.components.report import sample_run
from tests.components.report.sample_run import AGE, ATTRIBUTES, EMOTION, LANDMARKS, PARSING, artifacts, bound

STAGES = (("parsing alone", 2), ("landmarks alone", 2), ("emotion alone", 2), ("taking turns", 9))


def section(*tasks, **changed):
    run = artifacts(*tasks, **changed)
    found = learning_section(run, parts_of(run))
    page = sample_run.page_of(run, found)
    check(page)
    return {figure.title: figure for figure in found.blocks[0].figures}, found, page


def test_one_task_has_its_losses_its_figure_and_its_curves():
    figures, found, page = section(ATTRIBUTES)
    assert list(figures)[:3] == ["Total loss", "Learning rate", "Validation: attributes accuracy"] and len(figures) == 6
    assert ">attributes accuracy (%)</text>" in page
    assert {"validation", "training"} <= set(re.findall(r"<text[^>]*>([^<]*)</text>", figures["Total loss"].markup))
    assert "over 15 epochs" in found.lead and "stages" not in found.lead


def test_the_terms_of_the_loss():
    epochs = [{"loss": 1.0, "val_loss": 1.5, "val_parsing_loss": 1.0, "val_binary_edge_loss": 0.5}] * 3
    figures, _, _ = section(PARSING, epochs=epochs)
    names = re.findall(r"<text[^>]*>([^<]*)</text>", figures["What the loss is made of"].markup)
    assert {"parsing loss", "binary edge loss"} <= set(names)
    assert list(figures) == ["Total loss", "What the loss is made of"], "no figure of validation"


def test_every_tasks_figure_by_its_title():
    measured = validation_figures(artifacts(PARSING, LANDMARKS, EMOTION, ATTRIBUTES))
    assert list(measured) == [
        "parsing mean F1", "landmarks NME", "emotion accuracy", "attributes accuracy",
    ]  # fmt: skip
    assert [each.higher_is_better for each in measured.values()] == [True, False, True, True]
    assert all(each.share for each in measured.values())


def test_an_error_in_the_labels_unit_is_no_share():
    """5 years are no 500 %."""
    epochs = [{"loss": 1.0, "val_age_mean_absolute_error": error} for error in (7.0, 5.0)]
    run = artifacts(AGE, epochs=epochs)
    (measured,) = validation_figures(run).values()
    assert not measured.share and not measured.higher_is_better and measured.values.tolist() == [7, 5]
    page = sample_run.page_of(run, learning_section(run, ()))
    written = re.findall(
        r"<text[^>]*>([^<]*)</text>", page[page.index("<h3>Validation: age mean absolute error</h3>") :]
    )
    assert "age mean absolute error, lower" in written and not [text for text in written if "%" in text]
    ticks = [float(text) for text in written if re.fullmatch(r"[\d.]+", text)]
    assert 5 <= max(ticks) <= 8


def test_a_task_whose_name_begins_with_anothers():
    mouth = bound("parsing_mouth", "segmentation", ("background", "lip"))
    epochs = [{"loss": 1.0, "val_parsing_mean_f1": 0.5, "val_parsing_mouth_mean_f1": 0.25}]
    measured = validation_figures(artifacts(PARSING, mouth, epochs=epochs))
    assert {name: each.values.tolist() for name, each in measured.items()} == {
        "parsing mean F1": [0.5], "parsing_mouth mean F1": [0.25],
    }  # fmt: skip


def test_stages_are_bounds_in_the_figures_and_named_with_their_epochs():
    figures, found, page = section(PARSING, LANDMARKS, EMOTION, stages=STAGES)
    alone = "1 parsing alone (2 epochs), 2 landmarks alone (2 epochs), 3 emotion alone (2 epochs)"
    assert f"{alone}, 4 taking turns (9 epochs)" in found.lead.replace("\u00a0", " ")
    assert page.count("stroke-dasharray: 3.6") >= 3 * 5
    assert "can't be compared" in figures["Total loss"].caption
    # Widening has two stages, which lower the same loss.
    epochs = [epoch | {"val_loss": 1.0} for epoch in sample_run.epochs((ATTRIBUTES,), stages=STAGES)]
    assert "can't be compared" not in section(ATTRIBUTES, epochs=epochs)[0]["Total loss"].caption


def test_bounds_worked_by_hand():
    history = History([{"stage": name} for name in "aabbbc"])
    assert history.stages == (("a", 2), ("b", 3), ("c", 1))
    assert history.bounds == [2.5, 5.5]
    assert History([{"loss": 1.0}]).stages == () and History([{"loss": 1.0}]).bounds == []


def test_what_an_epoch_lacks_is_a_gap():
    history = History([{"a": 1}, {"b": [1, 2]}, {"a": 3}])
    np.testing.assert_array_equal(history.column("a"), [1, np.nan, 3])
    np.testing.assert_array_equal(history.column("b"), [[np.nan] * 2, [1, 2], [np.nan] * 2])
    assert history.column("c") is None


def test_every_task_has_a_chart_with_the_stages_bounds():
    figures, _, _ = section(PARSING, LANDMARKS, EMOTION, stages=STAGES)
    shown = [figures[f"Validation: {name}"] for name in ("parsing mean F1", "landmarks NME", "emotion accuracy")]
    for figure, label in zip(shown, ("parsing mean F1 (%)", "landmarks NME (%)", "emotion accuracy (%)"), strict=True):
        assert f">{label}" in figure.markup and figure.markup.count("stroke-dasharray: 3.6") == 3
    assert ["lower is" in figure.markup for figure in shown] == [False, True, False]
    assert "may get worse" in shown[0].caption and not shown[1].caption, "said once"
    assert "may get worse" not in section(PARSING)[0]["Validation: parsing mean F1"].caption


@pytest.mark.parametrize("value", [np.nan, 0.0, 0.5])
def test_one_epoch_and_figures_that_are_undefined(value):
    epochs = [{"loss": value, "learning_rate": 0.1, "val_landmarks_nme": value, "val_emotion_accuracy": value}]
    assert "Validation: landmarks NME" in section(LANDMARKS, EMOTION, epochs=epochs)[0]


def test_a_training_that_diverged_at_once_has_its_section():
    shown, _, _ = section(LANDMARKS, epochs=[{"loss": np.nan, "val_loss": np.nan}] * 2)
    assert list(shown) == ["Total loss"]


def test_without_an_epoch_there_is_no_section():
    run = artifacts(LANDMARKS)
    run.training["epochs"] = []
    assert learning_section(run, ()) is None
