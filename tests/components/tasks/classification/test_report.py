"""The part of one class an image, and its confusion matrix."""

import numpy as np
import pytest

from components.page import figures
from components.page.formatting import percent
from components.tasks.classification.drawings import confusion_drawing
from components.tasks.classification.report import answer, part
from tests.components.page.page_checks import check
from tests.components.report import sample_run
from tests.components.report.sample_run import (
    EMOTION,
    EMOTIONS,
    artifacts,
    bound,
    class_values,
    emotion_values,
    made_sample,
)


def section(task=EMOTION, values=None, **changed):
    run = artifacts(task, values={task.name: values} if values else None, **changed)
    found = part(task, run)
    page = sample_run.page_of(run, *found.sections)
    return found, page, check(page)


def small(confusion):
    return section(bound("mood", "classification", ("sad", "happy", "calm"), "fer2013"), class_values(confusion))


def rows(found):
    """The cells' texts of the table."""
    return [[cell.text for cell in row] for row in found.sections[0].blocks[1].rows]


def written(drawing):
    """What stands in the cells of the matrix, by (column, row)."""
    return {tuple(int(p) for p in text.get_position()): text.get_text() for text in drawing.axes[0].texts}


def test_the_headline_stands_beside_the_commonest_class():
    values = emotion_values()
    accuracy, recall = section()[0].headlines
    assert (accuracy.value, recall.value) == (percent(values["accuracy"]), percent(values["mean_recall"]))
    assert accuracy.tone == "good" and f"Always “happy” would score {percent(1774 / 7178)}" in accuracy.meaning
    assert "the 7,178 test images of fer2013" in accuracy.meaning and "one of 7." in accuracy.meaning
    assert percent(1 / 7, 1) in recall.meaning


def test_classes_that_do_not_occur_are_left_out_of_the_mean():
    recall = small([[3, 1, 0], [2, 4, 0], [0, 0, 0]])[0].headlines[1]
    assert recall.value == percent((3 / 4 + 4 / 6) / 2)
    assert "over the 2 that occur" in recall.meaning and percent(0.5, 1) in recall.meaning


def test_a_model_below_the_commonest_class_is_said_to_be():
    found, _, _ = small([[1, 3, 0], [6, 4, 0], [0, 0, 0]])
    assert [each.tone for each in found.headlines] == ["bad", ""]
    assert "points below it" in found.headlines[0].meaning


def test_no_image_with_a_label():
    found, _, _ = small(np.zeros((3, 3), int))
    assert [each.value for each in found.headlines] == ["–"]
    assert set(found.details["mood recall"].values()) == {None}


