"""The sections of face parsing."""

import dataclasses
import re

import numpy as np
import pytest
import sample_data
from page_checks import check
from sample_data import parsing_page

from components.report import parsing_part, run_page
from components.report.common import percent
from components.report.learning import common_and_rare
from components.report.parsing import costliest, telling


def render(**parts):
    return parsing_page(sample_data.run(), **parts).render()


@pytest.fixture(scope="module")
def whole():
    page = parsing_page(**sample_data.whole_parsing_report()).render()
    return page, check(page)


def shown(share, digits=2):
    return percent(share, digits).replace("\u00a0", " ")


def test_every_section_is_there_in_order(whole):
    assert whole[1].sections == ["result", "parsed-pictures", "classes", "edges", "learning", "data", "run"]
    assert len(whole[0]) < 2_000_000


def test_the_headline_says_class_set_resolution_and_averaging(whole):
    text, results = whole[1].text, sample_data.parsing_results()
    for figure in (results.mean_f1, results.mean_iou, results.pixel_accuracy, results.overall_f1):
        assert shown(figure) in text
    assert "is the mean of 10 classes (the 11 classes of helen, background left out)" in text
    assert "is the mean of 11 classes (the 11 classes of helen, background among them)" in text
    assert "brows (left eyebrow, right eyebrow), eyes (left eye, right eye), nose, mouth (upper lip" in text
    assert text.count("over all pixels of the 100 test pictures at their own size") == 4 + 1


def test_a_class_that_does_not_occur_is_left_out_of_the_count():
    results = sample_data.parsing_results()
    f1, iou = results.f1.copy(), results.iou.copy()
    f1[4] = iou[4] = np.nan
    text = check(render(results=dataclasses.replace(results, f1=f1, iou=iou))).text
    assert "the mean of the 9 classes that occur (the 11 classes of helen, background left out)" in text
    assert "the mean of the 10 classes that occur (the 11 classes of helen, background among them)" in text
    assert "left eye – – 0.20" in text


def test_without_merged_parts_there_is_no_overall_f1():
    results = dataclasses.replace(sample_data.parsing_results(count=1), overall_f1=None, merged_parts={})
    part = parsing_part(results)
    assert "Overall F1" not in check(run_page(sample_data.run(), [part]).render()).text
    assert part.figures["overall F1"] is None
    assert "of one test picture at their own size" in part.numbers[0].meaning


def test_the_table_has_a_row_for_every_class(whole):
    results = sample_data.parsing_results()
    said = results.confusion.sum(axis=0) / results.confusion.sum()
    for index, name in enumerate(results.classes):
        row = (results.f1[index], results.iou[index], results.shares[index], said[index])
        assert f"{name.replace('_', ' ')} {' '.join(f'{100 * share:.2f}' for share in row)}" in whole[1].text


def test_the_figure_has_f1_and_iou_and_the_commonest_class_first(whole):
    written = re.findall(r"<text[^>]*>([^<]*)</text>", whole[0])
    assert {"F1", "IoU", "F1, IoU (%)"} <= set(written)
    names = [text for text in written if re.search(r", [\d.]+\xa0%$", text)]
    assert names[:3] == ["background, 40.4\xa0%", "skin, 30.3\xa0%", "hair, 25.2\xa0%"]
    assert names[-1] == "inner mouth, 0.09\xa0%"


def test_the_costliest_confusions_worked_by_hand():
    confusion = np.array([[90, 10, 0], [3, 1, 0], [0, 1, 1]])  # shares of a row: 0.1, 0.75, 0.5
    assert costliest(confusion) == [(1, 0), (2, 1), (0, 1)]
    assert costliest(confusion, limit=1) == [(1, 0)]
    assert costliest(np.diag([5, 0, 7])) == []


def test_confusions_are_shares_of_the_class_and_of_all_that_is_wrong():
    results = sample_data.parsing_results()
    wrong = results.confusion.sum() - np.trace(results.confusion)
    lost = results.confusion[8, 1]
    assert f"inner mouth skin 30.00 {100 * lost / wrong:.2f}" in check(render(results=results)).text


def test_a_faultless_model_has_no_confusions():
    results = sample_data.parsing_results()
    perfect = dataclasses.replace(results, confusion=np.diag(results.confusion.sum(axis=1)))
    text = check(render(results=perfect)).text
    assert "No pixel is taken for another class's." in text
    assert "cost most" not in text


