"""Test images with what every task answers."""

import re

import pytest

from components.report.gallery import gallery_section
from tests.components.page.page_checks import check
from tests.components.report import sample_run
from tests.components.report.sample_run import ATTRIBUTES, EMOTION, LANDMARKS, PARSING, artifacts, bound


def gallery(*tasks, **changed):
    run = artifacts(*tasks, **changed)
    page = sample_run.page_of(run, gallery_section(run))
    return page, check(page)


@pytest.fixture(scope="module")
def whole():
    return gallery(PARSING, LANDMARKS, EMOTION)


def cards(page, dataset):
    return re.findall(rf'<article class="card">(?:(?!</article>).)*<h4>{dataset}-.*?</article>', page, re.DOTALL)


def panes(card):
    return re.findall(r"<p>([^<]*)</p></div>", card)


def test_images_are_grouped_by_data_set_with_what_is_annotated(whole):
    page, reader = whole
    assert reader.count("article") == 12
    assert re.findall(r"<h3>(\w+)</h3>", page) == ["helen", "mtfl", "fer2013"]
    assert re.findall(r"Its labels: (\w+)\.", page) == ["parsing", "landmarks", "emotion"]
    assert page.index("<h3>mtfl</h3>") < page.index("mtfl-0.jpg") < page.index("<h3>fer2013</h3>")


def test_a_card_has_every_tasks_answer_and_the_labels_that_there_are(whole):
    helen, mtfl, fer2013 = (cards(whole[0], dataset) for dataset in ("helen", "mtfl", "fer2013"))
    assert panes(helen[0]) == ["landmarks", "parsing", "parsing by the label"]
    assert panes(mtfl[0]) == panes(fer2013[0]) == ["landmarks", "parsing"]
    marks = [re.findall(r'<circle class="(\w+)"', card) for card in (helen[0], mtfl[0], fer2013[0])]
    assert marks == [["predicted"] * 5, ["given"] * 5 + ["predicted"] * 5, ["predicted"] * 5]
    chips = [re.search(r'<li class="chip (\w*)"><b>(.)</b>', card).groups() for card in fer2013]
    assert chips == [("bad", "✗"), ("good", "✓"), ("bad", "✗"), ("good", "✓")]
    assert '<li class="chip "><b>?</b>' in helen[0]


def test_the_legend_comes_once_and_the_switch_is_for_all_images(whole):
    page = whole[0]
    assert page.count('class="overlay-switch"') == page.count('class="chips legend"') == 1
    legend = re.search(r'<ul class="chips legend">.*?</ul>', page, re.DOTALL)[0]
    assert legend.count("<i style=") == len(sample_run.CLASSES) + 1, "and pixels without a class"
    assert re.findall(r"<b>(.)</b>", legend) == ["?", "✗", "✓"]


def test_one_data_set_needs_no_headings_and_shows_more():
    points = bound("landmarks", "landmarks", LANDMARKS.names, "celeb_a")
    page, reader = gallery(ATTRIBUTES, points)
    assert reader.count("article") == 12 and "<h3>" not in page
    assert page.count('<circle class="predicted"') == 12 * 5
    assert len(re.findall(r"attributes: \d+ of 40 right", page)) == 12


def test_a_task_with_a_gallery_of_its_own_needs_no_other():
    assert gallery_section(artifacts(PARSING)) is None
    assert gallery_section(artifacts(EMOTION)) is not None
    assert gallery_section(artifacts(PARSING, EMOTION)) is not None
    assert gallery_section(artifacts(EMOTION, samples={"fer2013": ()})) is None


def test_tasks_without_points_have_no_switch():
    page, _ = gallery(EMOTION)
    assert 'overlay-switch"' not in page and "<circle" not in page


def test_few_landmarks_have_larger_marks_than_many():
    many = bound("landmarks", "landmarks", map(str, range(68)), "mtfl")
    sizes = []
    for task in (LANDMARKS, many):
        found = sample_run.evaluation((LANDMARKS,))
        sizes.append(float(re.search(r'<circle [^>]*r="([\d.]+)"', gallery(task, evaluation=found)[0])[1]))
    assert sizes[0] > 1.5 * sizes[1]


def test_names_from_outside_are_escaped():
    nasty = "<img src=http://x.example/>'Zoë'"
    mood = bound("emotion", "classification", [nasty] * 7, nasty)
    page, reader = gallery(mood, LANDMARKS)
    assert reader.text.count(nasty) >= 5
    assert "<img src=http" not in page
