"""The model card: as Markdown, and what of it is on the page."""

from __future__ import annotations

import dataclasses

from components.config import Bar, Evaluation, Teacher
from components.page.formatting import interval_text
from components.report.bars import comparisons, reasons
from components.report.card import card, card_section, command
from components.report.collect import Verdict
from components.report.data_card import data_card
from components.tasks.figures import Figure
from tests.components.report.sample_run import ATTRIBUTES, EMOTION, artifacts, attribute_values

SLICES = {"Male": ("Male", "not Male")}


def run(**changed):
    values = {("attributes", side): attribute_values() for side in SLICES["Male"]}
    counts = {"Male": 411, "not Male": 587}
    return artifacts(ATTRIBUTES, EMOTION, slices=SLICES, counts=counts, values=values, **changed)


def test_what_the_card_says():
    text = card(run())
    for words in (
        "# Model card: ifan/3t-tiny", "seed 7", "`/data/serving/ifan/1715956200`", "Blessed; pushed.",
        "- `emotion`: classification: ", "For research; the images belong to their owners.",
        "| test images | annotated | | 95 % interval |", "| attributes mean accuracy | ", "By Male. A side's means",
        "| attributes labels never given | 998 | 0 |", "| attributes mean false positive rate | ",
        "Not to find out who somebody is",
        "| 587 test images: not Male |", "- attributes mean accuracy: +0.00 points (",
        "- attributes mean false positive rate: +0.00 points (", "| attributes always the commoner class |",
        "To be compared with: 91.15 % overall F1", "## Whether it passed",
        "no ground for a decision",
        "make run EXPERIMENT=ifan/3t-tiny DATA_DIR=… SEED=7", "tensorflow 2.15", "assets.extra/contract.json",
    ):  # fmt: skip
        assert words in text, words
    assert "dlib" not in text and "TensorFlow Lite" not in text
    assert "| attributes | yes for a score above |\n| --- | --- |\n| 5 o Clock Shadow | −0.200 |" in text
    assert "| Young | 0.200 |\n\n## What it is for" in text
    assert "dlib's detectors and five-point predictor: Boost licence" in card(run(frames={"attributes": {}}))
    assert "For TensorFlow Lite: `assets.extra/model.tflite` there." in card(run(lite=run().evaluation))


def test_landmarks_by_machine_have_their_terms():
    made = run()
    data = dataclasses.replace(made.experiment.data, annotate_landmarks="landmarks")
    made = dataclasses.replace(made, experiment=dataclasses.replace(made.experiment, data=data))
    assert "exclude commercial use" in card(made)


def test_settings_are_part_of_the_command():
    made = run(name="plain/a+training.epochs=2+data.image_size=64,64")
    settings = "SET='training.epochs=2 data.image_size=64,64'"
    assert command(made) == f"make run EXPERIMENT=plain/a DATA_DIR=… SEED=7 {settings}"


def test_on_the_page():
    section = card_section(run())
    assert section.anchor == "card" and len(section.blocks) > 6


def test_against_the_bar_and_the_last_blessed_model():
    task = dataclasses.replace(ATTRIBUTES, task=dataclasses.replace(ATTRIBUTES.task, bar=Bar("mean_accuracy", 0.6)))
    alone = artifacts(task)
    ((text, passed),) = comparisons(alone)
    value = alone.evaluation.value("attributes", "mean_accuracy")
    between = f"at least 60.00 %, is passed by {100 * (value - 0.6):.2f} points, and there is no blessed model"
    assert passed and between in text
    for change, better in ((0.01, True), (-0.01, False)):
        evaluation = dataclasses.replace(
            alone.evaluation,
            changes={("attributes", "mean_accuracy"): change},
            baseline="out/Trainer-x/model/6/Format-Serving",
        )
        ((text, passed),) = comparisons(dataclasses.replace(alone, evaluation=evaluation))
        before = f"The last blessed model (out/Trainer-x/model/6) has {100 * (value - change):.2f} %"
        assert passed is better and f"{before}: {'+' if better else '−'}1.00 points against it." in text


def test_a_missed_bar_is_told_once():
    task = dataclasses.replace(ATTRIBUTES, task=dataclasses.replace(ATTRIBUTES.task, bar=Bar("mean_accuracy", 0.99)))
    said = ("attributes mean_accuracy 0.9 is below the bar 0.99", "emotion accuracy is undefined: no record")
    missed, other = reasons(artifacts(task, EMOTION, verdict=Verdict(False, said, serving_ok=True)))
    assert "the bar, at least 99.00 %, is missed by" in missed and other == said[1]


