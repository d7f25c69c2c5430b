"""Several tasks in one network: their pictures, their iterations, the stages of their training, and the whole page."""

import base64
import dataclasses
import io
import re

import numpy as np
import pytest
import sample_data
from page_checks import check
from PIL import Image
from sample_data import tasks_page

from components.report import figures, parsing_figures, run_page, task_figures, tasks_part
from components.report.data import IGNORED, IterationRow, StageHistory, TaskPictures
from components.report.parsing_figures import PALETTE
from components.report.tasks import ERRORS

TOGETHER = ("pictures", "iterations", "stages")


def render(**together):
    page = run_page(sample_data.run(), [tasks_part(**together)]).render()
    return page, check(page)


@pytest.fixture(scope="module")
def whole():
    page = tasks_page(**sample_data.whole_tasks_report()).render()
    return page, check(page)


# The page


def test_every_section_is_there_in_order(whole):
    assert whole[1].sections == [
        "result", "pictures", "iterations", "stages", "classes", "landmarks", "emotion", "learning", "data", "run",
    ]  # fmt: skip
    assert len(whole[0]) < 2_000_000


def test_the_headline_has_every_task(whole):
    text = whole[1].text
    labels = (
        "Mean F1 without background", "Overall F1 of merged parts", "Landmark error (NME)", "Landmark failure rate",
        "Emotion accuracy", "Always the commonest emotion", "Emotion mean recall",
    )  # fmt: skip
    places = [text.index(label) for label in labels]
    assert places == sorted(places)


@pytest.mark.parametrize("tasks", [("parsing",), ("landmarks",), ("emotion",), ("landmarks", "parsing")])
def test_a_run_of_fewer_tasks(tasks):
    parts = sample_data.whole_tasks_report()
    absent = {"parsing", "landmarks", "emotion"} - set(tasks)
    for name in (*absent, *TOGETHER):
        del parts[name]
    reader = check(tasks_page(**parts).render())
    sections = {"parsing": "classes", "landmarks": "landmarks", "emotion": "emotion"}
    assert [name for name in reader.sections if name in sections.values()] == sorted(sections[name] for name in tasks)
    assert "iteration" not in reader.text.lower()
    words = {"parsing": "Mean F1", "landmarks": "NME", "emotion": "motion accuracy"}
    for name, word in words.items():
        assert (word in reader.text) == (name in tasks)


def test_attributes_are_a_fourth_task():
    parts = sample_data.whole_tasks_report() | {"attributes": sample_data.results()}
    reader = check(tasks_page(**parts).render())
    assert "attributes" in reader.sections and "emotion" in reader.sections
    assert len(reader.sections) == 11


@pytest.mark.parametrize("part", TOGETHER)
def test_a_missing_part_leaves_no_trace(part):
    parts = sample_data.whole_tasks_report()
    del parts[part]
    reader = check(tasks_page(**parts).render())
    assert part not in reader.sections
    assert len(reader.sections) == 9


def test_no_figure_has_two_meanings():
    parts = [
        tasks_part(iterations=sample_data.iteration_rows()),
        sample_data.attribute_part(dataclasses.replace(sample_data.results(), landmark_nme=None)),
        sample_data.parsing_part(dataclasses.replace(sample_data.parsing_results(), part_f1=sample_data.part_f1())),
        sample_data.landmark_part(sample_data.landmark_results()),
        sample_data.class_part(sample_data.emotion_results()),
    ]
    named = [name for part in parts for name, value in part.figures.items() if value is not None]
    assert len(set(named)) == len(named)
    assert {"landmark NME", "landmark failure rate", "emotion accuracy", "emotion mean recall", "mouth-all F1"} <= {
        *named
    }
    assert set(ERRORS) <= set(named)


# Pictures


def cards(page, dataset):
    return re.findall(rf'<article class="card">(?:(?!</article>).)*<h4>{dataset}-.*?</article>', page, re.DOTALL)


def panes(card):
    return re.findall(r"</svg><p>([^<]*)</p>", card)


def test_pictures_are_grouped_by_data_set_with_what_is_annotated(whole):
    page, reader = whole
    assert reader.count("article") == 12
    assert re.findall(r"<h3>(helen|mtfl|fer2013)</h3>", page) == ["helen", "mtfl", "fer2013"]
    assert re.findall(r"Its labels: (\w+)\.", page) == ["parsing", "landmarks", "emotion"]
    assert page.index("<h3>mtfl</h3>") < page.index("mtfl-0004.jpg") < page.index("<h3>fer2013</h3>")
    assert "As Fig. 3 of the iFAN paper" in reader.text


