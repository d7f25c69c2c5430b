"""TFX's Evaluator on records whose answers are known: values, slices, gaps and blessings against numbers by hand."""

import dataclasses
import io
import json
import math

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tfx.components.evaluator.executor import Executor
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from components.evaluator.config import attribute_eval_config, attributes_of
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


def _examples():
    """40 serialized records with what the models are to answer: `model/...`, and for perfect ones `perfect/...`."""
    picture = io.BytesIO()
    PIL.Image.new("RGB", (40, 20)).save(picture, "PNG")
    rows = [group[1:] for group in GROUPS for _ in range(group[0])]
    examples = []
    for index, (labels, decisions) in enumerate(rows):
        landmarks = FACE if index < 15 else np.full((5, 2), 0.5, np.float32) if index == 15 else None
        record = FaceRecord(f"{index}.png", "by_hand", picture.getvalue(), labels, landmarks)
        example = record.to_example()
        answers = {"model/decisions": decisions, "perfect/decisions": labels or (0, 0, 0)}
        for name, values in answers.items():
            example.features.feature[name].int64_list.value.extend(values)
        shift = SHIFTS[index] if index < 15 else (0, 0)
        for name, points in {"model/landmarks": FACE + shift, "perfect/landmarks": FACE}.items():
            example.features.feature[name].float_list.value.extend(np.ravel(points))
        examples.append(example.SerializeToString())
    return examples


class _Parrot(tf.Module):
    """A model that gives the answers which it finds in the examples under `prefix`."""

    def __init__(self, prefix):
        super().__init__()
        self._prefix = prefix

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def from_examples(self, examples):
        decisions, landmarks = f"{self._prefix}/decisions", f"{self._prefix}/landmarks"
        features = {
            decisions: tf.io.FixedLenFeature([3], tf.int64),
            landmarks: tf.io.FixedLenFeature([5, 2], tf.float32),
        }
        parsed = tf.io.parse_example(examples, features)
        scores = 2.0 * tf.cast(parsed[decisions], tf.float32) - 1.0
        return {"attributes": scores, "decisions": parsed[decisions], "landmarks": parsed[landmarks]}


