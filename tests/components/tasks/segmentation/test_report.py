"""The part of label maps."""

import dataclasses
import re

import numpy as np
import pytest

from components.page.formatting import percent
from components.tasks.segmentation.report import (
    Parsed,
    answer,
    common_and_rare,
    costliest,
    parsed,
    part,
    telling,
)
from tests.components.page.page_checks import check
from tests.components.report import sample_run
from tests.components.report.sample_run import CLASSES, PARSING, artifacts, bound, made_sample, parsing_values, png


def section(task=PARSING, **changed):
    run = artifacts(task, **changed)
    found = part(task, run)
    page = sample_run.page_of(run, *found.sections)
    return found, page, check(page)


@pytest.fixture(scope="module")
def whole():
    return section()


def tables(found):
    """The cells' texts of the tables by class, by part and of confusions."""
    blocks = [block for block in found.sections[-1].blocks if hasattr(block, "rows")]
    return [[[cell.text for cell in row] for row in (*block.rows, *block.footer)] for block in blocks]


def test_the_headlines_say_class_set_resolution_and_averaging(whole):
    values, found = parsing_values(), whole[0].headlines
    names = ("mean_f1", "mean_iou", "pixel_accuracy", "overall_f1")
    assert [each.value for each in found] == [percent(values[name]) for name in names]
    assert "10 classes (the 11 classes of helen, background left out)" in found[0].meaning
    assert "11 classes (the 11 classes of helen, background among them)" in found[1].meaning
    assert "brows (left eyebrow, right eyebrow)" in found[3].meaning
    assert all("over all pixels of the 100 test images of helen at their own size" in each.meaning for each in found)


def test_a_class_that_does_not_occur_and_a_faultless_model():
    task = bound("parsing", "segmentation", ("background", "skin", "hair", "l_lip"), "helen")
    values = {"parsing": parsing_values(confusion=np.diag([5, 5, 5, 0]))}
    found, _, _ = section(task, values=values, samples={"helen": ()})
    assert "the 2 classes that occur" in found.headlines[0].meaning
    assert len(found.headlines) == 3, "nothing is merged"
    by_class, *others = tables(found)
    assert by_class[3] == ["lower lip", "–", "–", "0.00", "0.00"]
    assert not others, "neither parts nor confusions"
    assert found.details["parsing F1"] == {"background": 1, "skin": 1, "hair": 1, "l_lip": None}
    assert [each.anchor for each in found.sections] == ["parsing-classes"], "no images"


def test_the_tables_have_classes_parts_and_confusions(whole):
    values = parsing_values()
    confusion = values["confusion"]
    by_class, parts, confusions = tables(whole[0])
    shares = [confusion.sum(axis=axis) / confusion.sum() for axis in (1, 0)]
    for index, name in enumerate(CLASSES):
        row = (values["f1"][index], values["iou"][index], *(share[index] for share in shares))
        assert by_class[index] == [name.replace("_", " "), *(f"{100 * share:.2f}" for share in row)]
    assert [row[0] for row in parts] == ["brows", "eyes", "nose", "mouth", "Overall"]
    assert parts[3][1:] == ["upper lip, inner mouth, lower lip", f"{100 * values['part_f1'][3]:.2f}"]
    wrong = confusion.sum() - np.trace(confusion)
    assert ["inner mouth", "skin", "30.00", f"{100 * confusion[8, 1] / wrong:.2f}"] in confusions


def test_the_costliest_confusions_worked_by_hand():
    confusion = np.array([[90, 10, 0], [3, 1, 0], [0, 1, 1]])  # shares of a row: 0.1, 0.75, 0.5
    assert costliest(confusion) == [(1, 0), (2, 1), (0, 1)]
    assert costliest(confusion, limit=1) == [(1, 0)]
    assert costliest(np.diag([5, 0, 7])) == []


def test_the_worst_images_come_first_and_the_best_is_there(whole):
    sample = made_sample(0, "helen", [PARSING])
    answered = [Parsed(sample, sample.image[..., 0], mean_f1=f1) for f1 in (0.9, None, 0.1, 0.8, 0.5, 0.3)]
    assert [each.mean_f1 for each in telling(answered, 6)] == [0.1, 0.3, 0.5, 0.8, 0.9, None]
    known = [each for each in answered if each.mean_f1]
    assert [each.mean_f1 for each in telling(known, 4)] == [0.1, 0.3, 0.5, 0.9]
    titles = re.findall(r"<h4>helen-(\d+)\.jpg</h4>", whole[1])
    assert titles[0] in ("10", "11") and titles[-1] in ("0", "1"), "the later, the worse"
    assert len(titles) == 8


