"""Parsing formulas against numbers worked out by hand and against scikit-learn; a record's counts; what is refused."""

import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from components.config import Bar, Task
from components.datasets.helen import Helen
from components.tasks import ratios
from components.tasks.annotation import Annotation, BoundTask
from components.tasks.segmentation import evaluation
from components.tasks.segmentation.evaluation import SegmentationMetrics, _measure, confusion, summarize
from components.tasks.segmentation.label_maps import encode_grey
from tests.support.metrics import combined

# Background, left eye, right eye, a hat that nobody wears. TP 50, 6, 4, 0; FP 1, 4, 5, 0; FN 6, 2, 2, 0.
COUNTS = np.array([[50, 2, 4, 0], [1, 6, 1, 0], [0, 2, 4, 0], [0, 0, 0, 0]])
FEATURES = {"image/id": np.array([b"7.png"], object)}


def _png(labels):
    return np.array([encode_grey(np.array(labels, np.uint8))], object)


def _mean(name, counts):
    return summarize(np.append(counts, 1), len(counts), [])[name]


def test_confusion_of_an_image_leaves_out_what_is_to_be_ignored():
    truth = np.array([[0, 0, 1], [2, 255, 1]], np.uint8)
    predicted = np.array([[0, 1, 1], [0, 2, 1]], np.uint8)
    counts = confusion(truth, predicted, 3)
    np.testing.assert_array_equal(counts, [[1, 1, 0], [0, 2, 0], [1, 0, 0]])
    assert counts.dtype == np.int64
    assert not confusion(np.full((2, 3), 255, np.uint8), predicted, 3).any()


def test_cells_of_many_classes_do_not_overflow_the_labels_type():
    truth, predicted = np.array([[18, 17]], np.uint8), np.array([[17, 18]], np.uint8)
    assert np.argwhere(confusion(truth, predicted, 19)).tolist() == [[17, 18], [18, 17]]


@pytest.mark.parametrize("wrong", [3, 255])
def test_a_prediction_outside_the_classes_is_not_counted_elsewhere(wrong):
    with pytest.raises(ValueError, match="coordinates"):
        confusion(np.zeros((1, 2), np.uint8), np.array([[0, wrong]], np.uint8), 3)


def test_formulas_worked_by_hand():
    np.testing.assert_allclose(ratios.f1(COUNTS), [100 / 107, 12 / 18, 8 / 15, np.nan])
    np.testing.assert_allclose(evaluation.iou(COUNTS), [50 / 57, 6 / 12, 4 / 11, np.nan])
    assert ratios.accuracy(COUNTS) == pytest.approx(60 / 70)


def test_means_worked_by_hand():
    assert _mean("mean_f1", COUNTS) == pytest.approx((2 / 3 + 8 / 15) / 2)  # without background and hat
    assert _mean("mean_iou", COUNTS) == pytest.approx((50 / 57 + 1 / 2 + 4 / 11) / 3)  # without the hat


def test_a_class_that_is_only_predicted_or_only_in_the_truth_counts_as_zero():
    only_predicted, only_true = np.array([[3, 1], [0, 0]]), np.array([[3, 0], [1, 0]])
    for counts in (only_predicted, only_true):
        np.testing.assert_allclose(ratios.f1(counts), [6 / 7, 0])
        np.testing.assert_allclose(evaluation.iou(counts), [3 / 4, 0])


def test_overall_f1_worked_by_hand():
    # Both eyes as one: TP 6 + 1 + 2 + 4 = 13, FP 2 + 4 = 6, FN 1 + 0 = 1. The hat: nothing.
    assert evaluation.overall_f1(COUNTS, [[1, 2], [3]]) == pytest.approx(26 / 33)
    # Apart: TP 10, FP 9, FN 4. Background too: TP 63, FP 7, FN 7.
    assert evaluation.overall_f1(COUNTS, [[1], [2]]) == pytest.approx(20 / 33)
    assert evaluation.overall_f1(COUNTS, [(1, 2), (0,)]) == pytest.approx(126 / 140)
    assert math.isnan(evaluation.overall_f1(COUNTS, [[3]]))


