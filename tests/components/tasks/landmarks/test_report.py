"""The part of landmarks."""

import dataclasses

import numpy as np
import pytest

from components.page.formatting import percent
from components.tasks.landmarks.report import answer, part
from tests.components.page.page_checks import check
from tests.components.report import sample_run
from tests.components.report.sample_run import LANDMARKS, artifacts, landmark_values, made_sample


def section(task=LANDMARKS, **changed):
    run = artifacts(task, **changed)
    found = part(task, run)
    page = sample_run.page_of(run, *found.sections)
    return found, page, check(page)


def test_every_landmark_has_its_error_and_its_failure_rate():
    found, _, reader = section()
    values = landmark_values()
    table = found.sections[0].blocks[0]
    for index, name in enumerate(("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")):
        row = [name, f"{100 * values['point_nme'][index]:.2f}", f"{100 * values['point_failure_rate'][index]:.2f}"]
        assert [cell.text for cell in table.rows[index]] == row
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


def test_iterations_have_columns_and_the_first_is_ticked():
    found, _, _ = section(iterations=(0, 1, 2))
    values = [landmark_values(number) for number in range(3)]
    row = found.sections[0].blocks[0].rows[2]
    expected = [each[metric][2] for metric in ("point_nme", "point_failure_rate") for each in values]
    assert [cell.text for cell in row] == ["nose", *(f"{100 * value:.2f}" for value in expected)]
    first, last = row[1], row[3]
    assert (last.meter.end, last.meter.tick) == (last.sort, first.sort) and first.meter is None
    # The first is the worst: its ticks must not stand outside.
    assert last.meter.high == max(values[0]["point_nme"])


def test_one_iteration_is_no_comparison():
    assert "iteration" not in section(iterations=(0,))[2].text.lower()


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
