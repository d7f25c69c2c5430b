"""TFX's Evaluator on records whose answers are known: values, slices, gaps and blessings against numbers by hand."""

import dataclasses
import io
import math

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from evaluator_runs import run_evaluator, write_examples, write_model
from sklearn import metrics as sklearn_metrics

from components.tasks.segmentation.label_maps import encode_label_map
from components.evaluator.config import (
    attribute_metrics,
    attributes_of,
    eval_config,
    landmark_metrics,
    parsing_metrics,
    settings_of,
)
from components.evaluator.module import slicing_positions
from components.evaluator.results import EvaluationResult, SliceResult, read_blessing, read_evaluation
from components.record import FaceRecord

ATTRIBUTES = ("Male", "Young", "Smiling")
# (records, labels, decisions): Male TP 16 FP 4 FN 0 TN 12, Young 22 2 0 8, Smiling 14 4 4 10.
GROUPS = (
    (6, (1, 1, 1), (1, 1, 1)),
    (4, (1, 1, 0), (1, 1, 1)),
    (4, (1, 0, 1), (1, 0, 0)),
    (2, (1, 0, 0), (1, 1, 0)),
    (8, (0, 1, 1), (0, 1, 1)),
    (4, (0, 1, 0), (1, 1, 0)),
    (4, (0, 0, 0), (0, 0, 0)),
    (8, None, (1, 1, 1)),
)
MEAN_BALANCED_ACCURACY = (0.875 + 0.9 + (14 / 18 + 10 / 14) / 2) / 3
FACE = np.array([[0.25, 0.5], [0.75, 0.5], [0.5, 0.6], [0.3, 0.8], [0.7, 0.8]], np.float32)
# Of the first, "Male", records, in pictures of 40 x 20 pixels with the eyes 20 pixels apart: NME 0.05 and 0.2.
SHIFTS = [(0.025, 0.0)] * 10 + [(0.0, 0.2)] * 5
CLASSES = ("background", "left_eye", "right_eye", "hat")
MERGED_PARTS = {"eyes": ("left_eye", "right_eye")}


def _label_maps():
    """Label maps of six records in two sizes, without a hat and with pixels to ignore, each with a prediction."""
    random = np.random.default_rng(1)
    maps = [random.choice([0, 1, 2, 255], size).astype(np.uint8) for size in [(20, 40), (30, 24)] * 3]
    return [(truth, np.where(random.random(truth.shape) < 0.7, truth % 255, 1).astype(np.uint8)) for truth in maps]


LABEL_MAPS = _label_maps()


def _tasks(min_balanced_accuracy=0.5, min_mean_f1=0.5):
    parsing = parsing_metrics(CLASSES, MERGED_PARTS, min_mean_f1)
    return [attribute_metrics(ATTRIBUTES, min_balanced_accuracy), landmark_metrics(5), parsing]


def _examples():
    """40 serialized records with what the models are to answer: `model/...`, and for perfect ones `perfect/...`."""
    rows = [group[1:] for group in GROUPS for _ in range(group[0])]
    label_maps = dict(enumerate(LABEL_MAPS, start=20))
    examples = []
    for index, (labels, decisions) in enumerate(rows):
        landmarks = FACE if index < 15 else np.full((5, 2), 0.5, np.float32) if index == 15 else None
        truth, predicted = label_maps.get(index, (None, np.zeros((20, 40), np.uint8)))
        picture = io.BytesIO()
        PIL.Image.fromarray(predicted).convert("RGB").save(picture, "PNG")
        parsing = None if truth is None else encode_label_map(truth)
        example = FaceRecord(
            f"{index}.png", "by_hand", picture.getvalue(), labels, landmarks, parsing=parsing
        ).to_example()
        feature = example.features.feature
        perfect = predicted if truth is None else np.where(truth == 255, 0, truth)
        for name, values in {"model/decisions": decisions, "perfect/decisions": labels or (0, 0, 0)}.items():
            feature[name].int64_list.value.extend(values)
        shift = SHIFTS[index] if index < 15 else (0, 0)
        for name, points in {"model/landmarks": FACE + shift, "perfect/landmarks": FACE}.items():
            feature[name].float_list.value.extend(np.ravel(points))
        for name, answer in {"model/parsing": predicted, "perfect/parsing": perfect}.items():
            feature[name].bytes_list.value.append(encode_label_map(answer))
        examples.append(example.SerializeToString())
    return examples


