"""The part of landmarks."""

import dataclasses
import re

import numpy as np
import pytest

from components.page.formatting import percent
from components.tasks.landmarks.report import answer, part
from tests.components.page.page_checks import check
from tests.components.report import sample_run
from tests.components.report.sample_run import LANDMARKS, artifacts, bound, landmark_values, made_sample


def section(task=LANDMARKS, **changed):
    run = artifacts(task, **changed)
    found = part(task, run)
    page = sample_run.page_of(run, *found.sections)
    return found, page, check(page)


def test_every_landmark_has_its_error_and_its_failure_rate():
    found, page, reader = section()
    values = landmark_values()
    table = found.sections[0].blocks[1]
    for index, name in enumerate(("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")):
        row = [name, f"{100 * values['point_nme'][index]:.2f}", f"{100 * values['point_failure_rate'][index]:.2f}"]
        assert [cell.text for cell in table.rows[index]] == row
        assert page.count(f">{name}</text>") == 2, "in both figures"
    foot = [f"{100 * values['nme']:.2f}", f"{100 * values['failure_rate']:.2f}"]
    assert [cell.text for cell in table.footer[0]][1:] == foot
    assert [each.value for each in found.headlines] == [percent(values["nme"]), percent(values["failure_rate"])]
    assert "the 2,995 test images of mtfl, 5 points each" in found.headlines[0].meaning
    assert "iteration" not in reader.text.lower()


def test_an_annotators_landmarks_are_said_to_be():
    run = artifacts(LANDMARKS)
    assert "annotator" not in part(LANDMARKS, run).headlines[0].meaning
    data = dataclasses.replace(run.experiment.data, annotate_landmarks="landmarks")
    run = dataclasses.replace(run, experiment=dataclasses.replace(run.experiment, data=data))
    assert "annotator" in part(LANDMARKS, run).headlines[0].meaning


def test_iterations_have_columns_and_the_first_a_line_in_the_figures():
    found, page, _ = section(iterations=(0, 1, 2))
    values = [landmark_values(number) for number in range(3)]
    row = [cell.text for cell in found.sections[0].blocks[1].rows[2]]
    expected = [each[metric][2] for metric in ("point_nme", "point_failure_rate") for each in values]
    assert row == ["nose", *(f"{100 * value:.2f}" for value in expected)]
    assert page.count(">iteration 0</text>") == page.count(">iteration 2</text>") == 2
    assert ">iteration 1</text>" not in page
    # The first is the worst: its lines must not stand outside.
    figure = re.search(r'<svg [^>]*aria-label="Landmarks: Error of each landmark".*?</svg>', page, re.DOTALL)[0]
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', figure)[1])
    marks = [float(x) for x in re.findall(r'<use xlink:href="[^"]*" x="([\d.]+)"', figure)]
    assert marks and max(marks) < width


def test_one_iteration_is_no_comparison():
    assert "iteration" not in section(iterations=(0,))[2].text.lower()


def test_numbered_landmarks_are_folded_away():
    task = bound("landmarks", "landmarks", map(str, range(1, 69)), "mtfl")
    _, page, reader = section(task, values={"landmarks": landmark_values(points=68)})
    assert reader.count("details") == 1
    assert reader.count("figure", cls="wide") == 2
    assert page.count(">68</text>") == 2


def test_nothing_was_measured():
    found, _, _ = section(values={"landmarks": landmark_values(count=0)})
    assert found.headlines[0].value == "–"
    assert set(found.details["landmarks point NME"].values()) == {None}


def test_figures_for_programs():
    details = section()[0].details["landmarks point NME"]
    assert details == pytest.approx(dict(zip("12345", landmark_values()["point_nme"], strict=True)))


def test_an_answer_is_points_and_where_they_should_be():
    sample = made_sample(0, "mtfl", [LANDMARKS])
    shown = answer(LANDMARKS, sample, None)
    assert shown.points is sample.outputs["landmarks"]
    np.testing.assert_array_equal(shown.true_points, sample_run.FIVE_POINTS)
    shown = answer(LANDMARKS, made_sample(0, "another", [LANDMARKS]), None)
    assert shown.true_points is None
