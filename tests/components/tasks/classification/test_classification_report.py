"""The section of emotions, or of any other choice of one class a picture, and its confusion matrix."""

import dataclasses
import re

import numpy as np
import pytest
import sample_data
from page_checks import check

from components.report import class_part, figures, run_page
from components.report.class_figures import confusion_drawing, share_text
from components.report.common import percent


def render(results, iterations=None):
    page = run_page(sample_data.run(), [class_part(results, iterations)]).render()
    return page, check(page)


def shown(share, digits=2):
    return percent(share, digits).replace("\u00a0", " ")


def small(confusion, classes=("sad", "happy", "calm"), **changed):
    """Results that rest on a [C, C] confusion."""
    confusion = np.asarray(confusion)
    with np.errstate(invalid="ignore"):
        recall = confusion.diagonal() / confusion.sum(axis=1)
        f1 = 2 * confusion.diagonal() / (confusion.sum(axis=0) + confusion.sum(axis=1))
        accuracy = confusion.trace() / confusion.sum()
    given = {"title": "emotion", "classes": classes, "dataset": "fer2013", "count": int(confusion.sum())}
    results = sample_data.ClassResults(accuracy=float(accuracy), recall=recall, f1=f1, confusion=confusion, **given)
    return dataclasses.replace(results, **changed)


def written(drawing):
    """What stands in the cells of the matrix, by (column, row)."""
    return {tuple(int(p) for p in text.get_position()): text.get_text() for text in drawing.axes[0].texts}


def test_the_headline_stands_beside_the_commonest_class():
    results = sample_data.emotion_results()
    _, reader = render(results)
    assert results.commonest_accuracy == pytest.approx(1774 / 7178)
    for share in (results.accuracy, results.commonest_accuracy, results.mean_recall):
        assert shown(share) in reader.text
    gain = shown(results.accuracy - results.commonest_accuracy).replace(" %", " points")
    assert f"“happy” for every picture would score, without looking. The model is {gain} above it." in reader.text
    assert "of the 7,178 test pictures of fer2013 are given the emotion of their label, one of 7." in reader.text
    assert "over all 7: rare classes count" in reader.text and "would score 14.3 %" in reader.text


def test_what_is_derived_worked_by_hand():
    results = small([[3, 1, 0], [2, 4, 0], [0, 0, 0]])
    assert results.pictures.tolist() == [4, 6, 0]
    assert results.commonest == 1
    assert results.commonest_accuracy == 0.6
    assert results.mean_recall == pytest.approx((3 / 4 + 4 / 6) / 2)
    _, reader = render(results)
    assert "over the 2 that occur" in reader.text and "would score 50.0 %" in reader.text


def test_a_model_below_the_commonest_class_is_said_to_be():
    part = class_part(small([[1, 3, 0], [6, 4, 0], [0, 0, 0]]))
    assert [number.tone for number in part.numbers] == ["bad", "", ""]
    assert "points below it" in part.numbers[1].meaning


def test_no_picture_with_a_label():
    part = class_part(small(np.zeros((3, 3), int)))
    reader = check(run_page(sample_data.run(), [part]).render())
    assert "no test picture of fer2013 has a label" in reader.text
    assert len(part.numbers) == 1
    assert all(value is None for value in part.figures.values())


