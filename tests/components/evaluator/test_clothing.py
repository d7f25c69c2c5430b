"""TFX's Evaluator on clothing and on attributes' scores, of records that have the one label, the other or both."""

import io
import math

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from evaluator_runs import bound, run_evaluator, write_examples, write_model

from components.config import Bar
from components.evaluator.config import eval_config
from components.evaluator.results import read_blessing, read_evaluation
from components.record import FaceRecord
from components.tasks.multi_label.evaluation import COUNTS

ATTRIBUTES = tuple(f"attribute_{index}" for index in range(12))
CATEGORIES = ("Blouse", "Coat", "Dress", "Jeans", "Skirt", "Tee")
# By record: its category, and its place among the six when they are ordered by score. None: no category.
CLOTHES = [(0, 0), (0, 2), (1, 3), (2, 0), (3, 5), (3, 4), (4, 1), (4, 0), (None, 0), (None, 0), (None, 0)]
FIRST, LAST = [1] + [0] * 11, [0] * 11 + [1]
# By record: its attributes, whose scores fall from the first to the last. None, or -1 for one of them: not annotated.
PEOPLE = [FIRST, FIRST, [1] * 12, [0] * 12, LAST, None, None, None, None, FIRST, [-1, 1] + [0] * 9 + [-1]]


def _attributes():
    return bound("attributes", "multi_label", ATTRIBUTES, Bar("mean_balanced_accuracy", at_least=0.1))


def _clothing(min_top_3=0.5):
    return bound("clothing", "classification", CATEGORIES, Bar("top_3_accuracy", at_least=min_top_3), top=[3, 5])


def _scores(category, place):
    """[6], in which a category has its place."""
    others = [index for index in range(len(CATEGORIES)) if index != category]
    if category is not None:
        others.insert(place, category)
    return [1 - others.index(index) / 10 for index in range(len(CATEGORIES))]


def _examples(path):
    image = io.BytesIO()
    PIL.Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(image, "PNG")
    examples = []
    for number, ((category, place), attributes) in enumerate(zip(CLOTHES, PEOPLE, strict=True)):
        labels = {"attributes": attributes, "clothing": category}
        labels = {name: label for name, label in labels.items() if label is not None}
        example = FaceRecord(f"{number}.png", "by_hand", image.getvalue(), labels).to_example()
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
        return {"attributes": scores, "attributes_decisions": tf.cast(scores > 0.97, tf.int64), "clothing": clothing}


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
        return run_evaluator(
            root, examples, [_attributes(), _clothing()], [split], models["model"], config, models.get(baseline)
        )

    return run


@pytest.fixture(scope="module")
def evaluated(evaluate):
    return evaluate(eval_config([_attributes(), _clothing()], slice_by=["attribute_0", "clothing"]))


@pytest.fixture(scope="module")
def result(evaluated):
    return read_evaluation(evaluated[0], [_attributes(), _clothing()])


def test_clothing_worked_by_hand(result):
    found = result.of("clothing")
    assert (result.counts[""], found["annotated"]) == (11, 8)
    # Places: three records first, one second, one third, one each fourth to sixth.
    tops = [found[name] for name in ("accuracy", "top_3_accuracy", "top_5_accuracy")]
    assert tops == pytest.approx([3 / 8, 5 / 8, 7 / 8])
    np.testing.assert_allclose(found["recall"], [1 / 2, 0, 1, 0, 1 / 2, np.nan])
    assert found["mean_recall"] == pytest.approx((1 / 2 + 0 + 1 + 0 + 1 / 2) / 5)
    expected = np.zeros((6, 6), int)
    expected[[0, 2, 4], [0, 2, 4]] = 1
    expected[0, 1] = expected[1, 0] = expected[4, 0] = 1
    expected[3, 0] = 2
    np.testing.assert_array_equal(found["confusion"], expected)
    figures = {figure.name: figure.value for figure in result.figures("clothing")}
    assert figures["clothing top-3 accuracy"] == pytest.approx(5 / 8)
    assert figures["clothing always the commonest"] == pytest.approx(2 / 8)


def test_top_10_recall_worked_by_hand(result):
    """Each of four has the first and it is found; ten of one's twelve are found; one's last is not."""
    assert result.value("attributes", "annotated") == 7
    assert result.value("attributes", "pooled_top_10_recall") == pytest.approx((4 + 10) / (4 + 12 + 1))
    assert result.value("attributes", "top_10_recall") == pytest.approx(10 / 12)  # of ten attributes all, of two none
    assert result.value("attributes", "pooled_top_10_recall", "attribute_0") == pytest.approx(13 / 15)
    assert result.value("attributes", "top_10_recall", "not attribute_0") == 0
    assert result.gap("attributes", "pooled_top_10_recall", "attribute_0") == pytest.approx(13 / 15)
    names = [figure.name for figure in result.figures("attributes")]
    assert names[-2:] == ["attributes top-10 recall", "attributes top-10 recall, pooled"]


def test_a_record_s_attribute_that_is_not_annotated_is_left_out(result):
    counts = sum(result.value("attributes", name) for name in COUNTS)
    np.testing.assert_array_equal(counts, [6] + [7] * 10 + [6])
    assert [result.counts[name] for name in result.slices["attribute_0"]] == [4, 2]
    np.testing.assert_allclose(result.value("attributes", "positive_rate_true")[[0, 1, 11]], [4 / 6, 2 / 7, 2 / 6])


def test_slices_by_class(result):
    """Each class is a slice, in which the other task's records are measured, too."""
    assert result.slices["clothing"] == CATEGORIES[:5]  # there is no tee
    assert [result.counts[name] for name in CATEGORIES[:5]] == [2, 1, 1, 2, 2]
    assert result.value("clothing", "accuracy", "Blouse") == 1 / 2
    assert result.value("attributes", "annotated", "Blouse") == 2
    assert result.value("attributes", "annotated", "Skirt") == 0
    assert result.gap("clothing", "accuracy", "clothing") is None


def test_a_model_above_its_bars_is_blessed(evaluated):
    assert evaluated[1] and read_blessing(evaluated[0]) == (True, [])


def test_clothing_alone_below_the_bar(evaluate):
    uri, blessed = evaluate(eval_config([_clothing(0.7)]))
    assert not blessed
    assert read_blessing(uri) == (False, ["clothing top_3_accuracy 0.625 is below the bar 0.7"])
    assert {task for task, *_ in read_evaluation(uri, [_clothing()]).values} == {"clothing"}


def test_worse_than_the_last_blessed_model(evaluate):
    uri, blessed = evaluate(eval_config([_clothing()]), baseline="exact")
    assert not blessed
    expected = "clothing top_3_accuracy is worse than the last blessed model's (difference -0.375)"
    assert read_blessing(uri) == (False, [expected])


def test_no_record_has_clothing(evaluate):
    tasks = [_attributes(), _clothing()]
    uri, blessed = evaluate(eval_config(tasks), split="people")
    assert not blessed
    reason = "clothing top_3_accuracy is undefined: no record is annotated with a class"
    assert reason in read_blessing(uri)[1]
    found = read_evaluation(uri, tasks)
    assert found.value("clothing", "annotated") == 0 and math.isnan(found.value("clothing", "top_3_accuracy"))
    assert (found.value("attributes", "annotated"), found.value("attributes", "top_10_recall")) == (2, 1)
