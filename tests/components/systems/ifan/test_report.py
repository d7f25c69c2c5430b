"""Every task's figures by iteration."""

from dataclasses import replace

import numpy as np
import pytest

from components.page import figures
from components.systems.ifan.report import interaction_parts, iterations_section
from components.tasks.figures import Figure
from tests.components.page.page_checks import check
from tests.components.report import sample_run
from tests.components.report.sample_run import EMOTION, LANDMARKS, PARSING, artifacts, emotion_values, landmark_values

SYSTEM = "components.systems.ifan.system.IFANSystem"


NME, ACCURACY = Figure("NME", 0.2, higher_is_better=False), Figure("accuracy", 0.5)


def with_values(nme, accuracy):
    return {"NME": replace(NME, value=nme), "accuracy": replace(ACCURACY, value=accuracy)}


def rows(section):
    return [[cell.text for cell in row] for row in section.blocks[0].rows]


def test_the_table_has_every_figure_by_iteration_with_its_change():
    run = artifacts(PARSING, LANDMARKS, EMOTION, iterations=(0, 1, 2), system=SYSTEM)
    (part,) = interaction_parts(run)
    by_name = {row[0]: row[1:] for row in rows(part.sections[0])}
    nme = [landmark_values(number)["nme"] for number in range(3)]
    changes = [f"−{100 * (nme[0] - value):.2f}" for value in nme[1:]]
    assert by_name["landmarks NME (%), lower is better"] == [
        f"{100 * nme[0]:.2f}", f"{100 * nme[1]:.2f}", changes[0], f"{100 * nme[2]:.2f}", changes[1],
    ]  # fmt: skip
    assert {"parsing mean F1 (%)", "parsing overall F1 (%)", "emotion accuracy (%)"} <= set(by_name)
    assert list(part.details) == ["iteration 0", "iteration 1", "iteration 2"]
    assert part.details["iteration 1"]["emotion accuracy"] == emotion_values(1)["accuracy"]


def test_only_what_is_worse_is_marked():
    better, worse = with_values(0.2, 0.5), with_values(0.3, 0.4)
    for first, second, tone in ((better, worse, "bad"), (worse, better, "quiet")):
        table = iterations_section({0: first, 1: second}).blocks[0]
        assert [row[3].tone for row in table.rows] == [tone, tone]


def test_in_the_figure_up_is_better_for_all(monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "line_chart", lambda *args, **options: drawn.append(args) or "")
    iterations_section({0: with_values(0.2, 0.5), 1: with_values(0.15, 0.4)})
    ((_, x, lines, *_),) = drawn
    assert x.tolist() == [0, 1]
    assert {line.name: line.y[-1] for line in lines} == pytest.approx({"NME": 5, "accuracy": -10})


def test_a_figure_that_an_iteration_lacks_is_a_dash():
    first = {"overall F1": Figure("overall F1", 0.5)}
    found = iterations_section({0: first, 1: {"accuracy": ACCURACY, "overall F1": Figure("overall F1", np.nan)}})
    assert rows(found) == [["overall F1 (%)", "50.00", "–", "–"], ["accuracy (%)", "–", "50.00", "–"]]


def test_a_figure_that_is_no_share_has_its_own_unit_and_is_not_in_the_chart():
    """6 and 5 years are no 600 and 500 %."""
    first, second = ({"age error": Figure("age error", value, False, share=False)} for value in (6.0, 5.0))
    found = iterations_section({0: first, 1: second})
    assert rows(found) == [["age error, lower is better", "6.00", "5.00", "−1.00"]]
    assert len(found.blocks) == 1
    found = iterations_section({0: first | with_values(0.2, 0.5), 1: second | with_values(0.1, 0.5)})
    drawn = found.blocks[1].figures[0].markup
    assert ">accuracy</text>" in drawn and ">age error</text>" not in drawn


def test_one_iteration_is_no_section_but_a_detail():
    (part,) = interaction_parts(artifacts(LANDMARKS, iterations=(0,), system=SYSTEM))
    assert not part.sections and list(part.details) == ["iteration 0"]


def test_the_whole_page_of_three_tasks():
    page = sample_run.whole_page(artifacts(PARSING, LANDMARKS, EMOTION, iterations=(0, 1, 2), system=SYSTEM))
    assert check(page).sections == [
        "result", "predictions", "parsing-images", "parsing-classes", "landmarks", "emotion", "emotion-scores",
        "iterations", "learning", "data", "card", "run",
    ]  # fmt: skip
    assert len(page) < 2_000_000