def test_a_card_has_four_images_its_scores_and_its_classes(whole):
    page = whole[1]
    panes = re.findall(
        r'<img(?: class="pixels")? src="data:image/(\w+);base64,[^"]+" alt="Image helen-11.jpg, (\w+)">', page
    )
    assert panes == [("jpeg", "image"), ("png", "predicted"), ("png", "truth"), ("jpeg", "errors")]
    each = parsed(PARSING, made_sample(11, "helen", [PARSING]))
    card = re.search(r"<h4>helen-11.jpg</h4>.*?</article>", page, re.DOTALL)[0]
    assert percent(each.mean_f1, 1) in card and percent(each.pixel_accuracy, 1) in card
    order = [index for index in np.argsort(each.f1, kind="stable") if index and np.isfinite(each.f1[index])]
    chips = re.findall(r"</i> ([^<]*)</li>", card)
    assert chips == [f"{CLASSES[index].replace('_', ' ')} {percent(each.f1[index], 0)}" for index in order]


def test_the_legend_has_every_class_once_wrong_and_not_labelled(whole):
    legend = re.search(r'<ul class="chips legend">.*?</ul>', whole[1])[0]
    colours = re.findall(r'<i style="background: ([^"]+)"></i>', legend)
    assert len(set(colours)) == len(colours) == len(CLASSES) + 2


def test_label_maps_are_cut_to_their_images_and_scored():
    task = bound("parsing", "segmentation", ("background", "skin", "hair"), "helen")
    sample = made_sample(0, "helen", [])
    truth = np.ones((6, 4), np.uint8)
    truth[0] = 2
    output = np.full((8, 8), 255, np.uint8)
    output[:6, :4] = 1
    record = dataclasses.replace(sample.record, labels={"parsing": png(truth)})
    image, outputs = np.zeros((6, 4, 3), np.uint8), {"parsing": output}
    each = parsed(task, dataclasses.replace(sample, image=image, record=record, outputs=outputs))
    assert each.predicted.shape == (6, 4)
    # 24 pixels: 20 are skin, the 4 of hair are predicted as it. F1 of skin 2 * 20 / (20 + 24).
    np.testing.assert_allclose(each.f1, [np.nan, 40 / 44, 0])
    assert (each.mean_f1, each.pixel_accuracy) == pytest.approx((20 / 44, 20 / 24))


def test_images_without_labels():
    samples = {"helen": tuple(made_sample(index, "helen", [PARSING], labelled=False) for index in range(2))}
    _, _, reader = section(samples=samples)
    assert reader.count("img") == 2 * 2
    assert reader.text.count("not labelled") == 2


def test_an_answer_is_shown_over_the_image_beside_its_label():
    shown = answer(PARSING, made_sample(0, "helen", [PARSING]), None)
    assert [name for name, _ in shown.panes] == ["parsing", "parsing by the label"]
    assert len(shown.legend) == len(CLASSES) + 1, "and pixels without a class"
    shown = answer(PARSING, made_sample(0, "mtfl", [PARSING]), None)
    assert [name for name, _ in shown.panes] == ["parsing"] and len(shown.legend) == len(CLASSES)


def test_the_curves_of_rare_classes():
    (figure,) = part(PARSING, artifacts(PARSING)).curves
    for name in ("skin", "upper lip", "right eye", "left eye", "inner mouth"):
        assert f">{name}</text>" in figure.markup
    assert part(PARSING, artifacts(PARSING, epochs=[{"loss": 1.0}])).curves == ()


def test_rare_classes_worked_by_hand():
    pixels = sample_run.PIXELS
    rare = ["upper_lip", "right_eye", "left_eye", "inner_mouth"]
    assert [CLASSES[index] for index in common_and_rare(pixels)] == ["skin", *rare]
    assert common_and_rare(np.where(np.arange(11) < 3, pixels, 0)) == [1, 2]
    assert common_and_rare(np.eye(1, 11)[0]) == []


def test_names_from_outside_are_escaped():
    nasty = "<img src=http://x.example/>'Zoë'"
    task = bound("parsing", "segmentation", (*CLASSES[:3], nasty, *CLASSES[4:]), nasty, {nasty: (nasty, "nose")})
    values = parsing_values() | {"part_f1": np.array([0.5])}
    _, page, reader = section(task, values={"parsing": values}, samples={nasty: ()})
    assert reader.text.count(nasty) >= 4
    assert "<img src=http" not in page
