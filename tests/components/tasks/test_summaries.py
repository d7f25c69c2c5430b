"""What TensorBoard gets of every attribute and class."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from components import tasks as task_kinds
from components.tasks.summaries import FiguresByName
from tests.support.tasks import bound_task


def learning(name, kind, names):
    return task_kinds.role(kind, "learning").Learning(bound_task(name, kind, names), (2, 2))


def written(folder):
    """tag -> value of the first epoch."""
    (file,) = pathlib.Path(folder).glob("*.by_name")
    values = [value for event in tf.compat.v1.train.summary_iterator(str(file)) for value in event.summary.value]
    assert len({value.tag for value in values}) == len(values), "no tag twice"
    return {value.tag: float(tf.make_ndarray(value.tensor)) for value in values}


def test_two_tasks_with_a_label_of_one_name_have_tags_of_their_own(tmp_path):
    people, clothes = (learning(name, "multi_label", ("Hat", "Young")) for name in ("people", "clothes"))
    people.thresholds.assign([0.5, -0.25])
    parsing = learning("parsing", "segmentation", ("background", "skin", "hair"))
    labels = np.array([[[0, 1], [1, 1]]], np.uint8)  # nowhere hair, neither by label nor as predicted
    parsing.metric.update_state(labels, tf.one_hot(labels, 3))
    callback = FiguresByName(str(tmp_path), [people, clothes, learning("age", "regression", ()), parsing])
    callback.on_train_begin()
    callback.on_epoch_end(0)
    callback.on_train_end()
    found = written(tmp_path)
    assert found["people_thresholds/Hat"] == 0.5 and found["people_thresholds/Young"] == -0.25
    assert found["clothes_thresholds/Hat"] == 0 and found["clothes_weights/Hat"] == pytest.approx(1)
    assert found["parsing_f1/skin"] == 1 and "parsing_f1/hair" not in found
    assert len(found) == 2 * 2 * 3 + 2
