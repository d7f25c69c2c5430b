"""The whole page of a run, and its figures for programs."""

import dataclasses
import json
import re
import time

import numpy as np
import pytest

from components.page.page import Part
from components.report.collect import DataSummary, Verdict
from components.report.data_section import data_section
from components.report.run_page import parts_of, results_json, run_page
from tests.components.page.page_checks import check
from tests.components.report import sample_run
from tests.components.report.sample_run import AGE, ATTRIBUTES, EMOTION, LANDMARKS, PARSING, artifacts, evaluation

TASKS = (PARSING, LANDMARKS, EMOTION, ATTRIBUTES)


def results(run):
    return json.loads(results_json(run, parts_of(run), "out/index.html"))


@pytest.fixture(scope="module")
def whole():
    start = time.process_time()
    page = sample_run.whole_page(artifacts(*TASKS, lite=evaluation(TASKS)))
    return page, check(page), time.process_time() - start


def test_every_task_has_its_sections_in_the_tasks_order(whole):
    page, reader, seconds = whole
    assert reader.sections == [
        "result", "predictions", "parsing-images", "parsing-classes", "landmarks", "emotion", "emotion-scores",
        "attributes-mistakes", "attributes", "attributes-scores", "learning", "data", "card", "run",
    ]  # fmt: skip
    assert reader.count("p", cls="value") == 4 + 2 + 2 + 4
    assert len(page) < 2_000_000 and seconds < 30


def test_what_ran_is_there(whole):
    text = whole[1].text
    for words in (
        "91.15 % overall F1 on Helen", "seed 7", "88,713,432 (354.9 MB as float32)",
        "15 epochs, 41.3 minutes, 75.2 of all processors, in mixed_bfloat16",
        "bfloat16 where the processor is faster in it",
        "in float32: parsing mean f1 0.7100; in bfloat16: parsing mean f1 0.7095",
        "assets.extra/model.tflite in the model's folder, 0.4 MB; on the same images parsing mean F1 ",
        "Blessed", "Serving check passed", "Pushed", "224 × 224", "docker run", "tensorboard --logdir",
    ):  # fmt: skip
        assert words in text
    assert text.count(sample_run.VERDICT.pushed_path) == 2, "as the model, and in the command that serves it"


def test_the_data_is_counted(whole):
    text = whole[1].text
    assert "All 9,000 8,991 9" in text and "train 0 7,801 192" in text and "train: clothing 3,068 8,000" in text
    assert "found value 9 in 3 records" in text and "Zoë <b>7</b>.jpg missing file" in text


def test_data_without_anything_else():
    section = data_section(DataSummary({"train": {"read": 100, "kept": 90, "quarantined": 7}}))
    notes = [(block.tone, block.text) for block in section.blocks if hasattr(block, "tone")]
    assert [tone for tone, _ in notes] == ["bad", "good"] and "train: 3 records" in notes[0][1]
    assert len([block for block in section.blocks if hasattr(block, "rows")]) == 1


def test_data_sets_are_held_against_the_first():
    random = np.random.default_rng(0)
    looks = {name: {"image brightness": random.normal(0.5, 0.1, 300), "label age": np.ones(9)} for name in ("a", "b")}
    looks["dark"] = {"image brightness": random.normal(0.2, 0.1, 300), "landmarks.x": np.ones(9)}
    data = DataSummary({"train": {"read": 1, "kept": 1, "quarantined": 0}}, validated=looks)
    *_, table, note = data_section(data).blocks
    ((what, *spreads, alike, apart),) = table.rows
    assert [column.heading for column in table.columns][-2:] == ["b: distance", "dark: distance"]
    assert what.text == "image brightness" and len(spreads) == 3 and spreads[2].text == "0.197 ± 0.093"
    assert (alike.tone, apart.tone) == ("", "bad") and float(apart.text) > 0.1 > float(alike.text)
    assert note.tone == "bad" and "Other than a" in note.text and "dark: image brightness: 0.197" in note.text
    *_, note = data_section(dataclasses.replace(data, validated={"a": looks["a"], "b": looks["b"]})).blocks
    assert note.tone == "good" and "no more than chance" in note.text


def test_a_model_that_is_not_blessed_says_why():
    nasty = "<b>parsing mean_f1</b> 0.1 is below the bar 0.3"
    verdict = Verdict(False, (nasty,), serving_ok=False, serving_message="two answers differ")
    run = artifacts(EMOTION, verdict=verdict)
    page = sample_run.whole_page(run)
    reader = check(page)
    assert reader.count("li", cls="badge bad") == 2 and reader.count("li", cls="badge quiet") == 1
    assert nasty in reader.text and "two answers differ" in reader.text
    found = results(run)
    assert found["verdict"] == "not pushed" and found["reasons"] == [nasty, "two answers differ"]
    assert found["places"]["model"] == run.model_path and run.model_path in reader.text


