"""What is served of one number an image, worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from components.config import Task
from components.images.crop import WHOLE
from components.tasks.annotation import Annotation, BoundTask
from components.tasks.base import serving_of


@pytest.mark.parametrize(("options", "ages"), [({}, [0.25, -0.5]), ({"scale": 100.0}, [25, -50])])
@pytest.mark.parametrize("crop", [WHOLE, (0.1, 0.2, 0.3, 0.4)])
def test_a_number_is_in_the_labels_unit_whatever_the_crop(options, ages, crop):
    serving = serving_of(BoundTask(Task("age", "regression", options), Annotation("regression"), "tiny"))
    (answer,) = serving.outputs(tf.constant([[0.25], [-0.5]]), tf.constant([crop] * 2), None).items()
    assert answer[0] == "age" and answer[1].dtype == tf.float32
    np.testing.assert_array_equal(answer[1], ages)
    scale = options.get("scale", 1.0)
    assert serving.contract() == {"age": {"kind": "number", "dtype": "float32", "shape": [None], "scale": scale}}
    assert not serving.ONE_BY_ONE and not serving.variables
