"""What stands for predictions before there are any: nothing, then the mean that is set."""

import numpy as np
import pytest
from layer_checks import check_layer

from keras_models.initial_feedback import InitialFeedback
from keras_models.landmark_heat_maps import landmark_heat_maps

TASKS = {"parsing": 3, "landmarks": 2, "emotion": 7, "attributes": 4}
SHAPES = {"parsing": (1, 6, 8, 3), "landmarks": (1, 4), "emotion": (1, 7), "attributes": (1, 4)}


def _layer(**options):
    return InitialFeedback(TASKS, (6, 8), **options)


def _images(count=2):
    return np.ones((count, 6, 8, 3), np.float32)


def test_one_prediction_of_each_task_for_any_number_of_images():
    layer = _layer()
    for count in (1, 5):
        assert {task: mean.shape for task, mean in layer(_images(count)).items()} == SHAPES


def test_before_a_mean_is_set_there_is_nothing():
    initial = _layer()(_images())
    assert not any(np.any(initial[task]) for task in ("parsing", "emotion", "attributes"))
    # Nothing for landmarks is no disc, at the paper's radius and at one as large as the image.
    points = np.reshape(initial["landmarks"], (1, 2, 2))
    assert not np.any(landmark_heat_maps(points, (6, 8), 5 / 128 * 6))
    assert not np.any(landmark_heat_maps(points, (128, 128), 128.0))


@pytest.mark.parametrize("task", TASKS)
def test_a_mean_is_given_back_and_the_other_tasks_keep_theirs(task):
    layer = _layer()
    before = layer(_images())
    mean = np.random.default_rng(0).uniform(0, 1, SHAPES[task][1:]).astype(np.float32)
    layer.set_mean(task, mean)
    after = layer(_images())
    np.testing.assert_array_equal(after[task], mean[None])
    for other in set(TASKS) - {task}:
        np.testing.assert_array_equal(after[other], before[other])


def test_a_mean_of_another_shape_is_refused():
    layer = _layer()
    layer(_images())
    with pytest.raises(ValueError, match="shape"):
        layer.set_mean("emotion", np.zeros(6))


def test_means_are_weights_that_no_gradient_moves():
    layer = _layer()
    layer(_images())
    assert not layer.trainable_weights
    assert {weight.name: tuple(weight.shape) for weight in layer.weights} == {
        f"initial_feedback/mean_{task}:0".replace("initial_feedback", layer.name): shape[1:]
        for task, shape in SHAPES.items()
    }


def test_conformance():
    layer = _layer(name="initial")
    layer(_images())
    layer.set_mean("landmarks", [0.25, 0.5, 0.75, 0.5])
    check_layer(layer, _images(), half_precision="float32")


def test_means_stay_float32_in_mixed_precision():
    layer = _layer(dtype="mixed_bfloat16")
    layer(_images())
    layer.set_mean("landmarks", [0.502, 0.1, 0.2, 0.3])
    # bfloat16 would make 0.5 of it.
    np.testing.assert_array_equal(layer(_images())["landmarks"][0, 0], np.float32(0.502))
