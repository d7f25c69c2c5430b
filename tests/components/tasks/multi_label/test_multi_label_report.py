import dataclasses
import re
import subprocess
import sys
import time

import numpy as np
import pytest
import sample_data
from page_checks import check
from sample_data import attribute_page

from components.report.common import decimal, percent, points
from components.report.data import History, Pictures, SplitCount, Verdict
from components.report.learning import representative
from components.report.predictions import most_confident_mistakes


def render(**parts):
    return attribute_page(sample_data.run(), **parts).render()


@pytest.fixture(scope="module")
def whole():
    start = time.process_time()
    page = attribute_page(**sample_data.whole_report()).render()
    return page, check(page), time.process_time() - start


def test_a_report_takes_seconds_and_stays_small(whole):
    page, _, seconds = whole
    assert seconds < 10
    assert len(page) < 2_000_000


def test_every_section_is_there_in_order(whole):
    sections = ["result", "predictions", "attention", "attributes", "fairness", "learning", "data", "run"]
    assert whole[1].sections == sections


def test_key_numbers_appear(whole):
    text, results = whole[1].text, sample_data.results()
    for share in (results.mean_accuracy, results.mean_balanced_accuracy, results.landmark_nme):
        assert percent(share).replace("\u00a0", " ") in text
    assert decimal(results.mean_f1) in text
    assert "Blessed" in text and "Serving check passed" in text and "Pushed" in text
    assert "91.70 % mean accuracy on CelebA" in text
    assert "10,000 9,991 9" in text  # read, kept, quarantined
    assert "7,801" in text and "found value 9 in 3 records" in text
    assert "88,713,432 (354.9 MB as float32)" in text
    assert "41.3" in text and "from the cache" in text
    assert "tensorboard --logdir" in text and "docker run" in text


def test_the_table_has_a_row_for_every_attribute(whole):
    results = sample_data.results()
    for index, name in enumerate(results.names):
        row = f"{name.replace('_', ' ')} {100 * results.accuracy[index]:.2f}"
        assert row in whole[1].text


def test_gaps_are_signed_and_few_images_are_pointed_out(whole):
    for each in sample_data.slices():
        assert points(each.gap) in whole[1].text
    assert "Fewer than 100 images on one side (Eyeglasses)" in whole[1].text


def test_twelve_pictures_with_landmarks_and_a_chip_for_every_yes(whole):
    page, reader, _ = whole
    assert reader.count("article") == 12 + 6  # and the mistakes
    assert page.count("<circle") == 12 * 68
    pictures = sample_data.pictures().pictures
    said_or_labelled = sum(int(np.sum(p.decisions | (0 if p.attributes is None else p.attributes))) for p in pictures)
    legend = 4
    assert sum(reader.count("li", cls=f"chip {tone}") for tone in ("good", "bad", "")) == said_or_labelled + legend
    assert "not labelled" in reader.text


def test_the_figures_of_learning_have_axis_labels_and_name_the_papers_attributes(whole):
    page = whole[0]
    for label in ("iterations (batches)", "weight λ (no unit)", "threshold τ (score)", "learning rate (log scale)"):
        assert f">{label}</text>" in page
    for name in ("Mouth Slightly Open", "Young"):
        assert page.count(f">{name}</text>") >= 2 + 2  # Figs. 5 and 6, and the two charts of all attributes
    assert "The 10 that moved most of 40" in whole[1].text


def test_weights_and_thresholds_that_never_moved_leave_no_figure():
    history = sample_data.history()
    fixed = dataclasses.replace(
        history, weights=np.ones_like(history.weights), thresholds=np.full_like(history.thresholds, 0.5)
    )
    text = check(render(history=fixed)).text
    assert "Validation loss of the attributes" in text
    for absent in ("Dynamic weights", "Adaptive thresholds", "The weights change"):
        assert absent in check(render(history=history)).text
        assert absent not in text


def without(record):
    """The record with every optional field unknown."""
    return dataclasses.replace(record, **{f.name: None for f in dataclasses.fields(record) if f.default is None})


def bare_parts():
    """Every part, each with nothing optional in it."""
    pictures = sample_data.pictures()
    return {
        "data": without(sample_data.data_summary()),
        "results": without(sample_data.results()),
        "slices": [
            dataclasses.replace(each, having=without(each.having), lacking=without(each.lacking))
            for each in sample_data.slices()
        ],
        "history": dataclasses.replace(without(sample_data.history()), names=()),
        "pictures": dataclasses.replace(pictures, pictures=tuple(without(picture) for picture in pictures.pictures)),
        "verdict": Verdict(blessed=None),
    }


