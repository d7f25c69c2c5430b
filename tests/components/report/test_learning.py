"""The learning section: generic over what the history has."""

import re

import numpy as np
import pytest

from components.report.learning import learning_section, validation_drawing, validation_figures
from components.tasks.reporting import History
from tests.components.page.page_checks import check
from tests.components.report import sample_run
from tests.components.report.sample_run import ATTRIBUTES, EMOTION, LANDMARKS, PARSING, artifacts, bound

STAGES = (("parsing alone", 2), ("landmarks alone", 2), ("emotion alone", 2), ("taking turns", 9))


def section(*tasks, **changed):
    run = artifacts(*tasks, **changed)
    found = learning_section(run)
    page = sample_run.page_of(run, found)
    check(page)
    return {figure.title: figure for figure in found.blocks[0].figures}, found, page


def test_one_task_has_its_losses_its_figure_and_its_curves():
    figures, found, page = section(ATTRIBUTES)
    assert list(figures)[:3] == ["Total loss", "Learning rate", "Validation"] and len(figures) == 6
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
    measured, errors = validation_figures(artifacts(PARSING, LANDMARKS, EMOTION, ATTRIBUTES))
    assert list(measured) == [
        "parsing mean F1", "landmarks NME", "emotion accuracy", "attributes accuracy",
    ]  # fmt: skip
    assert errors == {"landmarks NME"}


def test_a_task_whose_name_begins_with_anothers():
    mouth = bound("parsing_mouth", "segmentation", ("background", "lip"))
    epochs = [{"loss": 1.0, "val_parsing_mean_f1": 0.5, "val_parsing_mouth_mean_f1": 0.25}]
    measured, _ = validation_figures(artifacts(PARSING, mouth, epochs=epochs))
    assert {name: values.tolist() for name, values in measured.items()} == {
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


def panels(stages, **figures):
    epochs = [{"stage": name} for name, count in stages for _ in range(count)]
    measured = {name.replace("_", " "): np.asarray(values, float) for name, values in figures.items()}
    return validation_drawing(History(epochs), measured, {"NME"}).axes


def test_every_task_has_a_panel_with_the_stages_bounds_and_names():
    nme = np.concatenate([[1.4, 1.3, 0.2, 0.12, 0.4, 0.6], np.linspace(0.27, 0.07, 9)])
    axes = panels(STAGES, mean_F1=np.ones(15), NME=nme)
    assert [each.get_title(loc="left") for each in axes] == ["mean F1 (%)", "NME (%), lower is better, log scale"]
    for each in axes:
        assert [line.get_xdata()[0] for line in each.lines[1:]] == [2.5, 4.5, 6.5]
        assert each.lines[0].get_xdata().tolist() == list(range(1, 16))
    assert axes[1].lines[0].get_ydata()[0] == pytest.approx(140)
    assert [text.get_text() for text in axes[0].texts] == [
        f"{number} {name}" for number, (name, _) in enumerate(STAGES, start=1)
    ]
    assert [text.xy[0] for text in axes[0].texts] == [1.5, 3.5, 5.5, 11]
    tight = panels((("parsing alone", 2), ("landmarks", 2), ("turns", 100)), accuracy=np.ones(104))
    assert [text.get_text() for text in tight[0].texts] == ["1", "2", "3 turns"]


def test_one_stage_has_no_bounds():
    (axes,) = panels((("taking turns", 2),), NME=[0.2, 0.1])
    assert len(axes.lines) == 1 and not axes.texts
    assert axes.get_yscale() == "linear", "a halving needs no log scale"


@pytest.mark.parametrize("value", [np.nan, 0.0, 0.5])
def test_one_epoch_and_figures_that_are_undefined(value):
    epochs = [{"loss": value, "learning_rate": 0.1, "val_landmarks_nme": value, "val_emotion_accuracy": value}]
    assert "Validation" in section(LANDMARKS, EMOTION, epochs=epochs)[0]


def test_without_an_epoch_there_is_no_section():
    run = artifacts(LANDMARKS)
    run.training["epochs"] = []
    assert learning_section(run) is None
