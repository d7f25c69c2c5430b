"""What is kept of the edge branches for the report."""

import numpy as np
import tensorflow as tf
import tiny_faces
from tensorflow import keras

from components.trainer.edge_maps import write_edge_maps
from components.trainer.inputs import evaluation_examples
from keras_models.edges import edge_labels


def test_what_is_written(parsing_files, tmp_path):
    examples = evaluation_examples(parsing_files["validation"], tiny_faces.PARSING_DATA)
    network = tiny_faces.parsing_network((*tiny_faces.SIZE, 3))
    write_edge_maps(network, examples, str(tmp_path / "edges.npz"))
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


def test_a_network_without_edge_branches_leaves_none(parsing_files, tmp_path):
    examples = evaluation_examples(parsing_files["validation"], tiny_faces.PARSING_DATA)
    with_edges = tiny_faces.parsing_network((*tiny_faces.SIZE, 3))
    network = keras.Model(with_edges.input, {"parsing": with_edges.output["parsing"]})
    write_edge_maps(network, examples, str(tmp_path / "edges.npz"))
    assert not list(tmp_path.iterdir())
