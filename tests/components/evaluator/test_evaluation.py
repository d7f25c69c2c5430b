"""TFX's Evaluator on records whose answers are known: values, slices, gaps and blessings against numbers by hand."""

import dataclasses
import io
import math

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from evaluator_runs import bound, run_evaluator, write_examples, write_model
from sklearn import metrics as sklearn_metrics

from components.config import Bar
from components.evaluator.config import eval_config
from components.evaluator.results import Evaluation, read_blessing, read_evaluation
from components.record import FaceRecord
from components.tasks.annotation import points
from components.tasks.segmentation.label_maps import encode_grey

pytestmark = pytest.mark.slow

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
# Of the first, "Male", records, in images of 40 x 20 pixels with the eyes 20 pixels apart: NME 0.05 and 0.2.
SHIFTS = [(0.025, 0.0)] * 10 + [(0.0, 0.2)] * 5
CLASSES = ("background", "left_eye", "right_eye", "hat")
MERGED_PARTS = {"eyes": ("left_eye", "right_eye")}


def _label_maps():
    """Label maps of six records in two sizes, without a hat and with pixels to ignore, each with a prediction."""
    random = np.random.default_rng(1)
    maps = [random.choice([0, 1, 2, 255], size).astype(np.uint8) for size in [(20, 40), (30, 24)] * 3]
    return [(truth, np.where(random.random(truth.shape) < 0.7, truth % 255, 1).astype(np.uint8)) for truth in maps]


LABEL_MAPS = _label_maps()


def _attributes(min_balanced_accuracy=0.5):
    return bound("attributes", "multi_label", ATTRIBUTES, Bar("mean_balanced_accuracy", min_balanced_accuracy))


def _parsing(bar=0.5, metric="mean_f1"):
    return bound("parsing", "segmentation", CLASSES, Bar(metric, bar), MERGED_PARTS)


LANDMARKS = bound("landmarks", "landmarks", points(5))


def _tasks(min_balanced_accuracy=0.5, min_mean_f1=0.5):
    return [_attributes(min_balanced_accuracy), LANDMARKS, _parsing(min_mean_f1)]


def _examples():
    """40 serialized records with what the models are to answer: `model/...`, and for perfect ones `perfect/...`."""
    rows = [group[1:] for group in GROUPS for _ in range(group[0])]
    label_maps = dict(enumerate(LABEL_MAPS, start=20))
    examples = []
    for index, (labels, decisions) in enumerate(rows):
        landmarks = FACE if index < 15 else np.full((5, 2), 0.5, np.float32) if index == 15 else None
        truth, predicted = label_maps.get(index, (None, np.zeros((20, 40), np.uint8)))
        image = io.BytesIO()
        PIL.Image.fromarray(predicted).convert("RGB").save(image, "PNG")
        parsing = None if truth is None else encode_grey(truth)
        annotated = {"attributes": labels, "landmarks": landmarks, "parsing": parsing}
        annotated = {name: label for name, label in annotated.items() if label is not None}
        example = FaceRecord(f"{index}.png", "by_hand", image.getvalue(), annotated).to_example()
        feature = example.features.feature
        perfect = predicted if truth is None else np.where(truth == 255, 0, truth)
        for name, values in {"model/attributes": decisions, "perfect/attributes": labels or (0, 0, 0)}.items():
            feature[name].int64_list.value.extend(values)
        shift = SHIFTS[index] if index < 15 else (0, 0)
        for name, answer in {"model/landmarks": FACE + shift, "perfect/landmarks": FACE}.items():
            feature[name].float_list.value.extend(np.ravel(answer))
        for name, answer in {"model/parsing": predicted, "perfect/parsing": perfect}.items():
            feature[name].bytes_list.value.append(encode_grey(answer))
        examples.append(example.SerializeToString())
    return examples


