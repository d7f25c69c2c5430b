"""Landmark formulas against numbers worked out by hand."""

import io
import math

import numpy as np
import PIL.Image
import pytest

from components.evaluator.landmark_metrics import _measure, image_size, normalised_mean_error, summarize

FACE = np.array([[0.25, 0.5], [0.75, 0.5], [0.5, 0.6], [0.3, 0.8], [0.7, 0.8]])


def _shifted(x, y):
    return FACE + np.array([x, y])


def _encoded(size, image_format):
    buffer = io.BytesIO()
    PIL.Image.new("RGB", size).save(buffer, image_format)
    return buffer.getvalue()


def test_a_shift_costs_its_length_in_pixels():
    # 40 x 20 pixels: the eyes are 20 pixels apart, 0.1 to the side is 4 pixels and 0.1 down is 2.
    assert normalised_mean_error(FACE, _shifted(0.1, 0), (40, 20)) == pytest.approx(0.2)
    assert normalised_mean_error(FACE, _shifted(0, 0.1), (40, 20)) == pytest.approx(0.1)
    assert normalised_mean_error(FACE, FACE, (40, 20)) == 0


def test_one_wrong_point_counts_by_its_share():
    predicted = FACE.copy()
    predicted[2] += [0.3, 0.4]  # 0.5 in a square picture whose eyes are 0.5 apart: 1, shared by five points
    assert normalised_mean_error(FACE, predicted, (64, 64)) == pytest.approx(0.2)


def test_does_not_depend_on_resolution():
    predicted = FACE + np.random.default_rng(0).normal(0, 0.05, FACE.shape)
    small, large = (normalised_mean_error(FACE, predicted, size) for size in ((178, 218), (1780, 2180)))
    assert small == pytest.approx(large)


def test_coinciding_eyes_have_no_error():
    assert normalised_mean_error(np.full((5, 2), 0.5), FACE, (40, 20)) is None


def test_wrong_numbers_of_points_are_errors():
    with pytest.raises(ValueError, match="has 5 landmarks, the model predicts 68"):
        normalised_mean_error(FACE, np.zeros((68, 2)), (40, 20))
    with pytest.raises(ValueError, match=r"No mark-up has 7 points; NME is defined for \[5, 68"):
        normalised_mean_error(np.zeros((7, 2)), np.zeros((7, 2)), (40, 20))


@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
def test_size_from_the_header(image_format):
    encoded = _encoded((178, 218), image_format)
    assert image_size(encoded) == (178, 218)
    assert image_size(encoded[:700]) == (178, 218)  # pixels are not read


def test_sums_of_measured_failed_and_skipped_records():
    features = {"image/encoded": np.array([_encoded((40, 20), "PNG")], object)}
    labels = [FACE.ravel(), FACE.ravel(), np.full(10, 0.5)]
    predictions = [_shifted(0.025, 0), _shifted(0, 0.2), FACE]
    sums = sum(_measure(*pair, features, 0.10) for pair in zip(labels, predictions, strict=True))
    assert summarize(sums) == pytest.approx(
        {"nme": 0.125, "failure_rate": 0.5, "landmark_count": 2, "landmarks_skipped": 1}
    )


def test_predictions_that_are_no_numbers_are_failures():
    features = {"image/encoded": np.array([_encoded((40, 20), "PNG")], object)}
    values = summarize(_measure(FACE.ravel(), np.full((5, 2), np.nan), features, 0.10))
    assert math.isnan(values["nme"]) and values["failure_rate"] == 1


def test_no_record_is_undefined():
    values = summarize(np.zeros(4))
    assert math.isnan(values["nme"]) and math.isnan(values["failure_rate"]) and values["landmark_count"] == 0
