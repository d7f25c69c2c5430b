"""The first epochs with half the sides: what a batch becomes, when, and for which networks."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from components.config import Task, configured
from components.tasks.annotation import Annotation, BoundTask
from components.trainer.half_size import halved
from tests.support import tiny_faces

LANDMARKS = BoundTask(Task("landmarks", "landmarks"), Annotation("landmarks", ("1", "2")), "tiny")
PARSING = BoundTask(Task("parsing", "segmentation"), Annotation("segmentation", ("skin", "hair")), "tiny")


def test_a_batch_worked_by_hand():
    """4 x 6 pixels to 2 x 3: means of 2 x 2; a label is that of the pixel at its centre; shares stay."""
    image = np.zeros((1, 4, 6, 3), np.uint8)
    image[:, :2, :2] = [[[8], [16]], [[24], [32]]]
    label = np.arange(24, dtype=np.uint8).reshape(1, 4, 6)
    points = np.array([[0.25, 0.5, 0.75, 1.0]], np.float32)
    small, labels = halved(image, {"parsing": label, "landmarks": points, "soft": points}, [PARSING, LANDMARKS])
    assert small.dtype == tf.uint8 and small.shape == (1, 2, 3, 3)
    assert small[0, 0, 0].numpy().tolist() == [20] * 3 and not small[0, 1:].numpy().any()
    assert labels["parsing"].numpy().tolist() == [[[7, 9, 11], [19, 21, 23]]]
    np.testing.assert_array_equal(labels["landmarks"], points)
    np.testing.assert_array_equal(labels["soft"], points)


def test_odd_sides_are_rounded_up():
    small, _ = halved(np.zeros((2, 193, 65, 3), np.uint8), {}, [])
    assert small.shape == (2, 97, 33, 3)


@pytest.mark.slow
@pytest.mark.parametrize("half", [0, 2])
def test_the_first_epochs_see_small_images(half, tiny_files, tmp_path, monkeypatch):
    sizes = []
    tiny = tiny_faces.experiment(epochs=3, half_size_epochs=half)
    model = configured(
        "keras_models.MultiTaskNetwork",
        outputs={"attributes": 6, "landmarks": 10},
        backbone="resnet10",
        backbone_width=4,
    )
    tiny = replace(tiny, model=model, training=replace(tiny.training, callbacks=(), loss=type(tiny.training).loss))

    def counted(image, labels, tasks):
        sizes.append(tuple(image.shape[1:3]))
        return halved(image, labels, tasks)

    monkeypatch.setattr("components.trainer.task_model.halved", counted)
    with tiny_faces.eagerly():
        trained = tiny_faces.fit(tiny, tmp_path / "run", tiny_files)
    assert len(trained.epochs) == 3 and all(np.isfinite(epoch["loss"]) for epoch in trained.epochs)
    assert sizes == [tiny_faces.SIZE] * 5 * half, "of five batches an epoch"
    assert trained.network.input_shape == ((None, None, None, 3) if half else (None, *tiny_faces.SIZE, 3))


def test_a_network_of_one_size_is_refused():
    with pytest.raises(
        ValueError, match=r"TreeNetwork takes images of one size, received input_shape=\(None, None, 3\)"
    ):
        tiny_faces.tree_network((None, None, 3))
    widening = tiny_faces.widening_experiment()
    training = replace(widening.training, half_size_epochs=1)
    with pytest.raises(ValueError, match="half_size_epochs is for networks of any size"):
        training.validate(widening.tasks)
