"""The part of a number an image."""

import numpy as np
import pytest

from components.record import FaceRecord
from components.tasks.regression.evaluation import summarize
from components.tasks.regression.report import answer, part
from components.tasks.reporting import Sample
from tests.components.page.page_checks import check
from tests.components.report import sample_run
from tests.support.tasks import bound_task

AGE = bound_task("age", "regression", scale=100.0)
# Labels 10, 20, 30, 40 predicted 2 too high each.
VALUES = summarize(np.array([4, 8, 16, 100, 3000, 8.0]))


def sample(index, label, predicted):
    image = np.zeros([8, 8, 3], np.uint8)
    labels = {} if label is None else {"age": np.array([label], np.float32)}
    return Sample(FaceRecord(f"{index}.jpg", "faces", b"", labels), image, {"age": np.float32(predicted)})


SAMPLES = [sample(index, 10.0 * index, 10.0 * index + 2) for index in range(1, 5)] + [sample(9, None, 33.3)]


def made(samples=tuple(SAMPLES)):
    run = sample_run.artifacts(AGE, values={"age": VALUES}, epochs=[{"loss": 1.0}], samples={"faces": samples})
    found = part(AGE, run)
    page = sample_run.page_of(run, *found.sections)
    check(page)
    return found, page


def test_errors_are_told_in_the_labels_unit():
    found, page = made()
    assert [headline.value for headline in found.headlines] == ["2.00", "0.97"]  # 1 - 16 / 500
    assert "2.00 above the labels" in page
    assert found.details == {"age mean error": {"all": pytest.approx(2.0)}}


def test_labelled_samples_are_dots_and_what_has_no_label_is_none():
    found, page = made()
    assert "A dot an image, 4 of the test images" in page
    assert len(found.sections[0].blocks) == 2
    without, _ = made(samples=(SAMPLES[-1],))
    assert len(without.sections[0].blocks) == 1


def test_on_an_image_the_number_stands_beside_its_label():
    (chip,) = answer(AGE, SAMPLES[1], None).chips
    assert chip.text == "age 22.0, labelled 20.0"
    unlabelled = answer(AGE, SAMPLES[-1], None)
    assert unlabelled.chips[0].text == "age 33.3"
