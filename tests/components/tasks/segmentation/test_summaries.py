"""What TensorBoard gets of label maps."""

import pathlib
from types import SimpleNamespace

import numpy as np
import tensorflow as tf

from components.tasks.segmentation.drawings import PALETTE, UNKNOWN, WRONG
from components.tasks.segmentation.learning import Learning
from components.tasks.segmentation.summaries import ParsingSummaries
from tests.support.tasks import bound_task

SIZE = (6, 8)


def test_a_row_has_image_prediction_truth_and_errors(tmp_path):
    """Two images, of class 0 throughout; of the second the right half is predicted as class 2."""
    truth, predicted = np.zeros((2, 2, *SIZE), np.uint8)
    truth[:, 0] = 255
    predicted[1, :, 4:] = 2
    images = np.full((2, *SIZE, 3), [200, 100, 50], np.uint8)
    validation = tf.data.Dataset.from_tensor_slices((images, {"parsing": truth})).batch(2)
    learning = Learning(bound_task("parsing", "segmentation", ("background", "skin", "hair")), SIZE)
    callback = ParsingSummaries(str(tmp_path), learning, validation)
    logits = tf.one_hot(predicted, 3)
    callback.set_model(SimpleNamespace(network=lambda images, training: {"parsing": logits}))
    callback.on_train_begin()
    callback.on_epoch_end(0)
    callback.on_train_end()
    (file,) = pathlib.Path(tmp_path).glob("*.parsing")
    events = tf.compat.v1.train.summary_iterator(str(file))
    (value,) = (value for event in events for value in event.summary.value if value.tag == "parsing")
    width, height, *rows = tf.make_ndarray(value.tensor)
    assert (int(width), int(height), len(rows)) == (4 * SIZE[1], SIZE[0], 2)
    first, second = (np.split(tf.io.decode_png(row).numpy(), 4, axis=1) for row in rows)
    np.testing.assert_array_equal(first[0], images[0])
    assert (first[1] == PALETTE[0]).all()
    assert (first[2][0] == UNKNOWN).all() and (first[2][1:] == PALETTE[0]).all()
    assert not (first[3] == WRONG).all(axis=-1).any()
    assert (second[1][:, 4:] == PALETTE[2]).all() and (second[1][:, :4] == PALETTE[0]).all()
    assert (second[3][0] == UNKNOWN).all() and (second[3][1:, 4:] == WRONG).all()
    assert not (second[3][:, :4] == WRONG).all(axis=-1).any()