def test_against_the_bar_on_the_widest_gap():
    values = attribute_values()
    more = values | {"accuracy": values["accuracy"] + 0.07}
    sides = {("attributes", "Male"): more, ("attributes", "not Male"): values}
    whole = {"attributes": values | {"widest_accuracy_gap": 0.07}}
    alone = artifacts(ATTRIBUTES, slices=SLICES, counts={"Male": 411, "not Male": 587}, values=whole | sides)
    for most, words in ((0.1, "passed by 3.00"), (0.05, "missed by 2.00")):
        evaluation = Evaluation(slice_by=("Male",), max_gaps={"accuracy": most})
        experiment = dataclasses.replace(alone.experiment, evaluation=evaluation)
        ((text, passed),) = comparisons(dataclasses.replace(alone, experiment=experiment))
        assert text.startswith("attributes widest accuracy gap is 7.00 %; the bar, at most ")
        assert text.endswith(f"is {words} points. It is by Male.")
        assert passed is (most > 0.07)


def test_a_gap_beyond_chance_is_said_on_the_card():
    values = attribute_values()
    sides = {
        ("attributes", "Male"): values | {"accuracy": values["accuracy"] + 0.07},
        ("attributes", "not Male"): values,
    }
    text = card(artifacts(ATTRIBUTES, slices=SLICES, counts={"Male": 411, "not Male": 587}, values=sides))
    said = "- attributes mean accuracy: +7.00 points (+5.52 to +8.48) with Male: more than chance makes it"
    assert said in text and "false positive rate: +0.00 points (" in text


def test_labels_that_are_never_given_are_named_and_bars_told():
    values = attribute_values()
    never = values | {name: values[name].copy() for name in ("true_positives", "false_positives", "false_negatives")}
    for name, count in (("true_positives", 0), ("false_positives", 0), ("false_negatives", 9)):
        never[name][[4, 15]] = count
    task = dataclasses.replace(ATTRIBUTES, task=dataclasses.replace(ATTRIBUTES.task, bar=Bar("mean_accuracy", 0.99)))
    text = card(artifacts(task, values={"attributes": never}))
    assert "Of attributes it never gives Bald, Eyeglasses: of no use there." in text
    assert "- attributes mean accuracy is " in text and "the bar, at least 99.00 %, is missed by" in text


def test_drawn_faces_are_nobodys():
    made = run(of_people=False)
    assert "what it says of a photograph means nothing" in card(made) and "sorting of one's own" not in card(made)
    assert "make run EXPERIMENT=ifan/3t-tiny SEED=7" in card(made)
    assert "other people's opinions of pictures" in data_card(run())
    assert "other people's opinions of pictures" not in data_card(made)


def test_intervals_in_words():
    assert interval_text(Figure("a", 0.9, error=0.01).interval, share=True) == "87.91 to 92.09"
    assert interval_text(Figure("a", 5.0, error=0.5, share=False).interval, share=False) == "3.95 to 6.05"
    assert interval_text(Figure("a", 0.9).interval, share=True) == ""


def test_what_is_said_of_the_data():
    text = data_card(run())
    names = [config.name for config in run().experiment.data.datasets]
    assert all(f"## {name.replace('_', ' ')}\n\nFor research; the images" in text for name in names)
    for words in (
        "# Data of ifan/3t-tiny", "at commit ", "`make run EXPERIMENT=ifan/3t-tiny", "- Labels are other people's",
        "| split | read | kept | quarantined |", "**emotion** (classification): came with",
        "| happy | 24.7\u00a0% |", "| Wearing Hat | ", "| image can't be decoded: truncated | 6 |",
    ):  # fmt: skip
        assert words in text, words


def test_where_labels_come_from_is_said():
    made = run()
    data = dataclasses.replace(made.experiment.data, teachers=(Teacher("emotion", "branching/joint"),))
    made = dataclasses.replace(made, experiment=dataclasses.replace(made.experiment, data=data))
    assert "training images without it have the scores of branching/joint" in data_card(made)
    made = dataclasses.replace(made, data=dataclasses.replace(made.data, quarantine_reasons={}))
    assert "Nothing: every record could be read." in data_card(made)
