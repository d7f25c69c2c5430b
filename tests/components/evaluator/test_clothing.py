"""TFX's Evaluator on clothing and on attributes' scores, of records that have the one label, the other or both."""

import io
import math

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from evaluator_runs import run_evaluator, write_examples, write_model

from components.evaluator.config import (
    attribute_metrics,
    attributes_of,
    clothing_metrics,
    emotion_metrics,
    eval_config,
    per_iteration,
    score_metrics,
    settings_of,
)
from components.evaluator.results import read_blessing, read_evaluation
from components.record import FaceRecord

ATTRIBUTES = tuple(f"attribute_{index}" for index in range(12))
CATEGORIES = ("Blouse", "Coat", "Dress", "Jeans", "Skirt", "Tee")
# By record: its category, and its place among the six when they are ordered by score. None: no category.
CLOTHES = [(0, 0), (0, 2), (1, 3), (2, 0), (3, 5), (3, 4), (4, 1), (4, 0), (None, 0), (None, 0)]
FIRST, LAST = [1] + [0] * 11, [0] * 11 + [1]
# By record: its attributes, whose scores fall from the first to the last. None: not annotated.
PEOPLE = [FIRST, FIRST, [1] * 12, [0] * 12, LAST, None, None, None, None, FIRST]


def _scores(category, place):
    """[6], in which a category has its place."""
    others = [index for index in range(len(CATEGORIES)) if index != category]
    if category is not None:
        others.insert(place, category)
    return [1 - others.index(index) / 10 for index in range(len(CATEGORIES))]


def _examples(path):
    picture = io.BytesIO()
    PIL.Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(picture, "PNG")
    examples = []
    for number, ((category, place), attributes) in enumerate(zip(CLOTHES, PEOPLE, strict=True)):
        labels = {"attributes": attributes, "clothing": category}
        example = FaceRecord(f"{number}.png", "by_hand", picture.getvalue(), **labels).to_example()
        example.features.feature["model/clothing"].float_list.value.extend(_scores(category, place))
        examples.append(example.SerializeToString())
    return write_examples(path, {"test": [examples[:3], examples[3:]], "people": [examples[8:]]})


class _Parrot(tf.Module):
    """A model that gives the categories' scores that it finds in the examples, or where `exact` those it should."""

    def __init__(self, exact=False):
        super().__init__()
        self._exact = exact

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def from_examples(self, examples):
        features = {
            "model/clothing": tf.io.FixedLenFeature([len(CATEGORIES)], tf.float32),
            "clothing": tf.io.FixedLenFeature([], tf.int64, 0),
        }
        parsed = tf.io.parse_example(examples, features)
        scores = tf.tile(tf.constant([[1 - index / 20 for index in range(12)]]), [tf.size(examples), 1])
        clothing = tf.one_hot(parsed["clothing"], len(CATEGORIES)) if self._exact else parsed["model/clothing"]
        return {"attributes": scores, "decisions": tf.cast(scores > 0.97, tf.int64), "clothing": clothing}


@pytest.fixture(scope="module")
def evaluate(tmp_path_factory):
    """Runs the Evaluator -> uri of the evaluation, and whether the blessing was given."""
    examples = _examples(tmp_path_factory.mktemp("examples"))
    parrots = {"model": _Parrot(), "exact": _Parrot(exact=True)}
    models = {
        name: write_model(tmp_path_factory.mktemp(name), parrot, {"from_examples": parrot.from_examples})
        for name, parrot in parrots.items()
    }

    def run(config, split="test", baseline=None):
        root = tmp_path_factory.mktemp("evaluation")
        return run_evaluator(root, examples, [split], models["model"], config, models.get(baseline))

    return run


def _tasks(min_top3=0.5):
    return [attribute_metrics(ATTRIBUTES, 0.1), score_metrics(ATTRIBUTES), clothing_metrics(CATEGORIES, min_top3)]


@pytest.fixture(scope="module")
def evaluated(evaluate):
    return evaluate(eval_config(_tasks(), slice_by=["attribute_0"]))


@pytest.fixture(scope="module")
def result(evaluated):
    return read_evaluation(evaluated[0])


