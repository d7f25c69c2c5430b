"""TFX's Evaluator on several tasks, whose labels come from several data sets, at each iteration of task interaction."""

import functools
import io
import math

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from evaluator_runs import run_evaluator, write_examples, write_model

from components.tasks.segmentation.label_maps import encode_label_map
from components.evaluator.config import (
    ITERATIONS_SIGNATURE,
    attribute_metrics,
    attributes_of,
    emotion_metrics,
    eval_config,
    iteration_output,
    landmark_metrics,
    output_and_iteration,
    parsing_metrics,
    per_iteration,
    settings_of,
)
from components.evaluator.results import read_blessing, read_evaluation
from components.record import FaceRecord

ATTRIBUTES = ("Male", "Young")
EMOTIONS = ("anger", "joy", "fear")
CLASSES = ("background", "skin", "lip", "mouth")
MERGED_PARTS = {"skin": ("skin",), "mouth_all": ("lip", "mouth")}
FACE = np.array([[0.25, 0.5], [0.75, 0.5], [0.5, 0.6], [0.3, 0.8], [0.7, 0.8]], np.float32)
SPLITS = ("helen_test", "mtfl_test", "fer2013_test", "celeb_a_test", "mixed")

# What a record is labelled with, what the model answers at first, and the iteration, 0 or 1, from which it answers
# rightly; 2 is too late.
FACES = [(0, "high"), (1, "wide"), (1, "high"), (2, "wide")]
SHIFTS = (0.05, 0.05, 0.05, 0.3, 0.3, None)  # errors of four of the five points at iteration 0; None: the eyes coincide
MOODS = [(0, 1, 0), (0, 1, 1), (0, 2, 2), (1, 0, 0), (1, 0, 0), (1, 0, 0), (1, 0, 1), (1, 0, 2)]
PEOPLE = [((1, 1), 0), ((1, 1), 1), ((0, 1), 0), ((0, 1), 1), ((1, 0), 0), ((1, 0), 1), ((0, 0), 0), ((0, 0), 2)]


def _png(pixels):
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _record(dataset, number, size=(20, 40), right_from=0, first=None, shift=0.0, **labels):
    """A serialized record with what the model needs to know: its answers `right/...`, at first `first/...`."""
    picture = _png(np.full((*size, 3), number, np.uint8))
    encoded = {"parsing": encode_label_map(labels["parsing"])} if "parsing" in labels else {}
    example = FaceRecord(f"{number}.png", dataset, picture, **{**labels, **encoded}).to_example()
    empty = {"parsing": np.zeros(size, np.uint8), "emotion": 0, "attributes": (0, 0)}
    right = {name: labels.get(name, nothing) for name, nothing in empty.items()}
    feature = example.features.feature
    feature["right_from"].int64_list.value.append(right_from)
    feature["shift"].float_list.value.append(shift)
    for when, answers in {"right": right, "first": {**right, **(first or {})}}.items():
        feature[f"{when}/parsing"].bytes_list.value.append(encode_label_map(answers["parsing"]))
        feature[f"{when}/emotion"].int64_list.value.append(answers["emotion"])
        feature[f"{when}/attributes"].int64_list.value.extend(answers["attributes"])
    return example.SerializeToString()


def _records():
    """By data set; each has its own labels alone."""
    helen = []
    for number, (right_from, shape) in enumerate(FACES):
        # Of each class as many pixels. At first lip and mouth are exchanged, and the skin is not found.
        size = {"high": (20, 4), "wide": (8, 10)}[shape]
        truth = np.repeat(np.arange(4, dtype=np.uint8), 20).reshape(size)
        wrong = np.array([0, 0, 3, 2], np.uint8)[truth]
        helen.append(_record("helen", number, size, right_from, {"parsing": wrong}, parsing=truth))
    mtfl = [
        _record("mtfl", number, shift=shift or 0.0, landmarks=FACE if shift else np.full((5, 2), 0.5, np.float32))
        for number, shift in enumerate(SHIFTS)
    ]
    fer = [
        _record("fer2013", number, (48, 48), right_from, {"emotion": wrong}, emotion=truth)
        for number, (truth, wrong, right_from) in enumerate(MOODS)
    ]
    celeb_a = [
        _record("celeb_a", number, (22, 18), right_from, {"attributes": np.subtract(1, truth)}, attributes=truth)
        for number, (truth, right_from) in enumerate(PEOPLE)
    ]
    return {"helen": helen, "mtfl": mtfl, "fer2013": fer, "celeb_a": celeb_a}


