"""What is kept of the edge branches for the report."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from components.config import configured
from components.systems.dml_csr.edge_maps import EDGES_FILE, write_edge_maps
from components.trainer.inputs import evaluation_examples
from keras_models.edges import edge_labels
from tests.support import tiny_faces


def test_what_is_written(parsing_files, tmp_path):
    examples = evaluation_examples(parsing_files["validation"], tiny_faces.bound(tiny_faces.PARSED), tiny_faces.SIZE)
    network = tiny_faces.parsing_network((*tiny_faces.SIZE, 3))
    write_edge_maps(network, "parsing", examples, str(tmp_path / "edges.npz"))
    image, labels = next(iter(examples.batch(4)))
    binary, category = (edges.numpy() for edges in edge_labels(labels["parsing"], 4))
    outputs = network(tf.cast(image, tf.float32))
    with np.load(tmp_path / "edges.npz") as written:
        np.testing.assert_array_equal(written["image"], image)
        np.testing.assert_array_equal(written["true_binary"], binary)
        # A pixel is on the edge of its own class alone.
        np.testing.assert_array_equal(written["true_category"], labels["parsing"] * category.any(-1))
        odds = np.exp(outputs["binary_edge"].numpy())
        np.testing.assert_allclose(written["binary"], odds[..., 1] / odds.sum(-1), atol=1e-3)
        np.testing.assert_array_equal(written["category"], outputs["category_edge"].numpy().argmax(-1))


@pytest.mark.parametrize("edges", [True, False])
def test_a_training_leaves_them_where_there_are_edge_branches(parsing_files, tmp_path, edges):
    network = tiny_faces.PARSING if edges else configured("tests.support.tiny_faces.parsing_network", edges=False)
    loss = configured("components.systems.dml_csr.loss.DMLLoss", weights=[1, int(edges), 0, 0, 0])
    tiny = tiny_faces.parsing_experiment(model=network, epochs=1, loss=loss)
    system = "components.systems.dml_csr.system.DMLCSRSystem"
    tiny_faces.fit(dataclasses.replace(tiny, system=system), tmp_path, parsing_files)
    assert (tmp_path / "logs" / EDGES_FILE).exists() == edges