def test_figures_for_programs():
    run = artifacts(*TASKS)
    found = results(run)
    measured = {figure.name: figure.value for task in TASKS for figure in run.evaluation.figures(task.name)}
    others = {
        "images tested": 998, "parameters": 88_713_432, "training minutes": 41.3, "epochs": 15,
        "processor minutes": 75.2, "records quarantined": 9,
    }  # fmt: skip
    assert found["figures"] == pytest.approx(measured | others)
    for name in (
        "parsing mean F1", "parsing mean IoU", "parsing pixel accuracy", "parsing overall F1", "parsing mouth F1",
        "landmarks NME", "landmarks failure rate", "emotion accuracy", "emotion always the commonest",
        "emotion mean recall", "attributes mean accuracy", "attributes always the commoner class",
        "attributes mean balanced accuracy", "attributes mean F1", "attributes top-10 recall",
    ):  # fmt: skip
        assert name in measured
    assert list(found["parsing F1"]) == list(sample_run.CLASSES)
    assert {"landmarks point NME", "emotion recall", "attributes accuracy"} <= set(found)
    assert (found["experiment"], found["seed"], found["overrides"]) == ("ifan/3t-tiny", 7, [])
    assert found["places"]["report"] == "out/index.html"


def test_what_tensorflow_lite_reached_stands_beside_the_served_model():
    worse = evaluation((LANDMARKS,), {"landmarks": sample_run.landmark_values(iteration=1)})
    run = artifacts(LANDMARKS, values={"landmarks": sample_run.landmark_values(iteration=2)}, lite=worse)
    assert "0.4 MB; on the same images landmarks NME 6.04 instead of 4.83 %" in check(sample_run.whole_page(run)).text
    assert results(run)["TensorFlow Lite"]["landmarks NME"] == pytest.approx(0.0604)
    assert results(run)["figures"]["landmarks NME"] == pytest.approx(0.04832)


def test_no_file_of_tensorflow_lite_is_explained():
    run = artifacts(EMOTION)
    run.training["lite"]["error"] = "TensorFlow Lite can't express this network: no Svd"
    assert "As TensorFlow Lite none. TensorFlow Lite can't express this network: no Svd" in (
        check(sample_run.whole_page(run)).text
    )
    assert "TensorFlow Lite" not in results(run)


def test_compared_are_the_headline_figures():
    found = results(artifacts(*TASKS))
    assert set(found["compared"]) < set(found["figures"])
    assert {"parsing mean F1", "landmarks NME", "emotion accuracy", "training minutes"} <= set(found["compared"])
    assert "emotion always the commonest" not in found["compared"]


def test_undefined_figures_are_left_out():
    found = results(artifacts(LANDMARKS, values={"landmarks": sample_run.landmark_values(count=0)}))
    assert "landmarks NME" not in found["figures"] and "landmarks NME" not in found["compared"]


def test_what_is_shown_in_percent():
    run = artifacts(ATTRIBUTES, AGE)
    shares = json.loads(results_json(run, parts_of(run), "page"))["shares"]
    assert "attributes mean accuracy" in shares and "age mean absolute error" not in shares
    gaps = Part(metrics={"gap": 0.1, "branches": 3}, shares=("gap",))
    assert "gap" in json.loads(results_json(run, [gaps], "page"))["shares"]


def test_a_task_that_was_not_measured_leaves_no_part():
    run = artifacts(EMOTION, LANDMARKS)
    measured = dataclasses.replace(evaluation((EMOTION,)), tasks=run.tasks)
    run = dataclasses.replace(run, evaluation=measured)
    reader = check(run_page(run, parts_of(run)).render())
    assert "emotion" in reader.sections and "landmarks" not in reader.sections
    assert not [name for name in results(run)["figures"] if name.startswith("landmarks")]


def test_overrides_are_told():
    run = artifacts(EMOTION, name="ifan/3t-tiny+training.epochs=2")
    assert "training.epochs=2" in check(sample_run.whole_page(run)).text
    assert results(run)["overrides"] == ["training.epochs=2"]


def test_three_labels_make_no_wide_chart():
    tags = sample_run.bound("tags", "multi_label", ("Hat", "Young", "Tie"))
    page = sample_run.whole_page(artifacts(tags))
    section = page[page.index('<section id="tags">') : page.index('<section id="learning">')]
    assert not re.search(r'<figure class="wide">', section)
