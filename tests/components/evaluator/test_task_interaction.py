"""TFX's Evaluator on several tasks, whose labels come from several data sets, at each iteration of task interaction."""

import io
import math

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from evaluator_runs import bound, run_evaluator, write_examples, write_model

from components.config import Bar
from components.evaluator.config import ITERATIONS_SIGNATURE, eval_config
from components.evaluator.results import read_blessing, read_evaluation
from components.record import FaceRecord
from components.tasks.annotation import points
from components.tasks.scores import BINS, summarize_scores
from components.tasks.segmentation.label_maps import encode_grey

pytestmark = pytest.mark.slow

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
    image = _png(np.full((*size, 3), number, np.uint8))
    encoded = {"parsing": encode_grey(labels["parsing"])} if "parsing" in labels else {}
    example = FaceRecord(f"{number}.png", dataset, image, {**labels, **encoded}).to_example()
    empty = {"parsing": np.zeros(size, np.uint8), "emotion": 0, "attributes": (0, 0)}
    right = {name: labels.get(name, nothing) for name, nothing in empty.items()}
    feature = example.features.feature
    feature["right_from"].int64_list.value.append(right_from)
    feature["shift"].float_list.value.append(shift)
    for when, answers in {"right": right, "first": {**right, **(first or {})}}.items():
        feature[f"{when}/parsing"].bytes_list.value.append(encode_grey(answers["parsing"]))
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
            f"{output}_iter{number}": answer
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
        attributes = tf.where(right[:, None], parsed["right/attributes"], parsed["first/attributes"])
        return {
            "parsing": label_maps.to_tensor(tf.constant(255, tf.uint8)),
            "landmarks": FACE + parsed["shift"][:, None, None] / 4.0**now * along_x,
            "emotion": tf.nn.softmax(2 * tf.one_hot(emotion, len(EMOTIONS))),
            "attributes": tf.cast(attributes, tf.float32),
            "attributes_decisions": attributes,
        }


def _emotion(min_accuracy=0.6):
    return bound("emotion", "classification", EMOTIONS, Bar("accuracy", at_least=min_accuracy))


def _landmarks(max_nme=None):
    return bound("landmarks", "landmarks", points(5), max_nme and Bar("nme", at_most=max_nme))


def _tasks(max_nme=0.05, min_accuracy=0.6):
    return [
        bound("attributes", "multi_label", ATTRIBUTES, Bar("mean_balanced_accuracy", at_least=0.6)),
        _landmarks(max_nme),
        bound("parsing", "segmentation", CLASSES, Bar("mean_f1", at_least=0.6), MERGED_PARTS),
        _emotion(min_accuracy),
    ]


def _config(**bars):
    return eval_config(_tasks(**bars), slice_by=["Male"], iterations=1)


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
        return run_evaluator(root, examples, _tasks(), list(splits), models[model], config, models.get(baseline))

    return run


@pytest.fixture(scope="module")
def evaluated(evaluate):
    return evaluate("model", _config())


@pytest.fixture(scope="module")
def result(evaluated):
    return read_evaluation(evaluated[0], _tasks())


def test_a_task_rests_on_the_records_of_its_data_set(result):
    assert result.counts[""] == 26
    assert [result.value(task, "annotated") for task in ("parsing", "emotion", "attributes")] == [4, 8, 8]
    assert [result.value("landmarks", name) for name in ("annotated", "landmarks_skipped")] == [5, 1]


def test_emotion(result):
    found = result.of("emotion")
    np.testing.assert_array_equal(found["confusion"], [[2, 0, 1], [1, 4, 0], [0, 0, 0]])
    assert found["confusion"].dtype == np.int64
    assert (found["accuracy"], found["mean_recall"]) == pytest.approx((6 / 8, (2 / 3 + 4 / 5) / 2))
    np.testing.assert_allclose(found["recall"], [2 / 3, 4 / 5, np.nan])  # nobody is afraid
    np.testing.assert_allclose(found["f1"], [4 / 6, 8 / 9, 0])