def test_rows_are_labels_and_their_numbers_are_shares_of_the_row():
    drawing = confusion_drawing(np.array([[3, 1, 0], [2, 4, 2], [0, 0, 0]]), ["very_sad", "happy", "calm"])
    axes = drawing.axes[0]
    assert written(drawing) == {(0, 0): "75", (1, 0): "25", (2, 0): "0", (0, 1): "25", (1, 1): "50", (2, 1): "25"}
    assert axes.get_ylim() == (3, 0), "the first row is above"
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["very sad (4)", "happy (8)", "calm (0)"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["very sad", "happy", "calm"]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("label (test images)", "predicted as")


def test_the_more_the_fuller_and_never_so_full_that_a_number_is_lost():
    squares = confusion_drawing(np.array([[3, 1], [0, 5]]), "ab").axes[0].collections[0]
    corners = [tuple(path.vertices[0].astype(int)) for path in squares.get_paths()]
    opacity = {corner: colour[3] for corner, colour in zip(corners, squares.get_facecolor(), strict=True)}
    shares = {(0, 0): 0.75, (1, 0): 0.25, (0, 1): 0, (1, 1): 1}
    assert opacity == pytest.approx({corner: 0.55 * share for corner, share in shares.items()})


def test_a_matrix_of_many_classes_has_colours_alone():
    names = [f"class_{index}" for index in range(40)]
    drawing = confusion_drawing(np.eye(40, dtype=int), names)
    assert not written(drawing)
    assert figures.pixels(drawing)[0, 0].tolist() == [255, 255, 255]
    _, page, reader = section(bound("clothing", "classification", names), class_values(np.eye(40, dtype=int)))
    assert reader.count("figure", cls="wide") == 1
    assert len(page) < 500_000


def test_without_iterations_there_is_one_matrix():
    _, _, reader = section()
    assert reader.sections == ["emotion", "emotion-scores"]
    assert reader.count("svg", role="img") == 1 + 2, "the matrix, calibration, precision and recall"


def test_the_matrix_without_feedback_stands_beside_that_with_it():
    found, _, reader = section(iterations=(0, 1, 2))
    assert [figure.title[-11:] for figure in found.sections[0].blocks[0].figures] == ["iteration 0", "iteration 2"]
    first, last = (emotion_values(number)["accuracy"] for number in (0, 2))
    assert f"+{100 * (last - first):.2f} points" in reader.text
    assert "iteration" not in section(iterations=(0,))[2].text


def test_the_table_has_a_row_for_every_class():
    values = emotion_values()
    labelled, predicted = (values["confusion"].sum(axis=axis) for axis in (1, 0))
    for index, row in enumerate(rows(section()[0])):
        shares = (values["recall"][index], values["f1"][index])
        assert row[:4] == [EMOTIONS[index], f"{labelled[index]:,}", *(f"{100 * share:.2f}" for share in shares)]
        assert row[4:6] == [f"{100 * each[index] / labelled.sum():.1f}" for each in (labelled, predicted)]
        assert row[6].startswith(EMOTIONS[(index + 1) % 7])
    assert index == 6


def test_classes_that_do_not_occur_or_are_never_predicted():
    found, _, reader = small([[3, 1, 0], [2, 4, 0], [0, 0, 0]])
    assert rows(found)[2] == ["calm", "0", "–", "–", "0.0", "0.0", "–"]
    assert "Never predicted" not in reader.text, "the class that does not occur is no mistake"
    assert "Never predicted: sad." in small([[0, 4, 0], [0, 4, 0], [0, 1, 1]])[2].text


def test_top_accuracies_stand_beside_the_commonest_classes():
    """The three commonest are 12 of 16 images."""
    confusion = np.diag([3, 1, 1, 2, 1, 4])
    confusion[2, :2] = 1, 3
    task = bound("clothing", "classification", "abcdef", top=[3, 5])
    found, _, _ = section(task, class_values(confusion, ranks=[4, 2, 2, 4, 3, 1], top=(3, 5)))
    top_3, top_5 = found.headlines[1:3]
    assert (top_3.value, top_3.tone, top_5.value, top_5.tone) == (percent(0.5), "bad", percent(0.9375), "bad")
    assert percent(0.75) in top_3.meaning and percent(0.9375) in top_5.meaning


def test_figures_for_programs():
    details = small([[3, 1, 0], [2, 4, 0], [0, 0, 0]])[0].details
    assert details == {"mood recall": {"sad": 0.75, "happy": pytest.approx(4 / 6), "calm": None}}


def test_an_answer_is_held_against_its_label():
    def chips(sample):
        shown = answer(EMOTION, sample, None)
        return [(chip.symbol, chip.text.replace("\u00a0", " "), chip.tone) for chip in shown.chips]

    assert chips(made_sample(1, "fer2013", [EMOTION])) == [("✓", "disgust 90 %", "good")]
    assert chips(made_sample(2, "fer2013", [EMOTION])) == [("✗", "happy 90 %, labelled fear", "bad")]
    assert chips(made_sample(1, "helen", [EMOTION])) == [("?", "disgust 90 %", "")]


def test_names_from_outside_are_escaped():
    nasty = "<img src=http://x.example/>'Zoë'"
    _, page, reader = section(bound("emotion", "classification", (nasty, *EMOTIONS[1:]), nasty))
    assert reader.text.count(nasty) >= 3
    assert "<img src=http" not in page
