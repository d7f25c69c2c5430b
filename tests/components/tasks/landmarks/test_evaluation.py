"""Landmark formulas against numbers worked out by hand."""

import io
import math

import numpy as np
import PIL.ExifTags
import PIL.Image
import pytest

from components.config import Task
from components.tasks.annotation import Annotation, BoundTask, points
from components.tasks.landmarks import evaluation
from components.tasks.landmarks.evaluation import _measure, point_errors, summarize

FACE = np.array([[0.25, 0.5], [0.75, 0.5], [0.5, 0.6], [0.3, 0.8], [0.7, 0.8]])


def _shifted(x, y):
    return FACE + np.array([x, y])


def _encoded(size, image_format, orientation=1):
    exif = PIL.Image.Exif()
    exif[PIL.ExifTags.Base.Orientation] = orientation
    buffer = io.BytesIO()
    PIL.Image.new("RGB", size).save(buffer, image_format, exif=exif)
    return buffer.getvalue()


def _features(size, *stored):
    encoded = _encoded(size, *stored or ["PNG"])
    return {"image/id": np.array([b"7.png"], object), "image/encoded": np.array([encoded], object)}


def _bound(count):
    return BoundTask(Task("marks", "landmarks"), Annotation("landmarks", points(count)), "by_hand")


def test_a_shift_costs_its_length_in_pixels():
    # 40 x 20 pixels: the eyes are 20 pixels apart, 0.1 to the side is 4 pixels and 0.1 down is 2.
    np.testing.assert_allclose(point_errors(FACE, _shifted(0.1, 0), (40, 20)), [0.2] * 5)
    np.testing.assert_allclose(point_errors(FACE, _shifted(0, 0.1), (40, 20)), [0.1] * 5)
    np.testing.assert_array_equal(point_errors(FACE, FACE, (40, 20)), [0] * 5)


def test_one_wrong_point_counts_by_its_share():
    predicted = FACE.copy()
    predicted[2] += [0.3, 0.4]  # 0.5 in a square image whose eyes are 0.5 apart: 1, shared by five points
    np.testing.assert_allclose(point_errors(FACE, predicted, (64, 64)), [0, 0, 1, 0, 0])
    values = summarize(_measure(FACE.ravel(), predicted, _features((64, 64)), 5))
    assert (values["nme"], values["failure_rate"]) == pytest.approx((0.2, 1))
    np.testing.assert_allclose(values["point_nme"], [0, 0, 1, 0, 0])
    np.testing.assert_array_equal(values["point_failure_rate"], [0, 0, 1, 0, 0])


def test_a_photograph_that_is_stored_turned_is_measured_upright():
    # Eyes half the width apart, every point a tenth of the height too low, upright 100 wide and 200 high.
    turned = summarize(_measure(FACE.ravel(), _shifted(0, 0.1), _features((200, 100), "JPEG", 6), 5))
    upright = summarize(_measure(FACE.ravel(), _shifted(0, 0.1), _features((100, 200), "JPEG"), 5))
    assert turned["nme"] == upright["nme"] == pytest.approx(0.1 * 200 / (0.5 * 100))


def test_does_not_depend_on_resolution():
    predicted = FACE + np.random.default_rng(0).normal(0, 0.05, FACE.shape)
    small, large = (point_errors(FACE, predicted, size) for size in ((178, 218), (1780, 2180)))
    np.testing.assert_allclose(small, large)


def test_coinciding_eyes_have_no_error():
    assert point_errors(np.full((5, 2), 0.5), FACE, (40, 20)) is None


@pytest.mark.parametrize("labelled, predicted, configured", [(5, 68, 5), (68, 5, 5), (5, 5, 68)])
def test_wrong_numbers_of_points_are_errors(labelled, predicted, configured):
    expected = (
        f"has {labelled} landmarks, the model predicts {predicted}; the evaluation is configured for {configured}"
    )
    with pytest.raises(ValueError, match=rf"Record '7\.png' {expected}"):
        _measure(np.zeros(2 * labelled), np.zeros((predicted, 2)), _features((40, 20)), configured)
    with pytest.raises(ValueError, match=r"No mark-up has 7 points; NME is defined for \[5, 68"):
        evaluation.specs(_bound(7))


def test_sums_of_measured_failed_and_skipped_records():
    labels = [FACE.ravel(), FACE.ravel(), np.full(10, 0.5)]
    predictions = [_shifted(0.025, 0), _shifted(0, 0.2), FACE]
    predictions[1][4] = FACE[4]  # errors of 0.05 at every point; then of 0.2, but for the last: a mean of 0.16
    sums = sum(_measure(*pair, _features((40, 20)), 5) for pair in zip(labels, predictions, strict=True))
    values = summarize(sums)
    np.testing.assert_allclose(values.pop("point_nme"), [0.125] * 4 + [0.025])
    np.testing.assert_array_equal(values.pop("point_failure_rate"), [0.5] * 4 + [0])
    assert values == pytest.approx({"nme": 0.105, "failure_rate": 0.5, "annotated": 2, "landmarks_skipped": 1})


def test_nme_is_the_mean_over_the_points():
    predictions = FACE + np.random.default_rng(1).normal(0, 0.05, (8, 5, 2))
    values = summarize(sum(_measure(FACE.ravel(), each, _features((30, 50)), 5) for each in predictions))
    assert values["nme"] == pytest.approx(values["point_nme"].mean())


def test_predictions_that_are_no_numbers_are_failures():
    predicted = FACE.copy()
    predicted[3] = np.nan
    values = summarize(_measure(FACE.ravel(), predicted, _features((40, 20)), 5))
    assert math.isnan(values["nme"]) and values["failure_rate"] == 1
    np.testing.assert_array_equal(values["point_nme"], [0, 0, 0, np.nan, 0])
    np.testing.assert_array_equal(values["point_failure_rate"], [0, 0, 0, 1, 0])


def test_no_record_is_undefined_without_a_warning(recwarn):
    values = summarize(np.zeros(4 + 2 * 5))
    assert math.isnan(values["nme"]) and math.isnan(values["failure_rate"]) and values["annotated"] == 0
    assert values["point_nme"].shape == (5,) and np.isnan(values["point_nme"]).all()
    assert np.isnan(values["point_failure_rate"]).all() and not recwarn.list


def test_figures_are_errors():
    nme, failures = evaluation.figures(_bound(5), {"nme": 0.05, "failure_rate": 0.1, "annotated": 10.0})
    assert (nme.name, nme.value, nme.higher_is_better) == ("marks NME", 0.05, False)
    assert (failures.name, failures.value, failures.higher_is_better) == ("marks failure rate", 0.1, False)