def test_f1_of_parts_worked_by_hand():
    # The eyes as in the overall F1; background: TP 50, FP 1, FN 6; the hat: nothing.
    np.testing.assert_allclose(evaluation.part_f1(COUNTS, [[1, 2], [0], [3]]), [26 / 33, 100 / 107, np.nan])
    np.testing.assert_allclose(evaluation.part_f1(COUNTS, [[0], [1], [2], [3]]), ratios.f1(COUNTS))


def test_overall_f1_of_one_class_is_its_f1_and_of_single_classes_is_at_least_the_least():
    counts = np.random.default_rng(0).integers(0, 50, (6, 6))
    f1 = ratios.f1(counts)
    for k in range(6):
        assert evaluation.overall_f1(counts, [[k]]) == pytest.approx(f1[k])
    assert f1.min() <= evaluation.overall_f1(counts, [[k] for k in range(6)]) <= f1.max()


def test_left_taken_for_right_costs_nothing_in_helens_overall_f1():
    truth = np.array([[2, 3, 4], [5, 7, 9]], np.uint8)
    swapped = np.array([[3, 2, 5], [4, 8, 7]], np.uint8)  # brows, eyes and parts of the mouth among themselves
    annotation = Helen.ANNOTATIONS["parsing"]
    merged = [[annotation.names.index(name) for name in names] for names in annotation.merged_parts.values()]
    counts = confusion(truth, swapped, len(annotation.names))
    assert evaluation.overall_f1(counts, merged) == 1 and _mean("mean_f1", counts) == 0


def test_f1_and_iou_say_the_same():
    counts = np.random.default_rng(1).integers(0, 50, (7, 7))
    iou = evaluation.iou(counts)
    np.testing.assert_allclose(ratios.f1(counts), 2 * iou / (1 + iou))


def test_agrees_with_scikit_learn():
    truth, predicted = np.random.default_rng(2).integers(0, 5, (2, 40, 30), np.uint8)
    counts = confusion(truth, predicted, 5)
    flat = truth.ravel(), predicted.ravel()
    np.testing.assert_array_equal(counts, sklearn_metrics.confusion_matrix(*flat))
    np.testing.assert_allclose(ratios.f1(counts), sklearn_metrics.f1_score(*flat, average=None))
    np.testing.assert_allclose(evaluation.iou(counts), sklearn_metrics.jaccard_score(*flat, average=None))
    assert _mean("mean_iou", counts) == pytest.approx(sklearn_metrics.jaccard_score(*flat, average="macro"))
    assert ratios.accuracy(counts) == pytest.approx(sklearn_metrics.accuracy_score(*flat))


def test_summary_of_the_counts():
    values = summarize(np.append(COUNTS, 3), num_classes=4, merged=[[1, 2]])
    np.testing.assert_allclose(values["part_f1"], [26 / 33])
    assert {name: values[name] for name in ("mean_f1", "mean_iou", "pixel_accuracy", "overall_f1")} == pytest.approx(
        {"mean_f1": 0.6, "mean_iou": (50 / 57 + 1 / 2 + 4 / 11) / 3, "pixel_accuracy": 6 / 7, "overall_f1": 26 / 33}
    )
    assert values["annotated"] == 3
    np.testing.assert_array_equal(values["confusion"], COUNTS)
    assert not {"overall_f1", "part_f1"} & set(summarize(np.append(COUNTS, 3), num_classes=4, merged=[]))


def test_no_record_is_undefined_without_a_warning(recwarn):
    values = summarize(np.zeros(10, np.int64), num_classes=3, merged=[[1, 2]])
    assert all(math.isnan(values[name]) for name in ("mean_f1", "mean_iou", "pixel_accuracy", "overall_f1"))
    assert all(np.isnan(values[name]).all() for name in ("f1", "iou", "part_f1"))
    assert values["annotated"] == 0 and not recwarn.list


def test_background_alone_has_no_mean_f1():
    assert math.isnan(_mean("mean_f1", np.array([[9, 0], [0, 0]])))