def test_landmarks(result):
    # Errors at iteration 1: three times 0.0125, twice 0.075, of four points of five.
    found = result.of("landmarks")
    assert found["nme"] == pytest.approx(0.8 * 0.0375, rel=1e-5)
    np.testing.assert_allclose(found["point_nme"], [0.0375] * 4 + [0], rtol=1e-5, atol=1e-6)
    assert found["failure_rate"] == 0 and not found["point_failure_rate"].any()


def test_parsing_and_its_parts(result):
    # TP, FP, FN in twenties of pixels: background 4 1 0, skin 3 0 1, lip 3 1 1, mouth likewise.
    found = result.of("parsing")
    np.testing.assert_allclose(found["f1"], [8 / 9, 6 / 7, 6 / 8, 6 / 8])
    np.testing.assert_allclose(found["part_f1"], [6 / 7, 1])
    assert found["overall_f1"] == pytest.approx(2 * (3 + 8) / (7 + 16))


def test_slices_by_an_attribute_that_one_data_set_has(result):
    male, not_male = (result.of("attributes", name) for name in result.slices["Male"])
    assert (result.counts["Male"], male["annotated"], result.counts["not Male"], not_male["annotated"]) == (4, 4, 4, 4)
    assert (male["mean_accuracy"], not_male["mean_accuracy"]) == pytest.approx((1, 3 / 4))
    assert result.gap("attributes", "mean_accuracy", "Male") == pytest.approx(1 / 4)
    nobody = result.of("landmarks", "Male")
    assert math.isnan(nobody["nme"]) and nobody["annotated"] == 0