def _artifact(kind, path):
    path.mkdir(parents=True, exist_ok=True)
    artifact = kind()
    artifact.uri = str(path)
    return artifact


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Split eval: 36 records mixed over three shards and a shard of 4 without annotation; split bare: the latter."""
    root = tmp_path_factory.mktemp("examples")
    serialized = _examples()
    order = np.random.default_rng(0).permutation(36)
    shards = [[serialized[i] for i in part] for part in np.array_split(order, 3)] + [serialized[36:]]
    for split, of_split in {"eval": shards, "bare": shards[3:]}.items():
        folder = root / f"Split-{split}"
        folder.mkdir()
        for number, shard in enumerate(of_split):
            with tf.io.TFRecordWriter(f"{folder}/data-{number:05}-of-{len(of_split):05}.gz", "GZIP") as writer:
                for example in shard:
                    writer.write(example)
    artifact = _artifact(standard_artifacts.Examples, root)
    artifact.split_names = json.dumps(["eval", "bare"])
    return artifact


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    artifacts = {}
    for prefix in ("model", "perfect"):
        artifacts[prefix] = _artifact(standard_artifacts.Model, tmp_path_factory.mktemp(prefix))
        parrot = _Parrot(prefix)
        signatures = {"from_examples": parrot.from_examples}
        tf.saved_model.save(parrot, f"{artifacts[prefix].uri}/Format-Serving", signatures=signatures)
    return artifacts


@pytest.fixture(scope="module")
def evaluate(examples, tmp_path_factory):
    """Runs the Evaluator -> uri of the evaluation, and whether the blessing that Pusher looks at was given."""

    def run(model, eval_config, baseline=None, split="eval"):
        root = tmp_path_factory.mktemp("evaluation")
        evaluation = _artifact(standard_artifacts.ModelEvaluation, root / "evaluation")
        blessing = _artifact(standard_artifacts.ModelBlessing, root / "blessing")
        inputs = {"examples": [examples], "model": [model]} | ({"baseline_model": [baseline]} if baseline else {})
        properties = {
            "eval_config": proto_utils.proto_to_json(eval_config),
            "example_splits": json.dumps([split]),
            "module_path": "components.evaluator.module",
        }
        Executor().Do(inputs, {"evaluation": [evaluation], "blessing": [blessing]}, properties)
        return evaluation.uri, (root / "blessing" / "BLESSED").exists()

    return run


@pytest.fixture(scope="module")
def evaluated(evaluate, models):
    return evaluate(models["model"], attribute_eval_config(ATTRIBUTES, min_balanced_accuracy=0.8, landmarks=True))


@pytest.fixture(scope="module")
def result(evaluated):
    return read_evaluation(evaluated[0])


def test_overall_values(result):
    assert result.attributes == ATTRIBUTES
    overall = result.overall
    assert (overall.count, overall.annotated) == (40, 32)
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
    assert result.slices["Male"]["Male"].nme == pytest.approx(0.1, rel=1e-5)
    assert math.isnan(result.slices["Male"]["not Male"].nme)


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
    assert EvaluationResult(ATTRIBUTES, None, {"Young": sides}).gap("Young") == pytest.approx(0.2)
    assert math.isnan(EvaluationResult(ATTRIBUTES, None, {"Young": sides}).gap("Young", "nme"))  # not evaluated
    del sides["not Young"]
    assert math.isnan(EvaluationResult(ATTRIBUTES, None, {"Young": sides}).gap("Young"))


def test_a_model_above_the_bar_is_blessed(evaluated):
    uri, blessed = evaluated
    assert blessed and read_blessing(uri) == (True, [])


def test_a_model_below_the_bar_is_not_blessed(evaluate, models):
    uri, blessed = evaluate(models["model"], attribute_eval_config(ATTRIBUTES, (), min_balanced_accuracy=0.85))
    assert not blessed
    assert read_blessing(uri) == (False, [f"mean_balanced_accuracy {MEAN_BALANCED_ACCURACY:.6g} is below the bar 0.85"])
    assert read_evaluation(uri).slices == {} and read_evaluation(uri).overall.nme is None


def test_a_model_worse_than_the_last_blessed_one_is_not_blessed(evaluate, models):
    config = attribute_eval_config(ATTRIBUTES, landmarks=True)
    uri, blessed = evaluate(models["model"], config, baseline=models["perfect"])
    difference = MEAN_BALANCED_ACCURACY - 1
    assert not blessed
    assert read_blessing(uri) == (
        False,
        [f"mean_balanced_accuracy is worse than the last blessed model's (difference {difference:.3g})"],
    )
    assert read_evaluation(uri).overall.mean_balanced_accuracy == pytest.approx(MEAN_BALANCED_ACCURACY)
    baseline = read_evaluation(uri, model="baseline")
    assert (baseline.overall.mean_balanced_accuracy, baseline.overall.nme) == pytest.approx((1, 0))


@pytest.mark.parametrize("candidate", ["model", "perfect"])
def test_a_model_as_good_as_the_last_blessed_one_or_better_is_blessed(evaluate, models, candidate):
    config = attribute_eval_config(ATTRIBUTES)
    uri, blessed = evaluate(models[candidate], config, baseline=models["model"])
    assert blessed and read_blessing(uri) == (True, [])


def test_without_annotated_records_nothing_is_blessed(evaluate, models):
    uri, blessed = evaluate(models["model"], attribute_eval_config(ATTRIBUTES, landmarks=True), split="bare")
    assert not blessed
    reason = "mean_balanced_accuracy is undefined: no attribute has annotated records of both classes"
    assert read_blessing(uri) == (False, [reason])
    result = read_evaluation(uri)
    assert (result.overall.count, result.overall.annotated, result.overall.landmark_count) == (4, 0, 0)
    assert result.slices == {"Male": {}, "Young": {}} and math.isnan(result.gap("Male"))


def test_reading_what_is_not_there_says_so(evaluated, tmp_path):
    with pytest.raises(ValueError, match="holds no evaluation"):
        read_evaluation(str(tmp_path))
    with pytest.raises(ValueError, match="has no model 'baseline'"):
        read_evaluation(evaluated[0], model="baseline")


def test_configuration():
    config = attribute_eval_config(ATTRIBUTES, slice_by=["Smiling"], min_balanced_accuracy=0.7)
    assert attributes_of(config) == ATTRIBUTES
    assert [list(spec.feature_keys) for spec in config.slicing_specs] == [[], ["Smiling"]]
    assert dict(config.model_specs[0].label_keys) == {"decisions": "attributes"}
    tfma.utils.verify_eval_config(config)
    with pytest.raises(ValueError, match=r"Can't slice by Bald\. The attributes are: Male, Young, Smiling\."):
        attribute_eval_config(ATTRIBUTES, slice_by=["Male", "Bald"])
    with pytest.raises(ValueError, match="attribute_eval_config"):
        attributes_of(tfma.EvalConfig())
