"""Points of the whole image, worked out by hand."""

import numpy as np
import tensorflow as tf

from components.images.crop import WHOLE
from components.tasks.base import serving_of
from tests.support.serving import bound


def test_points_are_of_the_whole_image():
    serving = serving_of(bound("points", "landmarks", ("eye", "mouth")))
    output = tf.constant([[0.5, 0.25, 1.0, 0.0]] * 2)
    # The second image's crop begins at x = 0.5, y = 0.25 and is 0.25 wide and 0.5 high.
    answers = serving.outputs(output, tf.constant([WHOLE, (0.25, 0.5, 0.5, 0.25)]), None)
    np.testing.assert_array_equal(answers["points"], [[(0.5, 0.25), (1, 0)], [(0.625, 0.375), (0.75, 0.25)]])
    points = {"kind": "points", "dtype": "float32", "shape": [None, 2, 2], "names": ["eye", "mouth"]}
    assert serving.contract() == {"points": points} and answers.keys() == {"points"}