def test_iterations_one_by_one(result):
    assert result.iterations == (0, 1)
    emotion, landmarks, parsing = (result.of(task, iteration=0) for task in ("emotion", "landmarks", "parsing"))
    np.testing.assert_array_equal(emotion["confusion"], [[1, 1, 1], [2, 3, 0], [0, 0, 0]])
    assert (emotion["accuracy"], emotion["mean_recall"]) == pytest.approx((4 / 8, (1 / 3 + 3 / 5) / 2))
    # Errors at iteration 0: three times 0.05, twice 0.3, of four points of five.
    assert (landmarks["nme"], landmarks["failure_rate"]) == pytest.approx((0.8 * 0.15, 2 / 5), rel=1e-5)
    np.testing.assert_allclose(landmarks["point_nme"], [0.15] * 4 + [0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(landmarks["point_failure_rate"], [2 / 5] * 4 + [0])
    # In twenties of pixels: background 4 3 0, skin 1 0 3, lip 1 3 3, mouth likewise.
    np.testing.assert_allclose(parsing["f1"], [8 / 11, 2 / 5, 2 / 8, 2 / 8])
    np.testing.assert_allclose(parsing["part_f1"], [2 / 5, 1])
    assert result.value("attributes", "mean_accuracy", iteration=0) == pytest.approx(1 / 2)
    assert result.value("attributes", "mean_accuracy", iteration=1) == pytest.approx(7 / 8)
    (nme, _) = result.figures("landmarks", iteration=0)
    assert (nme.name, nme.value) == ("landmarks NME", landmarks["nme"])


def test_what_is_served_is_what_the_last_iteration_gives(result):
    for task in ("attributes", "landmarks", "parsing", "emotion"):
        served, last = result.of(task), result.of(task, iteration=1)
        # How far scores can be relied on is measured once.
        assert last.keys() == served.keys() - set(summarize_scores(np.zeros((2, 2, BINS), int)))
        for metric, value in last.items():
            np.testing.assert_array_equal(value, served[metric])


def test_bars_apply_to_what_is_served_alone(evaluated, result):
    first = [result.value(*metric, iteration=0) for metric in (("emotion", "accuracy"), ("parsing", "mean_f1"))]
    assert result.value("landmarks", "nme", iteration=0) > 0.05 and max(first) < 0.6
    uri, blessed = evaluated
    assert blessed and read_blessing(uri) == (True, [])


@pytest.mark.parametrize(
    "bars, reason",
    [
        ({"max_nme": 0.02}, "landmarks nme 0.03 is above the bar 0.02"),
        ({"min_accuracy": 0.8}, "emotion accuracy 0.75 is below the bar 0.8"),
    ],
)
def test_a_model_that_misses_a_bar_is_not_blessed(evaluate, bars, reason):
    uri, blessed = evaluate("model", eval_config(_tasks(**bars)))
    assert not blessed
    assert read_blessing(uri) == (False, [reason])
    assert read_evaluation(uri, _tasks()).iterations == ()


def test_a_model_worse_than_the_last_blessed_one_is_not_blessed(evaluate):
    uri, blessed = evaluate("model", _config(), baseline="better")
    assert not blessed
    passed, reasons = read_blessing(uri)
    mean_f1 = (6 / 7 + 6 / 8 + 6 / 8) / 3
    differences = {
        "attributes mean_balanced_accuracy": 7 / 8 - 1,
        "emotion accuracy": 6 / 8 - 1,
        "landmarks nme": 0.03 - 0.03 / 4,
        "parsing mean_f1": mean_f1 - 1,
    }
    assert not passed and sorted(reasons) == [
        f"{name} is worse than the last blessed model's (difference {difference:.3g})"
        for name, difference in differences.items()
    ]
    found = read_evaluation(uri, _tasks())
    accuracies = [found.value("emotion", "accuracy", iteration=number) for number in (None, 0, 1)]
    assert accuracies == [6 / 8, 4 / 8, 6 / 8], "the candidate's"


@pytest.mark.parametrize("candidate", ["model", "better"])
def test_a_model_as_good_as_the_last_blessed_one_or_better_is_blessed(evaluate, candidate):
    uri, blessed = evaluate(candidate, _config(), baseline="model")
    assert blessed and read_blessing(uri) == (True, [])


def test_an_nme_without_a_bar_neither_hinders_a_blessing_nor_gives_one(evaluate):
    uri, blessed = evaluate("model", eval_config([_landmarks(), _emotion()]), baseline="model")
    assert blessed and read_blessing(uri) == (True, [])
    uri, blessed = evaluate("model", eval_config([_landmarks()]), baseline="better")
    assert (blessed, read_blessing(uri)) == (False, (False, ["no task has a bar to pass"]))


def test_tasks_without_annotated_records_are_not_blessed(evaluate):
    uri, blessed = evaluate("model", _config(), splits=["celeb_a_test"])
    assert not blessed
    passed, reasons = read_blessing(uri)
    assert not passed and sorted(reasons) == [
        "emotion accuracy is undefined: no record is annotated with a class",
        "landmarks nme is undefined: no record has points that can be measured, or a predicted point is not a number",
        "parsing mean_f1 is undefined: no pixel that was counted is anything but background, in truth or by prediction",
    ]
    result = read_evaluation(uri, _tasks())
    assert (result.counts[""], result.value("attributes", "annotated")) == (4, 4)
    for number in (None, 0, 1):
        emotion, landmarks, parsing = (
            result.of(task, iteration=number) for task in ("emotion", "landmarks", "parsing")
        )
        assert (emotion["annotated"], landmarks["annotated"], parsing["annotated"]) == (0, 0, 0)
        assert math.isnan(emotion["accuracy"]) and np.isnan(landmarks["point_nme"]).all()


def test_iterations_that_the_signature_does_not_give_are_an_error(evaluate):
    expected = (
        r"has no output 'emotion_iter2'; its signature gives \['attributes', 'attributes_decisions', 'attributes_d"
    )
    with pytest.raises(ValueError, match=expected):
        evaluate("model", eval_config([_emotion()], iterations=2))