def test_the_worst_pictures_come_first_and_the_best_is_there(whole):
    pictures = sample_data.parsing_pictures(12).pictures
    assert [each.id for each in telling(pictures, 4)] == ["face-11.jpg", "face-10.jpg", "face-9.jpg", "face-0.jpg"]
    assert [each.id for each in telling(pictures[:3], 4)] == ["face-2.jpg", "face-1.jpg", "face-0.jpg"]
    assert "Of the first 12 test pictures: the 4 that it parses worst, and 4 of the others" in whole[1].text
    titles = re.findall(r"<h4>(face-\d+\.jpg)</h4>", whole[0])
    assert titles[:4] == ["face-11.jpg", "face-10.jpg", "face-9.jpg", "face-8.jpg"]
    assert titles[-1] == "face-0.jpg"


def test_a_card_has_four_pictures_its_scores_and_its_classes(whole):
    page, reader = whole
    assert reader.count("article") == 8 + 4  # pictures, and those with edges
    panes = re.findall(r'<img src="data:image/(\w+);base64,[^"]+" alt="Image face-11.jpg, (\w+)">', page)
    assert panes == [("jpeg", "picture"), ("png", "predicted"), ("png", "truth"), ("jpeg", "errors")]
    worst = sample_data.parsing_pictures().pictures[11]
    assert f"mean F1 {shown(worst.mean_f1, 1)}, 90.0 % of the pixels right" in reader.text
    card = re.search(r"<h4>face-11.jpg</h4>.*?</article>", page, re.DOTALL)[0]
    chips = re.findall(r"</i> ([^<]*)</li>", card.replace("\u00a0", " "))
    ordered = ["skin", "left eyebrow", *(name.replace("_", " ") for name in sample_data.CLASSES[4:])]
    assert chips == [
        f"{name} {shown(worst.f1[sample_data.CLASSES.index(name.replace(' ', '_'))], 0)}" for name in ordered
    ], "the worst class first, neither background nor the one that is not there"


def test_the_legend_has_every_class_once_wrong_and_not_labelled(whole):
    legend = re.search(r'<ul class="chips legend">.*?</ul>', whole[0])[0]
    colours = re.findall(r'<i style="background: ([^"]+)"></i>', legend)
    assert len(set(colours)) == len(colours) == len(sample_data.CLASSES) + 2
    assert "not labelled" in legend


def test_pictures_without_labels():
    sample = sample_data.parsing_pictures(2)
    bare = tuple(
        dataclasses.replace(each, truth=None, f1=None, mean_f1=None, pixel_accuracy=None) for each in sample.pictures
    )
    page = render(pictures=dataclasses.replace(sample, pictures=bare))
    reader = check(page)
    assert reader.count("img") == 2 * 2
    assert reader.text.count("not labelled") == 2
    assert "mean F1" not in reader.text and "worst" not in reader.text
    mixed = (bare[0], *sample.pictures[1:])
    assert [each.id for each in telling(mixed)] == ["face-1.jpg", "face-0.jpg"]


def test_edges_are_shown_over_four_pictures(whole):
    page, reader = whole
    kinds = re.findall(r'alt="Validation picture 1, ([^"]+)"', page)
    truth_and_prediction = ["true edges", "predicted edges", "whose they are, truth", "whose they are, predicted"]
    assert kinds == ["picture", *truth_and_prediction]
    assert "Validation picture 4" in reader.text and "Validation picture 5" not in reader.text
    assert "the working size of 40 × 40 pixels" in reader.text


def test_the_curves_of_parsing(whole):
    page, reader = whole
    for title in (
        "Total loss",
        "What the loss is made of",
        "Mean F1 on validation",
        "F1 of rare classes on validation",
    ):
        assert f'aria-label="{title}"' in page
    for name in ("parsing loss", "edge loss", "attention loss", "in training", "ensemble", "inner mouth", "skin"):
        assert f">{name}</text>" in page
    assert "the 4 with the fewest pixels in the test split, and the one with the most, skin" in reader.text
    assert "a teacher's answers" in reader.text
    assert (
        "attributes" not in reader.text[reader.text.index("How the training went") : reader.text.index("What went in")]
    )


def test_without_self_regulation_there_are_no_ensembles():
    history = dataclasses.replace(sample_data.parsing_history(), ensemble_mean_f1=None)
    page = render(history=history)
    assert "Mean F1 on validation" in check(page).text
    assert ">ensemble</text>" not in page and "teacher" not in page


def test_rare_classes_worked_by_hand():
    history = sample_data.parsing_history()
    rare = ["upper_lip", "right_eye", "left_eye", "inner_mouth"]
    assert [sample_data.CLASSES[index] for index in common_and_rare(history)] == ["skin", *rare]
    absent = np.where(np.arange(11) < 3, history.class_pixels, 0)
    assert common_and_rare(dataclasses.replace(history, class_pixels=absent)) == [1, 2]
    nothing = dataclasses.replace(history, class_pixels=np.eye(1, 11)[0])
    assert common_and_rare(nothing) == []
    assert "rare classes" not in check(render(history=nothing)).text