class _Parrot(tf.Module):
    """A model that gives the answers which it finds in the examples under `prefix`, those of `outputs`."""

    def __init__(self, prefix, outputs=("attributes", "attributes_decisions", "landmarks", "parsing")):
        super().__init__()
        self._prefix = prefix
        self._outputs = outputs

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def from_examples(self, examples):
        decisions, landmarks, parsing = (f"{self._prefix}/{name}" for name in ("attributes", "landmarks", "parsing"))
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
            "attributes": 4 * tf.cast(parsed[decisions], tf.float32) - 2,
            "attributes_decisions": parsed[decisions],
            "landmarks": parsed[landmarks],
            "parsing": label_maps.to_tensor(tf.constant(255, tf.uint8)),
        }
        return {name: answers[name] for name in self._outputs}


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Split validation: 36 records mixed over three shards and a shard of 4 that aren't annotated; split bare: that."""
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
        root = tmp_path_factory.mktemp("evaluation")
        return run_evaluator(root, examples, _tasks(), [split], model, config, baseline)

    return run


@pytest.fixture(scope="module")
def evaluated(evaluate, models):
    return evaluate(models["model"], eval_config(_tasks(min_balanced_accuracy=0.8), slice_by=["Male", "Young"]))


@pytest.fixture(scope="module")
def result(evaluated):
    return read_evaluation(evaluated[0], _tasks())


def test_attributes(result):
    assert result.counts[""] == 40
    found = result.of("attributes")
    counts = [found[name] for name in ("true_positives", "false_positives", "false_negatives", "true_negatives")]
    np.testing.assert_array_equal(counts, [[16, 22, 14], [4, 2, 4], [0, 0, 4], [12, 8, 10]])
    assert counts[0].dtype == np.int64 and found["annotated"] == 32
    np.testing.assert_allclose(found["accuracy"], [28 / 32, 30 / 32, 24 / 32])
    np.testing.assert_allclose(found["balanced_accuracy"], [0.875, 0.9, (14 / 18 + 10 / 14) / 2])
    np.testing.assert_allclose(found["f1"], [32 / 36, 44 / 46, 28 / 36])
    np.testing.assert_allclose(found["positive_rate_true"], [16 / 32, 22 / 32, 18 / 32])
    np.testing.assert_allclose(found["positive_rate_predicted"], [20 / 32, 24 / 32, 18 / 32])
    assert found["mean_accuracy"] == pytest.approx(82 / 96)
    assert found["mean_balanced_accuracy"] == pytest.approx(MEAN_BALANCED_ACCURACY)
    assert found["mean_f1"] == pytest.approx((32 / 36 + 44 / 46 + 28 / 36) / 3)


def test_landmarks(result):
    found = result.of("landmarks")
    assert found["nme"] == pytest.approx((10 * 0.05 + 5 * 0.2) / 15, rel=1e-5)
    assert found["failure_rate"] == pytest.approx(5 / 15)
    assert (found["annotated"], found["landmarks_skipped"]) == (15, 1)
    np.testing.assert_allclose(found["point_nme"], [found["nme"]] * 5, rtol=1e-5)  # all points are shifted alike
    np.testing.assert_allclose(found["point_failure_rate"], [5 / 15] * 5)
    assert result.value("landmarks", "nme", "Male") == pytest.approx(0.1, rel=1e-5)
    assert math.isnan(result.value("landmarks", "nme", "not Male"))


def test_parsing_of_images_of_two_sizes(result):
    pairs = [(truth[truth != 255], predicted[truth != 255]) for truth, predicted in LABEL_MAPS]
    truth, predicted = (np.concatenate(pixels) for pixels in zip(*pairs, strict=True))
    found = result.of("parsing")
    assert found["annotated"] == 6
    np.testing.assert_array_equal(
        found["confusion"], sklearn_metrics.confusion_matrix(truth, predicted, labels=range(4))
    )
    assert found["confusion"].dtype == np.int64
    f1, iou = (f(truth, predicted, average=None) for f in (sklearn_metrics.f1_score, sklearn_metrics.jaccard_score))
    np.testing.assert_allclose(found["f1"], [*f1, np.nan])  # nobody wears a hat
    np.testing.assert_allclose(found["iou"], [*iou, np.nan])
    assert (found["mean_f1"], found["mean_iou"]) == pytest.approx((f1[1:].mean(), iou.mean()))
    assert found["pixel_accuracy"] == pytest.approx((truth == predicted).mean())
    assert found["overall_f1"] == pytest.approx(sklearn_metrics.f1_score(truth > 0, predicted > 0))
    assert found["part_f1"] == [found["overall_f1"]]