class _Parrot(tf.Module):
    """A model that gives the answers which it finds in the examples under `prefix`, those of `outputs`."""

    def __init__(self, prefix, outputs=("attributes", "decisions", "landmarks", "parsing")):
        super().__init__()
        self._prefix = prefix
        self._outputs = outputs

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def from_examples(self, examples):
        decisions, landmarks, parsing = (f"{self._prefix}/{name}" for name in ("decisions", "landmarks", "parsing"))
        features = {
            decisions: tf.io.FixedLenFeature([3], tf.int64),
            landmarks: tf.io.FixedLenFeature([5, 2], tf.float32),
            parsing: tf.io.FixedLenFeature([], tf.string),
        }
        parsed = tf.io.parse_example(examples, features)
        label_maps = tf.map_fn(
            lambda encoded: tf.RaggedTensor.from_tensor(tf.io.decode_png(encoded)[..., 0]),
            parsed[parsing],
            fn_output_signature=tf.RaggedTensorSpec([None, None], tf.uint8, ragged_rank=1),
        )
        answers = {
            "attributes": 2.0 * tf.cast(parsed[decisions], tf.float32) - 1.0,
            "decisions": parsed[decisions],
            "landmarks": parsed[landmarks],
            "parsing": label_maps.to_tensor(tf.constant(255, tf.uint8)),
        }
        return {name: answers[name] for name in self._outputs}


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Split eval: 36 records mixed over three shards and a shard of 4 without annotation; split bare: the latter."""
    serialized = _examples()
    order = np.random.default_rng(0).permutation(36)
    shards = [[serialized[i] for i in part] for part in np.array_split(order, 3)] + [serialized[36:]]
    return write_examples(tmp_path_factory.mktemp("examples"), {"validation": shards, "bare": shards[3:]})


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    parrots = {"model": _Parrot("model"), "perfect": _Parrot("perfect"), "parser": _Parrot("model", ["parsing"])}
    return {
        name: write_model(tmp_path_factory.mktemp(name), parrot, {"from_examples": parrot.from_examples})
        for name, parrot in parrots.items()
    }


@pytest.fixture(scope="module")
def evaluate(examples, tmp_path_factory):
    """Runs the Evaluator -> uri of the evaluation, and whether the blessing that Pusher looks at was given."""

    def run(model, config, baseline=None, split="validation"):
        return run_evaluator(tmp_path_factory.mktemp("evaluation"), examples, [split], model, config, baseline)

    return run


@pytest.fixture(scope="module")
def evaluated(evaluate, models):
    return evaluate(models["model"], eval_config(_tasks(min_balanced_accuracy=0.8), slice_by=["Male", "Young"]))


@pytest.fixture(scope="module")
def result(evaluated):
    return read_evaluation(evaluated[0])


def test_overall_values(result):
    assert result.attributes == ATTRIBUTES
    overall = result.overall
    assert (result.count, overall.count, overall.annotated) == (40, 40, 32)
    np.testing.assert_array_equal(overall.counts, [[16, 22, 14], [4, 2, 4], [0, 0, 4], [12, 8, 10]])
    np.testing.assert_allclose(overall.accuracy, [28 / 32, 30 / 32, 24 / 32])
    np.testing.assert_allclose(overall.balanced_accuracy, [0.875, 0.9, (14 / 18 + 10 / 14) / 2])
    np.testing.assert_allclose(overall.f1, [32 / 36, 44 / 46, 28 / 36])
    np.testing.assert_allclose(overall.positive_rate_true, [16 / 32, 22 / 32, 18 / 32])
    np.testing.assert_allclose(overall.positive_rate_predicted, [20 / 32, 24 / 32, 18 / 32])
    assert overall.mean_accuracy == pytest.approx(82 / 96)
    assert overall.mean_balanced_accuracy == pytest.approx(MEAN_BALANCED_ACCURACY)
    assert overall.mean_f1 == pytest.approx((32 / 36 + 44 / 46 + 28 / 36) / 3)


def test_landmarks(result):
    assert result.overall.nme == pytest.approx((10 * 0.05 + 5 * 0.2) / 15, rel=1e-5)
    assert result.overall.failure_rate == pytest.approx(5 / 15)
    assert (result.overall.landmark_count, result.overall.landmarks_skipped) == (15, 1)
    landmarks = result.landmarks
    assert (landmarks.nme, landmarks.failure_rate) == (result.overall.nme, result.overall.failure_rate)
    assert (landmarks.count, landmarks.skipped) == (15, 1)
    np.testing.assert_allclose(landmarks.point_nme, [landmarks.nme] * 5, rtol=1e-5)  # all points are shifted alike
    np.testing.assert_allclose(landmarks.point_failure_rate, [5 / 15] * 5)
    assert result.slices["Male"]["Male"].nme == pytest.approx(0.1, rel=1e-5)
    assert math.isnan(result.slices["Male"]["not Male"].nme)


def test_parsing_of_pictures_of_two_sizes(result):
    pairs = [(truth[truth != 255], predicted[truth != 255]) for truth, predicted in LABEL_MAPS]
    truth, predicted = (np.concatenate(pixels) for pixels in zip(*pairs, strict=True))
    parsing = result.parsing
    assert (parsing.classes, parsing.merged_parts, parsing.annotated) == (CLASSES, MERGED_PARTS, 6)
    expected = sklearn_metrics.confusion_matrix(truth, predicted, labels=range(4))
    np.testing.assert_array_equal(parsing.confusion, expected)
    assert parsing.confusion.dtype == np.int64
    f1, iou = (f(truth, predicted, average=None) for f in (sklearn_metrics.f1_score, sklearn_metrics.jaccard_score))
    np.testing.assert_allclose(parsing.f1, [*f1, np.nan])  # nobody wears a hat
    np.testing.assert_allclose(parsing.iou, [*iou, np.nan])
    assert (parsing.mean_f1, parsing.mean_iou) == pytest.approx((f1[1:].mean(), iou.mean()))
    assert parsing.pixel_accuracy == pytest.approx((truth == predicted).mean())
    assert parsing.overall_f1 == pytest.approx(sklearn_metrics.f1_score(truth > 0, predicted > 0))
    assert parsing.part_f1 == {"eyes": parsing.overall_f1}


def test_slices_hold_the_annotated_records_only(result):
    assert list(result.slices) == ["Male", "Young"]
    counts = {side: part.count for sides in result.slices.values() for side, part in sides.items()}
    assert counts == {"Male": 16, "not Male": 16, "Young": 22, "not Young": 10}


def test_values_and_gap_of_the_sides(result):
    male, not_male = (result.slices["Male"][name] for name in ("Male", "not Male"))
    np.testing.assert_allclose(male.balanced_accuracy, [np.nan, (1 + 4 / 6) / 2, (0.6 + 2 / 6) / 2])
    np.testing.assert_allclose(not_male.balanced_accuracy, [np.nan, 1, 1])
    assert (male.mean_balanced_accuracy, not_male.mean_balanced_accuracy) == pytest.approx((0.65, 1))
    assert result.gap("Male") == pytest.approx(-0.35)
    assert result.gap("Male", "mean_accuracy") == pytest.approx((0.25 - 0.125 - 0.5) / 3)
    assert result.gap("Young") == pytest.approx(((5 / 6 - 1) + (0.75 - 0.5)) / 2)
    assert math.isnan(result.gap("Male", "nme"))


def test_gap_compares_what_is_defined_on_both_sides():
    def part(*values):
        names = {field.name: None for field in dataclasses.fields(SliceResult)}
        return SliceResult(**{**names, "balanced_accuracy": np.array(values)})

    sides = {"Young": part(0.9, np.nan, 0.8), "not Young": part(np.nan, 0.5, 0.6)}
    assert EvaluationResult(2, ATTRIBUTES, None, {"Young": sides}, None).gap("Young") == pytest.approx(0.2)
    assert math.isnan(
        EvaluationResult(2, ATTRIBUTES, None, {"Young": sides}, None).gap("Young", "nme")
    )  # not evaluated
    del sides["not Young"]
    assert math.isnan(EvaluationResult(2, ATTRIBUTES, None, {"Young": sides}, None).gap("Young"))


def test_a_model_above_the_bar_is_blessed(evaluated):
    uri, blessed = evaluated
    assert blessed and read_blessing(uri) == (True, [])


def test_a_model_below_the_bar_is_not_blessed(evaluate, models):
    uri, blessed = evaluate(models["model"], eval_config([attribute_metrics(ATTRIBUTES, 0.85)]))
    assert not blessed
    assert read_blessing(uri) == (False, [f"mean_balanced_accuracy {MEAN_BALANCED_ACCURACY:.6g} is below the bar 0.85"])
    result = read_evaluation(uri)
    assert result.slices == {} and result.overall.nme is None and result.parsing is None
    assert result.landmarks is None and result.emotion is None and result.iterations == ()


def test_one_missed_bar_of_several_is_enough(evaluate, models, result):
    uri, blessed = evaluate(models["model"], eval_config(_tasks(min_balanced_accuracy=0.8, min_mean_f1=0.9)))
    assert not blessed
    assert read_blessing(uri) == (False, [f"mean_f1 {result.parsing.mean_f1:.6g} is below the bar 0.9"])


@pytest.mark.parametrize("min_mean_f1, passes", [(0.5, True), (0.9, False)])
def test_parsing_alone(evaluate, models, result, min_mean_f1, passes):
    uri, blessed = evaluate(models["parser"], eval_config([parsing_metrics(CLASSES, {}, min_mean_f1)]))
    assert (blessed, read_blessing(uri)[0]) == (passes, passes)
    alone = read_evaluation(uri)
    assert (alone.count, alone.attributes, alone.overall, alone.slices) == (40, (), None, {})
    np.testing.assert_array_equal(alone.parsing.confusion, result.parsing.confusion)
    assert alone.parsing.overall_f1 is None and alone.parsing.merged_parts == {} and alone.parsing.part_f1 == {}


def test_a_model_worse_than_the_last_blessed_one_is_not_blessed(evaluate, models, result):
    uri, blessed = evaluate(models["model"], eval_config(_tasks()), baseline=models["perfect"])
    assert not blessed
    passed, reasons = read_blessing(uri)
    differences = {
        "mean_balanced_accuracy": MEAN_BALANCED_ACCURACY - 1,
        "mean_f1": result.parsing.mean_f1 - 1,
    }
    assert not passed and sorted(reasons) == [
        f"{name} is worse than the last blessed model's (difference {difference:.3g})"
        for name, difference in differences.items()
    ]
    candidate, baseline = read_evaluation(uri), read_evaluation(uri, model="baseline")
    assert candidate.overall.mean_balanced_accuracy == pytest.approx(MEAN_BALANCED_ACCURACY)
    assert (baseline.overall.mean_balanced_accuracy, baseline.overall.nme) == pytest.approx((1, 0))
    np.testing.assert_array_equal(candidate.parsing.confusion, result.parsing.confusion)
    np.testing.assert_array_equal(baseline.parsing.confusion, np.diag(result.parsing.confusion.sum(axis=1)))


@pytest.mark.parametrize("candidate", ["model", "perfect"])
def test_a_model_as_good_as_the_last_blessed_one_or_better_is_blessed(evaluate, models, candidate):
    uri, blessed = evaluate(models[candidate], eval_config(_tasks()), baseline=models["model"])
    assert blessed and read_blessing(uri) == (True, [])


@pytest.mark.parametrize("baseline", [None, "perfect"])
def test_without_annotated_records_nothing_is_blessed(evaluate, models, baseline):
    config = eval_config(_tasks(), slice_by=["Male", "Young"])
    uri, blessed = evaluate(models["model"], config, baseline=models.get(baseline), split="bare")
    assert not blessed
    passed, reasons = read_blessing(uri)
    assert not passed and sorted(reasons) == [
        "mean_balanced_accuracy is undefined: no attribute has annotated records of both classes",
        "mean_f1 is undefined: no pixel that was counted is anything but background, in truth or by prediction",
    ]
    result = read_evaluation(uri)
    assert (result.overall.count, result.overall.annotated, result.overall.landmark_count) == (4, 0, 0)
    assert result.parsing.annotated == 0 and not result.parsing.confusion.any()
    assert result.slices == {"Male": {}, "Young": {}} and math.isnan(result.gap("Male"))


def test_reading_what_is_not_there_says_so(evaluated, tmp_path):
    with pytest.raises(ValueError, match="holds no evaluation"):
        read_evaluation(str(tmp_path))
    with pytest.raises(ValueError, match="has no model 'baseline'"):
        read_evaluation(evaluated[0], model="baseline")


def test_a_configuration_is_composed_of_tasks():
    config = eval_config(iter(_tasks()), slice_by=["Smiling"])
    tfma.utils.verify_eval_config(config)
    assert attributes_of(config) == ATTRIBUTES
    assert (
        settings_of(config, "parsing").items()
        >= {
            "classes": list(CLASSES),
            "merged_parts": {"eyes": ["left_eye", "right_eye"]},
        }.items()
    )
    assert [list(spec.feature_keys) for spec in config.slicing_specs] == [[], ["Smiling"]]
    assert dict(config.model_specs[0].label_keys) == {
        "decisions": "attributes",
        "landmarks": "landmarks",
        "parsing": "parsing/encoded",
    }


@pytest.mark.parametrize("tasks", [_tasks(), _tasks()[:1], _tasks()[2:]])
def test_records_are_counted_once_whatever_the_tasks(tasks):
    config = eval_config(tasks)
    names = [metric.class_name for spec in config.metrics_specs for metric in spec.metrics]
    assert names.count("ExampleCount") == 1 and len(names) == len(tasks) + 1


def test_a_configuration_without_attributes():
    config = eval_config([landmark_metrics(5)])
    assert attributes_of(config) == () and settings_of(config, "parsing") == {}
    assert dict(config.model_specs[0].label_keys) == {"landmarks": "landmarks"}
    assert slicing_positions(config) == {}


def test_what_can_not_be_configured():
    with pytest.raises(
        ValueError, match=r"Can't slice by Bald\. The attributes that are measured: Male, Young, Smiling\."
    ):
        eval_config(_tasks(), slice_by=["Male", "Bald"])
    with pytest.raises(ValueError, match=r"Can't slice by Male, Young\. The attributes that are measured: none\."):
        eval_config(_tasks()[1:], slice_by=["Male", "Young"])
    with pytest.raises(ValueError, match="nothing to evaluate: expected at least one task"):
        eval_config([])


@pytest.mark.parametrize("bar", [None, 0, -0.1])
def test_a_bar_is_above_zero(bar):
    with pytest.raises(ValueError, match=f"a bar needs one above 0; received {bar}"):
        attribute_metrics(ATTRIBUTES, bar)
    with pytest.raises(ValueError, match=f"a bar needs one above 0; received {bar}"):
        parsing_metrics(CLASSES, {}, bar)