def test_parts_with_nothing_optional():
    reader = check(render(**bare_parts()))
    assert len(reader.sections) == 7
    assert "Not judged" in reader.text
    for absent in ("Majority baseline", "Threshold", "landmarks:", "The mistakes it is surest of", "Dynamic weights"):
        assert absent not in reader.text


@pytest.mark.parametrize(
    "part, section",
    [
        ("data", "data"),
        ("results", "attributes"),
        ("slices", "fairness"),
        ("history", "learning"),
        ("pictures", "predictions"),
        ("verdict", None),
    ],
)
def test_a_missing_part_leaves_no_trace(part, section):
    parts = bare_parts()
    del parts[part]
    reader = check(render(**parts))
    assert section not in reader.sections
    assert len(reader.sections) == 7 - (section is not None)


def test_nothing_but_the_run():
    run = dataclasses.replace(
        sample_data.run(), target=None, seed=None, components=None, parameters=None, image_size=None,
        model_location=None, log_location=None, tensorboard_command=None, serving_commands=None,
    )  # fmt: skip
    reader = check(attribute_page(run).render())
    assert reader.sections == ["result", "run"]
    assert "was not evaluated" in reader.text


def test_one_epoch_one_attribute_and_figures_that_are_undefined():
    names, nan = ("Hat",), np.array([np.nan])
    history = History(np.ones(1), np.ones(1), np.zeros(1), names, *[np.ones((1, 1))] * 3)
    results = dataclasses.replace(
        sample_data.results(), names=names, accuracy=np.ones(1), majority_accuracy=np.ones(1), balanced_accuracy=nan,
        f1=nan, positive_rate_true=np.zeros(1), positive_rate_predicted=np.zeros(1), thresholds=np.zeros(1),
        mean_balanced_accuracy=np.nan, mean_f1=np.nan, mean_accuracy=1.0,
    )  # fmt: skip
    assert "over 1 epoch." in check(render(history=history, results=results)).text


def test_names_from_outside_are_escaped():
    nasty = "<img src=http://x.example/>'Zoë'.jpg"
    sample = sample_data.pictures(count=2)
    first = dataclasses.replace(sample.pictures[0], id=nasty)
    names = ("<b>Hat</b>", *sample.names[1:])
    data = dataclasses.replace(sample_data.data_summary(), attribute_names=names, anomalies=(nasty,))
    results = dataclasses.replace(sample_data.results(), names=names)
    verdict = dataclasses.replace(sample_data.verdict(), reasons=(nasty,), serving_message=nasty)
    page = render(pictures=Pictures(names, sample.thresholds, (first,)), data=data, results=results, verdict=verdict)
    assert nasty in check(page).text
    assert "<b>Hat" not in page


def test_a_model_below_the_majority_is_said_to_be():
    results = dataclasses.replace(sample_data.results(), mean_accuracy=0.7)
    assert re.search(r"The model is \d+\.\d\d points below it", check(render(results=results)).text)


def test_records_that_vanished_are_reported():
    data = dataclasses.replace(sample_data.data_summary(), splits={"train": SplitCount(100, 90, 7)})
    assert "train: 3 records were read but neither kept nor quarantined" in check(render(data=data)).text


def test_the_surest_mistakes_come_first():
    pictures = sample_data.pictures()
    mistakes = most_confident_mistakes(pictures)
    margins = [abs(picture.scores[index] - pictures.thresholds[index]) for picture, index in mistakes]
    assert margins == sorted(margins, reverse=True)
    assert all(picture.decisions[index] != picture.attributes[index] for picture, index in mistakes)


def test_representative_attributes_where_the_papers_are_missing():
    history = sample_data.history()
    assert [history.names[index] for index in representative(history)] == ["Mouth_Slightly_Open", "Young"]
    renamed = dataclasses.replace(history, names=tuple(f"a{index}" for index in range(40)))
    assert representative(renamed) == [0, 39]


def test_wrong_shapes_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"f1 should have shape \[40\], got \[3\]"):
        dataclasses.replace(sample_data.results(), f1=np.ones(3))


@pytest.mark.parametrize("value, written", [(0.917, "91.70\u00a0%"), (None, "–"), (float("nan"), "–")])
def test_percent(value, written):
    assert percent(value) == written


def test_no_number_is_minus_nought():
    assert (points(-0.00001), decimal(-0.0001)) == ("+0.00", "0.000")
    assert points(-0.0117) == "−1.17"


def test_the_report_needs_no_tensorflow():
    code = "import sys, components.report; print({'tensorflow', 'tfx', 'apache_beam'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