def test_a_card_has_every_tasks_answer_and_the_labels_that_there_are(whole):
    page = whole[0]
    helen, mtfl, fer2013 = (cards(page, dataset) for dataset in ("helen", "mtfl", "fer2013"))
    assert panes(helen[0]) == ["landmarks", "parsing", "parsing by the label"]
    assert panes(mtfl[0]) == panes(fer2013[0]) == ["landmarks", "parsing"]
    assert [card.count("<circle") for card in (helen[0], mtfl[0], fer2013[0])] == [5, 5, 5]
    assert ["#ffd23f" in card for card in (helen[0], mtfl[0], fer2013[0])] == [False, True, False]
    assert [len(cards) for cards in (helen, mtfl, fer2013)] == [4, 4, 4]


def test_the_emotion_is_named_and_held_against_its_label(whole):
    page = whole[0].replace("\u00a0", " ")

    def chips(dataset):
        return [
            re.search(r'<li class="chip (\w*)"><b>(.)</b> ([^<]*)</li>', card).groups() for card in cards(page, dataset)
        ]

    assert chips("helen")[0] == ("", "?", "angry 90 %")
    assert chips("fer2013") == [
        ("bad", "✗", "fear 58 %, labelled happy"),
        ("good", "✓", "angry 54 %"),
        ("bad", "✗", "disgust 50 %, labelled happy"),
        ("good", "✓", "fear 46 %"),
    ]


def test_the_legend_comes_once_and_the_switch_is_for_all_pictures(whole):
    page, reader = whole
    section = page[page.index('<section id="pictures">') : page.index('<section id="iterations">')]
    assert section.count('class="overlay-switch"') == section.count('class="chips legend"') == 1
    assert "landmarks: ● predicted, ✕ by the label" in reader.text
    legend = re.search(r'<ul class="chips legend">.*?</ul>', section, re.DOTALL)[0]
    assert legend.count("<i style=") == len(sample_data.CLASSES) + 1  # and pixels without a class
    assert [word in legend for word in ("said, and so labelled", "labelled otherwise", "no label to hold")] == [
        True
    ] * 3


def bare(picture, **kept):
    """The picture with nothing said of it."""
    nothing = {f.name: None for f in dataclasses.fields(picture) if f.default is None}
    return dataclasses.replace(picture, **nothing | kept)


def test_pictures_of_one_task_show_nothing_of_others():
    sample = sample_data.task_pictures()
    points = tuple(bare(each, landmarks=each.landmarks) for each in sample.pictures[:4])
    page, reader = render(pictures=TaskPictures((), points))
    assert panes(cards(page, "helen")[0]) == ["landmarks"]
    assert '<i style="background' not in page and "said" not in reader.text
    assert "landmarks: ● predicted" in reader.text and "by the label" not in reader.text
    assert "Its labels: none of these." in reader.text and "Fig. 3" not in reader.text
    emotions = tuple(bare(each, class_name=each.class_name) for each in sample.pictures[:4])
    page, reader = render(pictures=TaskPictures((), emotions))
    assert panes(cards(page, "helen")[0]) == ["picture"]
    assert 'overlay-switch"' not in page and "landmarks:" not in reader.text
    assert ">angry</li>" in re.sub(r"<b>.</b> ", "", page), "without a probability"


def test_no_pictures_no_section():
    assert render(pictures=TaskPictures((), ()))[1].sections == ["result", "run"]


def test_few_landmarks_have_larger_marks_than_many():
    picture = sample_data.task_pictures().pictures[0]
    many = dataclasses.replace(picture, landmarks=sample_data.face_points())
    sizes = []
    for each in (picture, many):
        page, _ = render(pictures=TaskPictures(sample_data.CLASSES, (each,)))
        sizes.append(float(re.search(r'<circle [^>]*r="([\d.]+)"', page)[1]))
    assert sizes[0] > 1.5 * sizes[1]