def test_counts_of_a_record_are_taken_at_the_top_left():
    predicted = np.full((4, 5), 255, np.uint8)
    predicted[:2, :3] = [[0, 1, 1], [0, 2, 1]]
    sums = _measure(_png([[0, 0, 1], [2, 255, 1]]), predicted, FEATURES, num_classes=3)
    np.testing.assert_array_equal(sums, [1, 1, 0, 0, 2, 0, 1, 0, 0, 1])


@pytest.mark.parametrize(
    "predicted, received",
    [
        (np.zeros((2, 2), np.uint8), r"an array of shape \(2, 2\)"),
        (np.zeros((1, 3), np.uint8), r"an array of shape \(1, 3\)"),
        (np.zeros(6, np.uint8), r"an array of shape \(6,\)"),
        (np.array([[0, 1, 2], [0, 0, 3]], np.uint8), "the label 3"),
        (np.array([[0, 1, 2], [0, 255, 0]], np.uint8), "the label 255"),  # where the truth is ignored
        (np.zeros((2, 4), np.uint8), "labels beyond the image, in 4x2"),
    ],
)
def test_a_prediction_that_does_not_fit_is_an_error(predicted, received):
    expected = "expected labels from 0 to 2 in 3x2, the size of its label map"
    with pytest.raises(ValueError, match=rf"Record '7\.png': the model gives {received}; {expected}"):
        _measure(_png([[0, 0, 1], [2, 255, 1]]), predicted, FEATURES, num_classes=3)


def test_a_label_map_that_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match=r"'label map of 7\.png' has the label 3; expected 0 to 2"):
        _measure(_png([[0, 3]]), np.zeros((1, 2), np.uint8), FEATURES, num_classes=3)
    with pytest.raises(ValueError, match=r"'label map of 7\.png' can't be read as a PNG"):
        _measure(np.array([b"no image"], object), np.zeros((1, 2), np.uint8), FEATURES, num_classes=3)


def test_sums_of_records_are_those_of_all_pixels_at_once():
    random = np.random.default_rng(3)
    metric = SegmentationMetrics(list("abc"), {"part": ["b", "c"]}, task="parts")
    (computation,) = metric.computations(model_names=[""], output_names=["parts"])
    truths, predictions = random.integers(0, 3, (2, 8, 5, 6), np.uint8)
    sums = [_measure(_png(t), p, FEATURES, num_classes=3) for t, p in zip(truths, predictions, strict=True)]
    merged = combined(computation, sums)
    np.testing.assert_array_equal(
        merged["confusion"], sklearn_metrics.confusion_matrix(truths.ravel(), predictions.ravel())
    )
    assert merged["annotated"] == 8 and merged["overall_f1"] > merged["mean_f1"]


def _bound(merged_parts, bar=None):
    task = Task("parts", "segmentation", bar=bar and Bar(bar, at_least=0.5))
    return BoundTask(task, Annotation("segmentation", ("back", "left", "right", "hat"), merged_parts), "by_hand")


def test_what_can_not_be_measured_is_refused():
    with pytest.raises(ValueError, match=r"Can't merge nose\. The classes are: back, left, right, hat\."):
        evaluation.specs(_bound({"face": ("left", "nose")}))
    evaluation.specs(_bound({"eyes": ("left", "right")}, bar="overall_f1"))
    with pytest.raises(ValueError, match="bar of task 'parts' applies to 'overall_f1', which isn't measured"):
        evaluation.specs(_bound({}, bar="overall_f1"))


def test_figures():
    values = summarize(np.append(COUNTS, 3), num_classes=4, merged=[[1, 2], [3]])
    task = _bound({"eyes": ("left", "right"), "hat": ("hat",)})
    found = {figure.name: figure.value for figure in evaluation.figures(task, values)}
    assert found == pytest.approx(
        {
            "parts mean F1": 0.6,
            "parts mean IoU": (50 / 57 + 1 / 2 + 4 / 11) / 3,
            "parts pixel accuracy": 6 / 7,
            "parts overall F1": 26 / 33,
            "parts eyes F1": 26 / 33,
        }
    )
    assert [figure.name for figure in evaluation.figures(_bound({}), values)] == list(found)[:3]