def test_figures_are_those_of_the_task_s_kind(result):
    assert [figure.name for figure in result.figures("landmarks")] == ["landmarks NME", "landmarks failure rate"]
    figures = {figure.name: figure.value for figure in result.figures("attributes", "Young")}
    assert figures["attributes mean accuracy"] == result.value("attributes", "mean_accuracy", "Young")


def test_what_was_not_measured(result):
    assert result.iterations == () and result.of("landmarks", iteration=0) == {}
    assert result.value("landmarks", "mean_f1") is None and result.figures("landmarks", "Smiling") == []


def test_scores_are_measured_beside_the_decisions(result):
    found = result.of("attributes")
    counts = [found[name] for name in ("true_positives", "false_positives", "false_negatives", "true_negatives")]
    high, low = 88, 11  # of the logits 2 and -2: 0.881 and 0.119
    scores = found["histogram"]
    np.testing.assert_array_equal(
        counts, [scores[1, :, high], scores[0, :, high], scores[1, :, low], scores[0, :, low]]
    )
    precision = counts[0] / (counts[0] + counts[1])
    recall, share = counts[0] / (counts[0] + counts[2]), (counts[0] + counts[2]) / 32
    np.testing.assert_allclose(found["average_precision"], recall * precision + (1 - recall) * share)


def test_figures_have_errors_and_intervals(result):
    """Of 32 annotated images in 20 parts; on fewer than there are parts none is known."""
    for figure in result.figures("attributes"):
        if figure.headline:
            low, high = figure.interval
            assert 0 < figure.error < 0.2 and low < figure.value < high
    assert {figure.interval for figure in result.figures("attributes", "not Young")} == {None}
    assert result.changes == {}, "there is no model to compare it with"


def test_slices_hold_the_annotated_records_only(result):
    assert dict(result.slices) == {"Male": ("Male", "not Male"), "Young": ("Young", "not Young")}
    assert dict(result.counts) == {"": 40, "Male": 16, "not Male": 16, "Young": 22, "not Young": 10}


def test_values_and_gap_of_the_sides(result):
    male, not_male = (result.of("attributes", name) for name in ("Male", "not Male"))
    np.testing.assert_allclose(male["balanced_accuracy"], [np.nan, (1 + 4 / 6) / 2, (0.6 + 2 / 6) / 2])
    np.testing.assert_allclose(not_male["balanced_accuracy"], [np.nan, 1, 1])
    assert (male["mean_balanced_accuracy"], not_male["mean_balanced_accuracy"]) == pytest.approx((0.65, 1))
    assert result.gap("attributes", "mean_balanced_accuracy", "Male") == pytest.approx(-0.35)
    assert result.gap("attributes", "mean_accuracy", "Male") == pytest.approx((0.25 - 0.125 - 0.5) / 3)
    assert result.gap("attributes", "mean_balanced_accuracy", "Young") == pytest.approx(((5 / 6 - 1) + 0.75 - 0.5) / 2)
    assert math.isnan(result.gap("landmarks", "nme", "Male"))


def test_gap_compares_what_is_defined_on_both_sides():
    """The sides' own means, 0.85 and 0.55, are means over different attributes."""
    sides = {"Young": ([0.9, np.nan, 0.8], 0.85), "not Young": ([np.nan, 0.5, 0.6], 0.55)}
    values = {("attributes", "mean_f1", side, None): mean for side, (_, mean) in sides.items()}
    values |= {("attributes", "f1", side, None): np.array(each) for side, (each, _) in sides.items()}
    both = Evaluation((_attributes(),), values, {}, {"Young": tuple(sides)}, ())
    assert both.gap("attributes", "mean_f1", "Young") == pytest.approx(0.2)
    assert both.gap("attributes", "mean_accuracy", "Young") is None  # not measured
    assert dataclasses.replace(both, slices={"Young": ("Young",)}).gap("attributes", "mean_f1", "Young") is None