def test_an_overlay_has_the_face_and_the_classes_colours():
    image = np.tile(np.array([[200, 100, 50], [0, 0, 0]], np.uint8)[:, None], (40, 8, 1))  # rows bright and dark
    labels = np.repeat([[1, 10]], 80, axis=0).repeat(4, axis=1).astype(np.uint8)
    drawn = parsing_figures.overlay(image, labels).astype(int)
    left, right = drawn[:, : drawn.shape[1] // 3].mean(axis=(0, 1)), drawn[:, -drawn.shape[1] // 3 :].mean(axis=(0, 1))
    np.testing.assert_allclose(left - right, 0.6 * (PALETTE[1].astype(int) - PALETTE[10]), atol=1.5)
    grey = np.asarray(Image.fromarray(image).convert("L"), float).mean()
    np.testing.assert_allclose(left, 0.6 * PALETTE[1] + 0.4 * grey, atol=3)
    assert np.ptp(drawn[:, 0, 0]) > 30, "the face shows"
    unknown = parsing_figures.overlay(image, np.full((80, 8), IGNORED, np.uint8))
    assert (np.ptp(unknown.astype(int), axis=-1) == 0).all(), "stripes are grey"


# Iterations


def test_the_table_has_every_figure_by_iteration_with_its_change(whole):
    text = whole[1].text
    assert "parsing mean F1 86.00 86.40 +0.40 86.80 +0.80" in text
    assert "landmark NME, lower is better 7.55 6.04 −1.51 4.83 −2.72" in text
    assert "mean accuracy 88.00 87.90 −0.10 87.80 −0.20" in text


def test_only_what_is_worse_is_marked():
    better = IterationRow(0, {"landmark NME": 0.2, "emotion accuracy": 0.5})
    worse = IterationRow(1, {"landmark NME": 0.3, "emotion accuracy": 0.4})
    page, _ = render(iterations=(better, worse))
    assert re.findall(r'class="number (\w+)">([^<]+)</td>', page) == [("bad", "+10.00"), ("bad", "−10.00")]
    page, _ = render(iterations=(dataclasses.replace(worse, iteration=0), dataclasses.replace(better, iteration=1)))
    assert re.findall(r'class="number (\w+)">([^<]+)</td>', page) == [("quiet", "−10.00"), ("quiet", "+10.00")]


def test_in_the_figure_up_is_better_for_all(monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "line_chart", lambda *args, **options: drawn.append((args, options)) or "")
    rows = sample_data.iteration_rows()
    tasks_part(iterations=rows)
    (_, x, lines, *_), _ = drawn[0]
    ends = {line.name: line.y[-1] for line in lines}
    assert x.tolist() == [0, 1, 2]
    assert ends["landmark NME"] == pytest.approx(
        100 * (rows[0].figures["landmark NME"] - rows[2].figures["landmark NME"])
    )
    assert ends["parsing mean F1"] == pytest.approx(0.8)
    assert ends["mean accuracy"] == pytest.approx(-0.2)


def test_a_figure_that_an_iteration_lacks_is_a_dash():
    rows = (IterationRow(0, {"overall F1": 0.5}), IterationRow(1, {"emotion accuracy": 0.25, "overall F1": np.nan}))
    _, reader = render(iterations=rows)
    assert "overall F1 50.00 – –" in reader.text and "emotion accuracy – 25.00 –" in reader.text


def test_one_iteration_is_no_section_but_a_detail():
    part = tasks_part(iterations=sample_data.iteration_rows(1), count=7)
    assert not part.sections
    assert part.count == 7
    assert list(part.details) == ["iteration 0"]


def test_details_of_every_iteration():
    rows = (*sample_data.iteration_rows(2), IterationRow(2, {"landmark NME": np.nan}))
    details = tasks_part(iterations=rows).details
    assert list(details) == ["iteration 0", "iteration 1", "iteration 2"]
    assert details["iteration 1"]["overall F1"] == pytest.approx(0.9114)
    assert details["iteration 2"] == {"landmark NME": None}


# Stages


def panels(stages, **options):
    return task_figures.stage_drawing(stages.figures, stages.stages, ERRORS, **options).axes


def test_every_task_has_a_panel_with_the_stages_bounds():
    axes = panels(sample_data.stage_history())
    assert [each.get_title(loc="left") for each in axes] == [
        "parsing mean F1 (%)", "landmark NME (%), lower is better, log scale", "emotion accuracy (%)",
    ]  # fmt: skip
    for each in axes:
        assert [line.get_xdata()[0] for line in each.lines[1:]] == [2.5, 4.5, 6.5]
        assert each.lines[0].get_xdata().tolist() == list(range(1, 16))
    assert axes[1].lines[0].get_ydata()[0] == pytest.approx(140)
    assert [each.get_yscale() for each in axes] == ["linear", "log", "linear"]
    assert axes[2].get_xlabel() == "epochs"


def test_stages_are_named_above_the_first_panel_where_there_is_room():
    axes = panels(sample_data.stage_history())
    assert [text.get_text() for text in axes[0].texts] == [
        "1 parsing alone", "2 landmarks alone", "3 emotion alone", "4 taking turns",
    ]  # fmt: skip
    assert [text.xy[0] for text in axes[0].texts] == [1.5, 3.5, 5.5, 11]
    assert not axes[1].texts
    tight = StageHistory({"emotion accuracy": np.ones(104)}, (("parsing alone", 2), ("landmarks", 2), ("turns", 100)))
    assert [text.get_text() for text in panels(tight)[0].texts] == ["1", "2", "3 turns"]


def test_bounds_worked_by_hand():
    assert task_figures.stage_bounds([("a", 2), ("b", 3), ("c", 1)]) == [2.5, 5.5]
    assert task_figures.stage_bounds([("a", 4)]) == task_figures.stage_bounds([]) == []


def test_the_stages_are_listed_with_their_epochs(whole):
    page, reader = whole
    alone = "1 parsing alone (2 epochs), 2 landmarks alone (2 epochs), 3 emotion alone (2 epochs)"
    assert f"The stages: {alone}, 4 taking turns (9 epochs)." in reader.text
    assert 'aria-label="Every task through the training"' in page
    assert "As Fig. 7 of the iFAN paper" in reader.text


def test_one_stage_has_no_bounds():
    history = StageHistory({"landmark NME": np.array([0.2, 0.1])}, (("taking turns", 2),))
    _, reader = render(stages=history)
    assert reader.sections == ["result", "stages", "run"]
    assert "dashed" not in reader.text and "The stages" not in reader.text
    (axes,) = panels(history)
    assert len(axes.lines) == 1 and not axes.texts
    assert axes.get_yscale() == "linear", "a halving needs no log scale"


@pytest.mark.parametrize("values", [[np.nan], [0.0], [0.5]])
def test_one_epoch_and_figures_that_are_undefined(values):
    render(stages=StageHistory({"landmark NME": np.array(values), "x": np.array(values)}, (("a", 1),)))


def test_the_learning_section_has_the_stages_too(whole):
    page, reader = whole
    learning = page[page.index('<section id="learning">') :]
    assert learning.count("stroke-dasharray") >= 6, "three bounds in each of the two figures"
    assert "from one to another they can't be compared" in reader.text
    assert "weighted and added" not in reader.text
    plain = dataclasses.replace(sample_data.task_history(), stages=())
    page = run_page(sample_data.run(), history=plain).render()
    assert "stroke-dasharray" not in page and "weighted and added" in page


def test_bounds_on_an_axis_of_batches(monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "line_chart", lambda *args, **options: drawn.append(options["bounds"]) or "")
    history = dataclasses.replace(sample_data.task_history(), iterations=10 * np.arange(1, 16))
    run_page(sample_data.run(), history=history)
    assert [list(bounds) for bounds in drawn] == [[20, 40, 60]] * 2


# What is handed in


def test_names_from_outside_are_escaped():
    nasty = "<img src=http://x.example/>'Zoë'.jpg"
    sample = sample_data.task_pictures()
    named = {"id": nasty, "dataset": nasty, "class_name": nasty, "true_class_name": "<b>sad</b>"}
    first = dataclasses.replace(sample.pictures[0], **named)
    pictures = TaskPictures(("<b>skin</b>", *sample.classes[1:]), (first,), title="<i>mood</i>")
    rows = tuple(IterationRow(i, {nasty: 0.5, "<b>F1</b>": 0.5}) for i in range(2))
    stages = StageHistory({nasty: np.ones(20), "<b>F1</b>": np.ones(20)}, ((nasty, 10), ("<b>turns</b>", 10)))
    page, reader = render(pictures=pictures, iterations=rows, stages=stages)
    assert reader.text.count(nasty) >= 7
    assert "<img src=http" not in page and "<i>mood" not in page
    assert not re.search(r"<b>(sad|skin|F1|turns)", page)


def test_wrong_shapes_are_refused_with_both_shapes():
    picture = sample_data.task_pictures().pictures[4]
    with pytest.raises(ValueError, match=r"TaskPicture.parsing should have shape \[48, 64\], got \[48, 48\]"):
        dataclasses.replace(picture, parsing=picture.parsing[:, :48])
    with pytest.raises(ValueError, match=r"TaskPicture.true_landmarks should have shape \[5, 2\], got \[68, 2\]"):
        dataclasses.replace(picture, true_landmarks=sample_data.face_points())
    with pytest.raises(ValueError, match=r"StageHistory.figures\['F1'\] should have shape \[3\], .*, got \[4\]"):
        StageHistory({"F1": np.ones(4)}, (("a", 1), ("b", 2)))
    with pytest.raises(ValueError, match=r"History.stages should have 15 epochs together, got 3"):
        dataclasses.replace(sample_data.task_history(), stages=(("a", 3),))


def test_a_stack_names_its_pictures():
    image = np.zeros((8, 6, 3), np.uint8)
    stack = figures.stack([("<face>", figures.picture(image, "a face")), ("parsing", figures.picture(image, "labels"))])
    assert re.findall(r"<p>(.*?)</p>", stack) == ["&lt;face&gt;", "parsing"]
    assert stack.count("<svg") == 2
    data = re.search(r"base64,([^\"]+)", stack)[1]
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (6, 8)


def test_stages_with_one_validation_loss_are_compared():
    """Widening has two stages, which lower the same loss."""
    history = dataclasses.replace(
        sample_data.history(), stages=(("widening", 4), ("final phase", len(sample_data.history().loss) - 4))
    )
    text = check(run_page(sample_data.run(), history=history).render()).text
    assert "dashed lines are where a stage ends" in text and "can't be compared" not in text
