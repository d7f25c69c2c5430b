"""The section of landmarks as a task of their own."""

import dataclasses
import re

import numpy as np
import pytest
import sample_data
from page_checks import check

from components.report import landmark_part, run_page
from components.report.common import percent


def render(results, iterations=None):
    page = run_page(sample_data.run(), [landmark_part(results, iterations)]).render()
    return page, check(page)


def shown(share, digits=2):
    return percent(share, digits).replace("\u00a0", " ")


def by_iteration(count=3, names=sample_data.POINTS):
    return {iteration: sample_data.landmark_results(iteration, names) for iteration in range(count)}


def test_the_headline_says_its_unit_and_its_data_set():
    results = sample_data.landmark_results(0)
    _, reader = render(results)
    assert f"Landmark error (NME) {shown(results.nme)} of the distance between the eyes" in reader.text
    assert "the mean over the 2,995 test pictures of mtfl, 5 points each" in reader.text
    assert f"Landmark failure rate {shown(0.18)} of the 2,995 test pictures of mtfl" in reader.text
    assert "over 10 % of the distance between the eyes" in reader.text
    assert reader.sections == ["result", "landmarks", "run"]


def test_every_landmark_has_its_error_and_its_failure_rate():
    results = sample_data.landmark_results(0)
    page, reader = render(results)
    for index, name in enumerate(results.point_names):
        row = f"{name} {100 * results.point_nme[index]:.2f} {100 * results.point_failure_rate[index]:.2f}"
        assert row in reader.text
        assert page.count(f">{name}</text>") == 2, "in both figures"
    assert f"All landmarks {100 * results.nme:.2f} 18.00" in reader.text
    assert {"NME (% of the distance between the eyes)", "failure rate (% of the pictures)"} <= set(
        re.findall(r"<text[^>]*>([^<]*)</text>", page)
    )
    assert "Left and right are the picture's sides" in reader.text
    assert "iteration" not in reader.text.lower()


def test_iterations_have_columns_and_the_first_a_line_in_the_figures():
    results = by_iteration()
    page, reader = render(results[2], results)
    nme = " ".join(f"{100 * results[i].point_nme[2]:.2f}" for i in range(3))
    failures = " ".join(f"{100 * results[i].point_failure_rate[2]:.2f}" for i in range(3))
    assert f"nose {nme} {failures}" in reader.text
    assert page.count(">iteration 0</text>") == page.count(">iteration 2</text>") == 2
    assert ">iteration 1</text>" not in page
    assert reader.text.count("before any prediction was fed back") == 2
    assert "Table 1 of the iFAN paper" in reader.text


def test_one_iteration_is_no_comparison():
    _, reader = render(sample_data.landmark_results(0), by_iteration(1))
    assert "iteration" not in reader.text.lower()


def test_the_figures_have_room_for_the_first_iteration():
    """It is the worst: its lines must not stand outside."""
    results = by_iteration()
    page, _ = render(results[2], results)
    figure = re.search(r'aria-label="Error of each landmark".*?</svg>', page, re.DOTALL)[0]
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', re.search(r"<svg [^>]*Error of each[^>]*>", page)[0])[1])
    marks = [float(x) for x in re.findall(r'<use xlink:href="[^"]*" x="([\d.]+)"', figure)]
    assert marks and max(marks) < width


def test_numbered_landmarks_are_folded_away():
    names = tuple(str(point) for point in range(1, 69))
    page, reader = render(sample_data.landmark_results(0, names))
    assert reader.count("details") == 1
    assert "The figures of all 68 landmarks" in reader.text
    assert "Left and right" not in reader.text
    assert reader.count("figure", cls="wide") == 2
    assert page.count(">68</text>") == 2


def test_nothing_was_measured():
    nan = np.full(5, np.nan)
    results = dataclasses.replace(
        sample_data.landmark_results(), count=0, nme=np.nan, failure_rate=np.nan, point_nme=nan, point_failure_rate=nan
    )
    _, reader = render(results, {0: results, 1: results})
    assert "Landmark error (NME) –" in reader.text
    assert landmark_part(results).figures == {"landmark NME": None, "landmark failure rate": None}


def test_figures_for_programs():
    results = sample_data.landmark_results(0)
    part = landmark_part(results, by_iteration())
    assert part.figures == {"landmark NME": results.nme, "landmark failure rate": 0.18}
    assert part.details == {"point NME": dict(zip(sample_data.POINTS, results.point_nme, strict=True))}
    assert part.count == 2995


def test_names_from_outside_are_escaped():
    nasty = "<img src=http://x.example/>'Zoë'"
    names = (nasty, "<b>nose</b>", *sample_data.POINTS[2:])
    results = dataclasses.replace(sample_data.landmark_results(0, names), dataset=nasty)
    page, reader = render(results, by_iteration(2, names))
    assert reader.text.count(nasty) >= 4
    assert "<img src=http" not in page and "<b>nose" not in page


def test_wrong_shapes_are_refused_with_both_shapes():
    results = sample_data.landmark_results()
    with pytest.raises(ValueError, match=r"LandmarkResults.point_nme should have shape \[5\], got \[4\]"):
        dataclasses.replace(results, point_nme=results.point_nme[:4])