def test_the_interval_of_a_gap_is_of_what_both_sides_have():
    """Of the sides' errors where both have a value of all; where not, of the parts of what both have."""
    key = "attributes", "mean_accuracy"
    values = {
        (*where, side, None): value
        for side in ("Young", "not Young")
        for where, value in ((key, 0.5), (("attributes", "accuracy"), np.array([0.5, 0.5, 0.5])))
    }
    sides = {"Young": ("Young", "not Young")}
    found = Evaluation((_attributes(),), values, {}, sides, (), {(*key, side, None): 0.03 for side in sides["Young"]})
    # 2.093 · √(0.03² + 0.03²)
    assert found.gap_interval(*key, "Young") == pytest.approx((-0.0888, 0.0888), abs=1e-4)
    assert found.gap_interval("attributes", "mean_f1", "Young") is None, "not measured"
    right, wrong = np.zeros((4, 3), int), np.zeros((4, 3), int)
    right[0], wrong[2] = 1, 1
    parts = np.array([np.append(wrong if part % 2 else right, 1) for part in range(20)])
    values |= {("attributes", "parts", side, None): parts for side in sides["Young"]}
    values["attributes", "accuracy", "not Young", None] = np.array([np.nan, 0.5, 0.5])
    # Errors of 0.1147, as in tests/components/tasks/multi_label: 2.093 · √2 · 0.1147
    assert found.gap_interval(*key, "Young") == pytest.approx((-0.3395, 0.3395), abs=1e-3)


def test_gap_of_a_mean_that_leaves_background_out():
    values = {
        ("parsing", "f1", side, None): np.array(f1) for side, f1 in {"A": [1, 0.5, 0.5], "B": [0, 0.25, 0]}.items()
    }
    values |= {("parsing", "mean_f1", side, None): 0.0 for side in "AB"}
    found = Evaluation((_parsing(),), values, {}, {"AB": ("A", "B")}, ())
    assert found.gap("parsing", "mean_f1", "AB") == pytest.approx((0.25 + 0.5) / 2)


def test_a_model_above_the_bar_is_blessed(evaluated):
    uri, blessed = evaluated
    assert blessed and read_blessing(uri) == (True, [])


def test_a_model_below_the_bar_is_not_blessed(evaluate, models):
    uri, blessed = evaluate(models["model"], eval_config([_attributes(0.85)]))
    assert not blessed
    reason = f"attributes mean_balanced_accuracy {MEAN_BALANCED_ACCURACY:.6g} is below the bar 0.85"
    assert read_blessing(uri) == (False, [reason])
    result = read_evaluation(uri, [_attributes()])
    assert result.slices == {} and {task for task, *_ in result.values} == {"attributes"}


def test_bars_on_the_widest_gaps(evaluate, models):
    max_gaps = {"accuracy": 0.13, "false_negative_rate": 0.01}
    config = eval_config(_tasks(min_balanced_accuracy=0.8), slice_by=["Male"], max_gaps=max_gaps)
    uri, blessed = evaluate(models["model"], config)
    found = {figure.name: figure.value for figure in read_evaluation(uri, _tasks()).figures("attributes")}
    # By Male, right or wrong about it are 0.75 and 1, 0.875 and 1, and so on: (0.25 - 0.125 - 0.5) / 3, as above.
    assert found["attributes widest accuracy gap"] == pytest.approx(0.125)
    widest = found["attributes widest false negative rate gap"]
    reason = f"attributes widest_false_negative_rate_gap {widest:.6g} is above the bar 0.01"
    assert not blessed and read_blessing(uri) == (False, [reason])