def test_clothing_worked_by_hand(result):
    clothing = result.clothing
    assert (result.count, clothing.classes, clothing.annotated) == (10, CATEGORIES, 8)
    # Places: three records first, one second, one third, one each fourth to sixth.
    assert (clothing.accuracy, clothing.top_3, clothing.top_5) == pytest.approx((3 / 8, 5 / 8, 7 / 8))
    np.testing.assert_allclose(clothing.recall, [1 / 2, 0, 1, 0, 1 / 2, np.nan])
    assert clothing.mean_recall == pytest.approx((1 / 2 + 0 + 1 + 0 + 1 / 2) / 5)
    expected = np.zeros((6, 6), int)
    expected[[0, 2, 4], [0, 2, 4]] = 1
    expected[0, 1] = expected[1, 0] = expected[4, 0] = 1
    expected[3, 0] = 2
    np.testing.assert_array_equal(clothing.confusion, expected)


def test_top_10_recall_worked_by_hand(result):
    """Each of three has one and it is found; ten of one's twelve are found; one's last is not."""
    assert (result.overall.annotated, result.overall.top_10_recall) == (6, pytest.approx((3 + 10) / (3 + 12 + 1)))
    sides = result.slices["attribute_0"]
    assert sides["attribute_0"].top_10_recall == pytest.approx(13 / 15)
    assert sides["not attribute_0"].top_10_recall == 0
    assert result.gap("attribute_0", "top_10_recall") == pytest.approx(13 / 15)


def test_a_model_above_its_bars_is_blessed(evaluated):
    assert evaluated[1] and read_blessing(evaluated[0]) == (True, [])


def test_clothing_alone_below_the_bar(evaluate):
    uri, blessed = evaluate(eval_config([clothing_metrics(CATEGORIES, 0.7)]))
    assert not blessed
    assert read_blessing(uri) == (False, ["clothing top_3_accuracy 0.625 is below the bar 0.7"])
    found = read_evaluation(uri)
    assert (found.attributes, found.overall, found.emotion) == ((), None, None)
    assert found.clothing.top_5 == pytest.approx(7 / 8)


def test_worse_than_the_last_blessed_model(evaluate):
    uri, blessed = evaluate(eval_config([clothing_metrics(CATEGORIES, 0.5)]), baseline="exact")
    assert not blessed
    expected = "clothing top_3_accuracy is worse than the last blessed model's (difference -0.375)"
    assert read_blessing(uri) == (False, [expected])
    best = read_evaluation(uri, model="baseline").clothing
    assert (best.accuracy, best.top_3, best.top_5) == (1, 1, 1)


def test_no_record_has_clothing(evaluate):
    uri, blessed = evaluate(eval_config(_tasks()), split="people")
    assert not blessed
    assert "clothing top_3_accuracy is undefined: no record has a category of clothing" in read_blessing(uri)[1]
    found = read_evaluation(uri)
    assert found.clothing.annotated == 0 and math.isnan(found.clothing.top_3) and math.isnan(found.clothing.top_5)
    assert (found.overall.annotated, found.overall.top_10_recall) == (1, 1)


def test_what_was_not_evaluated_is_none(evaluate):
    found = read_evaluation(evaluate(eval_config([attribute_metrics(ATTRIBUTES, 0.1)]))[0])
    assert found.overall.top_10_recall is None and found.clothing is None


def test_outputs_of_one_kind_keep_their_own_settings():
    emotions = ("calm", "glad")
    tasks = [emotion_metrics(emotions, 0.5), *_tasks()]
    config = eval_config([*tasks, per_iteration(tasks[0], [0])])
    tfma.utils.verify_eval_config(config)
    assert settings_of(config, "emotion")["classes"] == list(emotions)
    assert settings_of(config, "clothing")["classes"] == list(CATEGORIES)
    assert settings_of(config, "landmarks") == {}
    assert attributes_of(config) == ATTRIBUTES
    alone = eval_config([per_iteration(tasks[0], [1])])
    assert settings_of(alone, "emotion")["classes"] == list(emotions)
    labels = dict(config.model_specs[0].label_keys)
    assert (labels["attributes"], labels["decisions"], labels["clothing"]) == ("attributes", "attributes", "clothing")
    with_bars = [list(spec.output_names) for spec in config.metrics_specs if spec.metrics[0].per_slice_thresholds]
    assert with_bars == [["emotion"], ["decisions"], ["clothing"]]


@pytest.mark.parametrize("count, top", [(4, [3]), (5, [3]), (6, [3, 5])])
def test_top_5_where_there_are_more(count, top):
    assert settings_of(eval_config([clothing_metrics(CATEGORIES[:count], 0.5)]), "clothing")["top"] == top


def test_what_can_not_be_configured():
    with pytest.raises(ValueError, match="no more than three; received 3: Blouse, Coat, Dress"):
        clothing_metrics(CATEGORIES[:3], 0.5)
    with pytest.raises(ValueError, match="a bar needs one above 0; received None"):
        clothing_metrics(CATEGORIES, None)