class _Parrot(tf.Module):
    """A model of iterations 0 and 1; `ahead` of them it is what another is `ahead` iterations later."""

    def __init__(self, ahead):
        super().__init__()
        self._ahead = ahead

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def from_examples(self, examples):
        return self._answers(examples, 1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def iterations_from_examples(self, examples):
        numbered = {
            iteration_output(output, number): answer
            for number in (0, 1)
            for output, answer in self._answers(examples, number).items()
        }
        return {**self._answers(examples, 1), **numbered}

    def _answers(self, examples, iteration):
        features = {
            "right_from": tf.io.FixedLenFeature([], tf.int64),
            "shift": tf.io.FixedLenFeature([], tf.float32),
        }
        for when in ("right", "first"):
            features[f"{when}/parsing"] = tf.io.FixedLenFeature([], tf.string)
            features[f"{when}/emotion"] = tf.io.FixedLenFeature([], tf.int64)
            features[f"{when}/attributes"] = tf.io.FixedLenFeature([len(ATTRIBUTES)], tf.int64)
        parsed = tf.io.parse_example(examples, features)
        now = iteration + self._ahead
        right = parsed["right_from"] <= now
        parsing, emotion = (
            tf.where(right, parsed[f"right/{name}"], parsed[f"first/{name}"]) for name in ("parsing", "emotion")
        )
        label_maps = tf.map_fn(
            lambda encoded: tf.RaggedTensor.from_tensor(tf.io.decode_png(encoded)[..., 0]),
            parsing,
            fn_output_signature=tf.RaggedTensorSpec([None, None], tf.uint8, ragged_rank=1),
        )
        # All points but the last lie too far to the right, by `shift` of the distance between the eyes; each iteration
        # leaves a quarter of that.
        along_x = np.array([[0.5, 0]] * 4 + [[0, 0]], np.float32)
        return {
            "parsing": label_maps.to_tensor(tf.constant(255, tf.uint8)),
            "landmarks": FACE + parsed["shift"][:, None, None] / 4.0**now * along_x,
            "emotion": tf.nn.softmax(2 * tf.one_hot(emotion, len(EMOTIONS))),
            "decisions": tf.where(right[:, None], parsed["right/attributes"], parsed["first/attributes"]),
        }


def _tasks(max_nme=0.05, min_accuracy=0.6):
    return [
        attribute_metrics(ATTRIBUTES, 0.6),
        landmark_metrics(5, max_nme),
        parsing_metrics(CLASSES, MERGED_PARTS, 0.6),
        emotion_metrics(EMOTIONS, min_accuracy),
    ]


def _config(**bars):
    tasks = _tasks(**bars)
    each = [per_iteration(task, range(2)) for task in tasks]
    return eval_config([*tasks, *each], slice_by=["Male"], signature=ITERATIONS_SIGNATURE)


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """A split of each data set, and one in which some records of all lie mixed."""
    records = _records()
    mixed = [each for of_one in records.values() for each in of_one[::2]]
    np.random.default_rng(0).shuffle(mixed)
    splits = {f"{dataset}_test": [of_one[1::2]] for dataset, of_one in records.items()}
    return write_examples(tmp_path_factory.mktemp("examples"), {**splits, "mixed": [mixed[:5], mixed[5:]]})


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    artifacts = {}
    for name, ahead in {"model": 0, "better": 1}.items():
        parrot = _Parrot(ahead)
        signatures = {"from_examples": parrot.from_examples, ITERATIONS_SIGNATURE: parrot.iterations_from_examples}
        artifacts[name] = write_model(tmp_path_factory.mktemp(name), parrot, signatures)
    return artifacts


@pytest.fixture(scope="module")
def evaluate(examples, models, tmp_path_factory):
    """Runs the Evaluator on models by name -> uri of the evaluation, and whether the blessing was given."""

    def run(model, config, baseline=None, splits=SPLITS):
        root = tmp_path_factory.mktemp("evaluation")
        return run_evaluator(root, examples, list(splits), models[model], config, models.get(baseline))

    return run


@pytest.fixture(scope="module")
def evaluated(evaluate):
    return evaluate("model", _config())


@pytest.fixture(scope="module")
def result(evaluated):
    return read_evaluation(evaluated[0])


def test_a_task_rests_on_the_records_of_its_data_set(result):
    assert (result.count, result.overall.count) == (26, 26)
    assert (result.parsing.annotated, result.landmarks.count, result.landmarks.skipped) == (4, 5, 1)
    assert (result.emotion.annotated, result.overall.annotated) == (8, 8)


def test_emotion(result):
    emotion = result.emotion
    assert emotion.classes == EMOTIONS
    np.testing.assert_array_equal(emotion.confusion, [[2, 0, 1], [1, 4, 0], [0, 0, 0]])
    assert emotion.confusion.dtype == np.int64
    assert (emotion.accuracy, emotion.mean_recall) == pytest.approx((6 / 8, (2 / 3 + 4 / 5) / 2))
    np.testing.assert_allclose(emotion.recall, [2 / 3, 4 / 5, np.nan])  # nobody is afraid
    np.testing.assert_allclose(emotion.f1, [4 / 6, 8 / 9, 0])


def test_landmarks(result):
    # Errors at iteration 1: three times 0.0125, twice 0.075, of four points of five.
    assert result.landmarks.nme == pytest.approx(0.8 * 0.0375, rel=1e-5)
    np.testing.assert_allclose(result.landmarks.point_nme, [0.0375] * 4 + [0], rtol=1e-5, atol=1e-6)
    assert result.landmarks.failure_rate == 0 and not result.landmarks.point_failure_rate.any()
    assert result.overall.nme == result.landmarks.nme and result.overall.landmark_count == 5


def test_parsing_and_its_parts(result):
    # TP, FP, FN in twenties of pixels: background 4 1 0, skin 3 0 1, lip 3 1 1, mouth likewise.
    np.testing.assert_allclose(result.parsing.f1, [8 / 9, 6 / 7, 6 / 8, 6 / 8])
    assert result.parsing.part_f1 == pytest.approx({"skin": 6 / 7, "mouth_all": 1})
    assert result.parsing.overall_f1 == pytest.approx(2 * (3 + 8) / (7 + 16))


def test_slices_by_an_attribute_that_one_data_set_has(result):
    male, not_male = (result.slices["Male"][name] for name in ("Male", "not Male"))
    assert (male.count, male.annotated, not_male.count, not_male.annotated) == (4, 4, 4, 4)
    assert (male.mean_accuracy, not_male.mean_accuracy) == pytest.approx((1, 3 / 4))
    assert result.gap("Male", "mean_accuracy") == pytest.approx(1 / 4)
    assert math.isnan(male.nme) and male.landmark_count == 0


def test_iterations_one_by_one(result):
    assert [each.iteration for each in result.iterations] == [0, 1]
    first, last = result.iterations
    np.testing.assert_array_equal(first.emotion.confusion, [[1, 1, 1], [2, 3, 0], [0, 0, 0]])
    assert (first.emotion.accuracy, first.emotion.mean_recall) == pytest.approx((4 / 8, (1 / 3 + 3 / 5) / 2))
    # Errors at iteration 0: three times 0.05, twice 0.3, of four points of five.
    assert (first.landmarks.nme, first.landmarks.failure_rate) == pytest.approx((0.8 * 0.15, 2 / 5), rel=1e-5)
    np.testing.assert_allclose(first.landmarks.point_nme, [0.15] * 4 + [0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(first.landmarks.point_failure_rate, [2 / 5] * 4 + [0])
    # In twenties of pixels: background 4 3 0, skin 1 0 3, lip 1 3 3, mouth likewise.
    np.testing.assert_allclose(first.parsing.f1, [8 / 11, 2 / 5, 2 / 8, 2 / 8])
    assert first.parsing.part_f1 == pytest.approx({"skin": 2 / 5, "mouth_all": 1})
    assert (first.attributes.mean_accuracy, last.attributes.mean_accuracy) == pytest.approx((1 / 2, 7 / 8))
    assert (first.attributes.count, first.attributes.annotated, first.landmarks.count) == (26, 8, 5)


def test_the_plain_output_is_that_of_the_last_iteration(result):
    last = result.iterations[-1]
    np.testing.assert_array_equal(last.emotion.confusion, result.emotion.confusion)
    np.testing.assert_array_equal(last.parsing.confusion, result.parsing.confusion)
    np.testing.assert_array_equal(last.attributes.counts, result.overall.counts)
    assert (last.landmarks.nme, last.attributes.nme) == (result.landmarks.nme, result.landmarks.nme)


def test_bars_apply_to_the_plain_output_alone(evaluated, result):
    first = result.iterations[0]
    assert first.landmarks.nme > 0.05 and first.emotion.accuracy < 0.6 and first.parsing.mean_f1 < 0.6
    uri, blessed = evaluated
    assert blessed and read_blessing(uri) == (True, [])


def test_some_tasks_at_some_iterations(evaluate):
    tasks = [landmark_metrics(5), emotion_metrics(EMOTIONS, 0.6)]
    config = eval_config([*tasks, per_iteration(tasks[1], [1])], signature=ITERATIONS_SIGNATURE)
    result = read_evaluation(evaluate("model", config)[0])
    assert result.overall is None and result.parsing is None and result.landmarks.count == 5
    (iteration,) = result.iterations
    assert (iteration.iteration, iteration.emotion.accuracy) == (1, pytest.approx(6 / 8))
    assert iteration.attributes is None and iteration.landmarks is None and iteration.parsing is None


@pytest.mark.parametrize(
    "bars, reason",
    [
        ({"max_nme": 0.02}, "nme 0.03 is above the bar 0.02"),
        ({"min_accuracy": 0.8}, "emotion accuracy 0.75 is below the bar 0.8"),
    ],
)
def test_a_model_that_misses_a_bar_is_not_blessed(evaluate, bars, reason):
    uri, blessed = evaluate("model", eval_config(_tasks(**bars)))
    assert not blessed
    assert read_blessing(uri) == (False, [reason])
    assert read_evaluation(uri).iterations == ()


def test_a_model_worse_than_the_last_blessed_one_is_not_blessed(evaluate):
    uri, blessed = evaluate("model", _config(), baseline="better")
    assert not blessed
    passed, reasons = read_blessing(uri)
    mean_f1 = (6 / 7 + 6 / 8 + 6 / 8) / 3
    differences = {
        "emotion accuracy": 6 / 8 - 1,
        "mean_balanced_accuracy": 7 / 8 - 1,
        "mean_f1": mean_f1 - 1,
        "nme": 0.03 - 0.03 / 4,
    }
    assert not passed and sorted(reasons) == [
        f"{name} is worse than the last blessed model's (difference {difference:.3g})"
        for name, difference in differences.items()
    ]
    candidate, baseline = read_evaluation(uri), read_evaluation(uri, model="baseline")
    assert (candidate.landmarks.nme, baseline.landmarks.nme) == pytest.approx((0.03, 0.03 / 4), rel=1e-5)
    assert (candidate.emotion.accuracy, baseline.emotion.accuracy) == (6 / 8, 1)
    assert [each.emotion.accuracy for each in candidate.iterations] == [4 / 8, 6 / 8]
    assert [each.emotion.accuracy for each in baseline.iterations] == [6 / 8, 1]


@pytest.mark.parametrize("candidate", ["model", "better"])
def test_a_model_as_good_as_the_last_blessed_one_or_better_is_blessed(evaluate, candidate):
    uri, blessed = evaluate(candidate, _config(), baseline="model")
    assert blessed and read_blessing(uri) == (True, [])


def test_an_nme_without_a_bar_neither_hinders_a_blessing_nor_gives_one(evaluate):
    unbarred = landmark_metrics(5)
    uri, blessed = evaluate("model", eval_config([unbarred, emotion_metrics(EMOTIONS, 0.6)]), baseline="model")
    assert blessed and read_blessing(uri) == (True, [])
    uri, blessed = evaluate("model", eval_config([unbarred]), baseline="better")
    assert (blessed, read_blessing(uri)) == (False, (False, ["no task has a bar to pass"]))
    assert read_evaluation(uri).landmarks.nme > read_evaluation(uri, model="baseline").landmarks.nme


def test_tasks_without_annotated_records_are_not_blessed(evaluate):
    uri, blessed = evaluate("model", _config(), splits=["celeb_a_test"])
    assert not blessed
    passed, reasons = read_blessing(uri)
    assert not passed and sorted(reasons) == [
        "emotion accuracy is undefined: no record has an emotion",
        "mean_f1 is undefined: no pixel that was counted is anything but background, in truth or by prediction",
        "nme is undefined: no record has landmarks that can be measured, or a predicted point is not a number",
    ]
    result = read_evaluation(uri)
    assert (result.count, result.overall.annotated) == (4, 4)
    for each in (result, *result.iterations):
        assert (each.emotion.annotated, each.landmarks.count, each.parsing.annotated) == (0, 0, 0)
        assert math.isnan(each.emotion.accuracy) and np.isnan(each.landmarks.point_nme).all()


def test_iterations_that_the_signature_does_not_give_are_an_error(evaluate):
    task = emotion_metrics(EMOTIONS, 0.6)
    with pytest.raises(
        ValueError, match=r"has no output 'emotion_iter0'; its signature gives \['decisions', 'emotion'"
    ):
        evaluate("model", eval_config([task, per_iteration(task, [0])]))


def test_configuration_of_iterations():
    config = _config()
    tfma.utils.verify_eval_config(config)
    assert config.model_specs[0].signature_name == ITERATIONS_SIGNATURE
    labels = {"decisions": "attributes", "landmarks": "landmarks", "parsing": "parsing/encoded", "emotion": "emotion"}
    assert dict(config.model_specs[0].label_keys) == {
        output + suffix: label for output, label in labels.items() for suffix in ("", "_iter0", "_iter1")
    }
    assert attributes_of(config) == ATTRIBUTES
    assert settings_of(config, "emotion")["classes"] == list(EMOTIONS)
    assert settings_of(config, "landmarks")["num_landmarks"] == 5
    with_bars = [list(spec.output_names) for spec in config.metrics_specs if spec.metrics[0].per_slice_thresholds]
    assert with_bars == [["decisions"], ["landmarks"], ["parsing"], ["emotion"]]


def test_a_task_at_iterations_is_measured_as_before_and_leaves_the_task_as_it_is():
    task = landmark_metrics(5, 0.2)
    numbered = per_iteration(task, iter([0, 2]))
    assert list(numbered.output_names) == ["landmarks_iter0", "landmarks_iter2"]
    assert numbered.metrics[0].config == task.metrics[0].config and len(task.metrics[0].per_slice_thresholds) == 1
    with pytest.raises(ValueError, match="no iteration to measure: expected the number of at least one"):
        per_iteration(task, range(0))


@pytest.mark.parametrize("number", [0, 1, 12])
def test_names_of_iterations_are_read_back(number):
    assert output_and_iteration(iteration_output("landmarks", number)) == ("landmarks", number)
    assert output_and_iteration("landmarks") == ("landmarks", None)


@pytest.mark.parametrize("task", [functools.partial(landmark_metrics, 5), functools.partial(emotion_metrics, EMOTIONS)])
def test_a_bar_is_above_zero(task):
    with pytest.raises(ValueError, match="a bar needs one above 0; received 0"):
        task(0)