@pytest.mark.parametrize(
    ("tasks", "max_gaps", "message"),
    [
        ([_parsing(), LANDMARKS], {"accuracy": 0.1}, "Bars on gaps are between the sides of yes-or-no labels"),
        (_tasks(0.8), {"f1": 0.1}, "there is no gap of f1, but of accuracy, false_positive_rate, false_negative_rate"),
    ],
)
def test_gaps_that_are_not_measured(tasks, max_gaps, message):
    with pytest.raises(ValueError, match=message):
        eval_config(tasks, slice_by=["Male"], max_gaps=max_gaps)


def test_one_missed_bar_of_several_is_enough(evaluate, models, result):
    uri, blessed = evaluate(models["model"], eval_config(_tasks(min_balanced_accuracy=0.8, min_mean_f1=0.9)))
    assert not blessed
    mean_f1 = result.value("parsing", "mean_f1")
    assert read_blessing(uri) == (False, [f"parsing mean_f1 {mean_f1:.6g} is below the bar 0.9"])


@pytest.mark.parametrize(
    "metric, bar, passes", [("mean_f1", 0.5, True), ("overall_f1", 0.5, True), ("mean_f1", 0.9, False)]
)
def test_parsing_alone(evaluate, models, result, metric, bar, passes):
    task = _parsing(bar, metric)
    uri, blessed = evaluate(models["parser"], eval_config([task]))
    assert (blessed, read_blessing(uri)[0]) == (passes, passes)
    alone = read_evaluation(uri, [task])
    assert (alone.counts, alone.slices) == ({"": 40}, {})
    np.testing.assert_array_equal(alone.value("parsing", "confusion"), result.value("parsing", "confusion"))


def test_a_model_worse_than_the_last_blessed_one_is_not_blessed(evaluate, models, result):
    uri, blessed = evaluate(models["model"], eval_config(_tasks()), baseline=models["perfect"])
    assert not blessed
    passed, reasons = read_blessing(uri)
    differences = {
        "attributes mean_balanced_accuracy": MEAN_BALANCED_ACCURACY - 1,
        "parsing mean_f1": result.value("parsing", "mean_f1") - 1,
    }
    assert not passed and sorted(reasons) == [
        f"{name} is worse than the last blessed model's (difference {difference:.3g})"
        for name, difference in differences.items()
    ]
    candidate = read_evaluation(uri, _tasks())
    assert candidate.baseline.startswith(models["perfect"].uri) and result.baseline == ""
    assert candidate.changes["attributes", "mean_balanced_accuracy"] == pytest.approx(MEAN_BALANCED_ACCURACY - 1)
    assert candidate.changes["parsing", "mean_f1"] == pytest.approx(result.value("parsing", "mean_f1") - 1)
    assert candidate.value("attributes", "mean_balanced_accuracy") == pytest.approx(MEAN_BALANCED_ACCURACY)
    np.testing.assert_array_equal(candidate.value("parsing", "confusion"), result.value("parsing", "confusion"))


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
        "attributes mean_balanced_accuracy is undefined: no attribute has annotated records of both classes",
        "parsing mean_f1 is undefined: no pixel that was counted is anything but background, in truth or by prediction",
    ]
    result = read_evaluation(uri, _tasks())
    assert result.counts == {"": 4}
    assert (result.value("attributes", "annotated"), result.value("landmarks", "annotated")) == (0, 0)
    assert result.value("parsing", "annotated") == 0 and not result.value("parsing", "confusion").any()
    assert all(math.isnan(figure.value) for task in _tasks() for figure in result.figures(task.name))
    assert result.slices == {"Male": (), "Young": ()}
    assert result.gap("attributes", "mean_accuracy", "Male") is None


def test_reading_what_is_not_there_says_so(tmp_path):
    for read in (read_blessing, lambda uri: read_evaluation(uri, _tasks())):
        with pytest.raises(ValueError, match="holds no evaluation"):
            read(str(tmp_path))
