"""What TensorBoard reads of an ended run, read with its own code."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
from tensorboard.util import tensor_util

from components.report.tensorboard import hyperparameters, write_summaries
from components.tasks.scores import summarize_scores
from pipeline import experiments
from tests.components.report.sample_run import AGE, ATTRIBUTES, NAMES, artifacts, attribute_values


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    counts = np.zeros((2, len(NAMES), 100), int)
    counts[1, :, 90], counts[1, :, 20], counts[0, :, 50], counts[0, :, 10] = 3, 1, 2, 4
    values = attribute_values() | summarize_scores(counts)
    model = SimpleNamespace(signatures={"from_examples": SimpleNamespace(graph=tf.Graph())})
    folder = tmp_path_factory.mktemp("events")
    write_summaries(artifacts(ATTRIBUTES, AGE, values={"attributes": values}, model=model), str(folder))
    return EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()


def test_figures_and_hyperparameters_meet_in_one_table(events):
    tags = events.Tags()["tensors"]
    assert {"test/attributes mean accuracy", "test/age mean absolute error"} <= set(tags)
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    session = metadata.parse_session_start_info_plugin_data(content)
    assert session.hparams["training.seed"].number_value == 7
    assert session.hparams["data.image_size"].string_value


def test_a_curve_counts_what_is_above_each_threshold(events):
    (event,) = events.Tensors("attributes/Male/pr_curves")
    true, false, true_negatives, missed, precision, recall = tensor_util.make_ndarray(event.tensor_proto)
    at = [0, 10, 11, 50, 51, 90, 91]
    assert true[at].tolist() == [4, 4, 4, 3, 3, 3, 0] and false[at].tolist() == [6, 6, 2, 2, 0, 0, 0]
    assert (true + missed == 4).all() and (false + true_negatives == 6).all() and len(true) == 101
    np.testing.assert_allclose(precision[at], [0.4, 0.4, 4 / 6, 3 / 5, 1, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(recall[at], [1, 1, 1, 3 / 4, 3 / 4, 3 / 4, 0])
    assert "attributes/all together/pr_curves" in events.Tags()["tensors"]


def test_the_graph_is_there(events):
    assert events.Graph() is not None


@pytest.mark.parametrize("name", ["dmm_cnn/celeb_a", "ifan/3t-tiny", "branching/synthetic"])
def test_hyperparameters_are_what_an_experiment_sets(name):
    experiment = experiments.get(name)
    found = hyperparameters(experiment)
    assert found["model"] == experiment.model.path and found["training.seed"] == experiment.training.seed
    assert "ObjectConfig" not in str(found.get("training.callbacks", ""))
    assert found["training.optimizer"] == experiment.training.optimizer.path
    assert all(isinstance(value, (bool, int, float, str)) for value in found.values())