@pytest.mark.parametrize("part, section", [("results", "classes"), ("pictures", "parsed-pictures"), ("edges", "edges")])
def test_a_missing_part_leaves_no_trace(part, section):
    parts = sample_data.whole_parsing_report()
    del parts[part]
    sections = check(parsing_page(**parts).render()).sections
    assert section not in sections
    assert len(sections) == 6


def test_names_from_outside_are_escaped():
    nasty = "<img src=http://x.example/>'Zoë'.jpg"
    classes = ("background", "<b>skin</b>", *sample_data.CLASSES[2:])
    parts = sample_data.whole_parsing_report()
    sample = parts["pictures"]
    first = dataclasses.replace(sample.pictures[0], id=nasty)
    parts |= {
        "pictures": dataclasses.replace(sample, classes=classes, pictures=(first,)),
        "results": dataclasses.replace(parts["results"], classes=classes, dataset=nasty, merged_parts={nasty: classes}),
        "edges": dataclasses.replace(parts["edges"], classes=classes),
        "history": dataclasses.replace(parts["history"], classes=classes),
    }
    page = parsing_page(**parts).render()
    assert check(page).text.count(nasty) >= 5
    assert "<b>skin" not in page and "<img src=http" not in page


def test_figures_for_programs():
    part = parsing_part(sample_data.parsing_results())
    assert list(part.figures) == ["parsing mean F1", "mean IoU", "pixel accuracy", "overall F1"]
    assert part.count == 100
    f1 = sample_data.parsing_results().f1.copy()
    f1[3] = np.nan
    details = parsing_part(dataclasses.replace(sample_data.parsing_results(), f1=f1)).details["f1"]
    assert details["right_eyebrow"] is None
    assert details["skin"] == pytest.approx(f1[1])


def test_merged_parts_have_a_table_of_their_own():
    results = dataclasses.replace(sample_data.parsing_results(), part_f1=sample_data.part_f1())
    reader = check(render(results=results))
    assert "Parts As published for Helen" in reader.text
    assert "brows left eyebrow, right eyebrow 81.60 eyes left eye, right eye 86.80 nose nose 94.20" in reader.text
    assert "mouth upper lip, inner mouth, lower lip 94.19 Overall 87.65" in reader.text
    assert parsing_part(results).figures["mouth-all F1"] == 0.9419
    assert "Parts" not in check(render(results=sample_data.parsing_results())).text


def test_the_mouth_has_a_figure_only_where_it_is_a_part():
    parts = {"eyes": ("left_eye", "right_eye")}
    changed = {"merged_parts": parts, "part_f1": {"eyes": np.nan}, "overall_f1": None}
    results = dataclasses.replace(sample_data.parsing_results(), **changed)
    assert "mouth-all F1" not in parsing_part(results).figures
    reader = check(render(results=results))
    assert "eyes left eye, right eye –" in reader.text and "Overall –" not in reader.text
    mouth = dataclasses.replace(results, merged_parts={"mouth": ("upper_lip",)}, part_f1={"mouth": np.nan})
    assert parsing_part(mouth).figures["mouth-all F1"] is None
    with pytest.raises(ValueError, match=r"part_f1 has \['mouth'\], which are not among the merged parts"):
        dataclasses.replace(results, part_f1={"mouth": 0.5})


def test_wrong_shapes_are_refused_with_both_shapes():
    results, edges = sample_data.parsing_results(), sample_data.edge_maps()
    with pytest.raises(ValueError, match=r"ParsingResults.confusion should have shape \[11, 11\], got \[11, 3\]"):
        dataclasses.replace(results, confusion=results.confusion[:, :3])
    with pytest.raises(ValueError, match=r"EdgeMaps.category should have shape \[5, 40, 40\], got \[5, 40, 39\]"):
        dataclasses.replace(edges, category=edges.category[..., 1:])
    picture = sample_data.parsing_pictures(1).pictures[0]
    with pytest.raises(ValueError, match=r"ParsingPicture.predicted should have shape \[48, 64\], got \[48, 48\]"):
        dataclasses.replace(picture, predicted=picture.predicted[:, :48])
    with pytest.raises(ValueError, match=r"History.class_f1 should have shape \[15, 11\], got \[15, 10\]"):
        dataclasses.replace(sample_data.parsing_history(), class_f1=np.ones((15, 10)))