def test_rows_are_labels_and_their_numbers_are_shares_of_the_row():
    drawing = confusion_drawing(np.array([[3, 1, 0], [2, 4, 2], [0, 0, 0]]), ["very_sad", "happy", "calm"])
    axes = drawing.axes[0]
    assert written(drawing) == {(0, 0): "75", (1, 0): "25", (2, 0): "0", (0, 1): "25", (1, 1): "50", (2, 1): "25"}
    assert axes.get_ylim() == (3, 0), "the first row is above"
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["very sad (4)", "happy (8)", "calm (0)"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["very sad", "happy", "calm"]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("label (test pictures)", "taken for")


def test_the_more_the_fuller_and_never_so_full_that_a_number_is_lost():
    squares = confusion_drawing(np.array([[3, 1], [0, 5]]), "ab").axes[0].collections[0]
    corners = [tuple(path.vertices[0].astype(int)) for path in squares.get_paths()]
    opacity = {corner: colour[3] for corner, colour in zip(corners, squares.get_facecolor(), strict=True)}
    shares = {(0, 0): 0.75, (1, 0): 0.25, (0, 1): 0, (1, 1): 1}
    assert opacity == pytest.approx({corner: 0.55 * share for corner, share in shares.items()})


@pytest.mark.parametrize(
    "share, text", [(0, "0"), (0.001, "<1"), (0.254, "25"), (0.994, "99"), (0.996, ">99"), (1, "100")]
)
def test_shares_are_nothing_or_all_only_if_they_are(share, text):
    assert share_text(share) == text


def test_a_matrix_of_many_classes_has_colours_alone():
    names = [f"class_{index}" for index in range(40)]
    drawing = confusion_drawing(np.eye(40, dtype=int), names)
    assert not written(drawing)
    assert figures.pixels(drawing)[0, 0].tolist() == [255, 255, 255]
    results = small(np.eye(40, dtype=int), tuple(names))
    page, reader = render(results)
    assert reader.count("figure", cls="wide") == 2
    assert len(page) < 500_000


def test_the_matrix_takes_its_colours_from_the_page():
    page, _ = render(sample_data.emotion_results())
    matrix = re.search(r'<svg [^>]*aria-label="What each emotion is taken for".*?</svg>', page, re.DOTALL)[0]
    assert "var(--s1)" in matrix and "var(--ink)" in matrix
    assert not re.findall(r"#0102\w\w", matrix)


def test_without_iterations_the_matrix_stands_beside_the_recalls():
    page, reader = render(sample_data.emotion_results())
    titles = ["What each emotion is taken for", "How much of each emotion is recognised"]
    assert re.findall(r'role="img" aria-label="([^"]*)"', page) == titles
    assert reader.sections == ["result", "emotion", "run"]
    assert "iteration" not in reader.text
    recalls = re.findall(r'aria-label="How much.*?</svg>', page, re.DOTALL)[0]
    assert re.findall(r">(happy|sad|disgust)</text>", recalls) == ["happy", "sad", "disgust"], "the commonest first"


def test_the_matrix_without_feedback_stands_beside_that_with_it():
    results = {iteration: sample_data.emotion_results(iteration) for iteration in range(3)}
    page, reader = render(results[2], results)
    assert [f'aria-label="What each emotion is taken for, iteration {i}"' in page for i in range(3)] == [1, 0, 1]
    assert f"Here no prediction has been fed back: the accuracy is {shown(results[0].accuracy)}." in reader.text
    gain = 100 * (results[2].accuracy - results[0].accuracy)
    assert f"fed back twice: the accuracy is {shown(results[2].accuracy)}, +{gain:.2f} points." in reader.text
    alone, _ = render(results[0], {0: results[0]})
    assert "iteration" not in check(alone).text


def test_the_table_has_a_row_for_every_class():
    results = sample_data.emotion_results()
    said = results.confusion.sum(axis=0) / results.confusion.sum()
    _, reader = render(results)
    for index, name in enumerate(results.classes):
        share = results.pictures[index] / results.pictures.sum()
        numbers = (100 * results.recall[index], 100 * results.f1[index])
        row = f"{name} {results.pictures[index]:,} {' '.join(f'{value:.2f}' for value in numbers)} {100 * share:.1f}"
        assert f"{row} {100 * said[index]:.1f} {results.classes[(index + 1) % 7]}" in reader.text


def test_classes_that_do_not_occur_or_are_never_said():
    _, reader = render(small([[3, 1, 0], [2, 4, 0], [0, 0, 0]]))
    assert "calm 0 – – 0.0 0.0 –" in reader.text
    assert "Never said" not in reader.text, "the class that does not occur is no mistake"
    _, reader = render(small([[0, 4, 0], [0, 4, 0], [0, 1, 1]]))
    assert "Never said of a picture: sad." in reader.text


def test_figures_for_programs():
    results = sample_data.emotion_results()
    part = class_part(results)
    assert part.figures == pytest.approx({
        "emotion accuracy": results.accuracy,
        "emotion top-3": None,
        "emotion top-5": None,
        "emotion: always the commonest": 1774 / 7178,
        "emotion mean recall": results.mean_recall,
    })  # fmt: skip
    assert part.count == 7178
    details = class_part(small([[3, 1, 0], [2, 4, 0], [0, 0, 0]])).details
    assert details == {"emotion recall": {"sad": 0.75, "happy": pytest.approx(4 / 6), "calm": None}}


def test_another_choice_of_classes_has_its_own_name_and_address():
    part = class_part(dataclasses.replace(sample_data.emotion_results(), title="type of clothing"))
    assert part.sections[0].title == "Type of clothing"
    assert part.sections[0].anchor == "type-of-clothing"
    assert "type of clothing accuracy" in part.figures
    both = run_page(sample_data.run(), [class_part(sample_data.emotion_results()), part]).render()
    assert check(both).sections == ["result", "emotion", "type-of-clothing", "run"]


CLOTHES = ("Blouse", "Coat", "Dress", "Jeans", "Skirt", "Tee")


def clothing(**changed):
    """The three commonest are 12 of 16 pictures."""
    confusion = np.diag([3, 1, 1, 2, 1, 4])
    confusion[2, :2] = 1, 3
    return small(confusion, CLOTHES, **{"title": "clothing", "dataset": "deepfashion", **changed})


def test_top_accuracies_stand_beside_the_commonest_classes():
    part = class_part(clothing(top_3=0.5, top_5=0.9375))
    assert [number.label for number in part.numbers] == [
        "Clothing accuracy", "Clothing top-3 accuracy", "Clothing top-5 accuracy", "Always the commonest clothing",
        "Clothing mean recall",
    ]  # fmt: skip
    top_3, top_5 = part.numbers[1:3]
    assert (top_3.value, top_3.tone, top_5.value, top_5.tone) == (percent(0.5), "bad", percent(0.9375), "bad")
    text = check(run_page(sample_data.run(), [part]).render()).text
    assert "among the 3 likeliest. Always the 3 commonest would score 75.00 %." in text  # 5 + 4 + 3
    assert "among the 5 likeliest. Always the 5 commonest would score 93.75 %." in text
    assert class_part(clothing(top_3=0.76)).numbers[1].tone == "good"
    assert (part.figures["clothing top-3"], part.figures["clothing top-5"]) == (0.5, 0.9375)


@pytest.mark.parametrize("unknown", [None, float("nan")])
def test_unknown_top_accuracies_leave_no_trace(unknown):
    part = class_part(clothing(top_3=unknown, top_5=unknown))
    assert not [number for number in part.numbers if "top" in number.label]
    assert part.figures["clothing top-3"] is None and part.figures["clothing top-5"] is None
    nobody = small(np.zeros((6, 6), int), CLOTHES, title="clothing", top_3=unknown, top_5=unknown)
    assert len(class_part(nobody).numbers) == 1


def test_the_matrix_of_clothing_is_not_that_of_ifans_paper():
    reader = render(clothing(top_3=0.75))[1]
    assert reader.sections == ["result", "clothing", "run"]
    assert "What each clothing is taken for" in reader.text and "iFAN" not in reader.text


def test_names_from_outside_are_escaped():
    nasty = "<img src=http://x.example/>'Zoë'"
    results = sample_data.emotion_results()
    results = dataclasses.replace(results, classes=(nasty, "<b>sad</b>", *results.classes[2:]), dataset=nasty)
    page, reader = render(dataclasses.replace(results, title="<i>mood</i>"), {0: results, 1: results})
    assert reader.text.count(nasty) >= 5
    assert "<img src=http" not in page and "<b>sad" not in page and "<i>mood" not in page


def test_wrong_shapes_are_refused_with_both_shapes():
    results = sample_data.emotion_results()
    with pytest.raises(ValueError, match=r"ClassResults.confusion should have shape \[7, 7\], got \[7, 3\]"):
        dataclasses.replace(results, confusion=results.confusion[:, :3])
    with pytest.raises(ValueError, match=r"ClassResults.recall should have shape \[7\], got \[6\]"):
        dataclasses.replace(results, recall=results.recall[1:])
