"""Edges, and the ensembles of self-regulation."""

import base64
import io
import re

import numpy as np
from PIL import Image

from components.systems.dml_csr.report import edge_colours, edge_shades
from components.tasks.segmentation.drawings import PALETTE
from tests.components.page.page_checks import check
from tests.components.report import sample_run

SYSTEM = "components.systems.dml_csr.system.DMLCSRSystem"


def write_edges(folder, count, size=40):
    """Edges where a label map changes; predicted one pixel off."""
    labels = np.stack([sample_run.label_map(size, size, shift=index) for index in range(count)])
    binary = np.zeros(labels.shape, np.uint8)
    binary[:, :, 1:] = labels[:, :, 1:] != labels[:, :, :-1]
    np.savez_compressed(
        folder / "edges.npz",
        image=np.repeat(labels[..., None] * 20 + 30, 3, axis=-1).astype(np.uint8),
        true_binary=binary,
        binary=(np.roll(binary, 1, axis=2) * 0.8).astype(np.float16),
        true_category=labels * binary,
        category=np.roll(labels * binary, 1, axis=2),
    )


def page(**changed):
    html = sample_run.whole_page(sample_run.artifacts(sample_run.PARSING, system=SYSTEM, **changed))
    return html, check(html)


def test_edges_are_shown_over_the_images_that_were_kept(tmp_path):
    write_edges(tmp_path, 4)
    html, reader = page(model_run=str(tmp_path))
    kinds = re.findall(r'alt="Validation image 1, ([^"]+)"', html)
    truth_and_prediction = ["true edges", "predicted edges", "whose they are, truth", "whose they are, predicted"]
    assert kinds == ["image", *truth_and_prediction]
    assert "Validation image 4" in reader.text and "Validation image 5" not in reader.text
    assert "40 × 40 pixels" in reader.text
    assert reader.sections == [
        "result", "parsing-images", "parsing-classes", "edges", "learning", "data", "card", "run"
    ]  # fmt: skip


def test_ensembles_are_marked_where_there_are_any():
    epochs = sample_run.epochs((sample_run.PARSING,))
    assert "self-regulation" not in page(epochs=epochs)[1].sections
    epochs[11]["ensemble_mean_f1"] = 0.7
    html, reader = page(epochs=epochs)
    assert "self-regulation" in reader.sections and "edges" not in reader.sections
    assert {">in training</text>", ">ensemble</text>"} <= set(re.findall(r">[a-z ]+</text>", html))


def test_thin_edges_survive(tmp_path):
    """The page gets every pixel of them, however large the map is."""
    categories = np.zeros((1, 1024, 1024), np.uint8)
    categories[:, ::101] = 5
    images = np.zeros((1, 1024, 1024, 3), np.uint8)
    edges = {"image": images, "true_binary": categories, "binary": categories}
    np.savez_compressed(tmp_path / "edges.npz", **edges, true_category=categories, category=categories)
    html, _ = page(model_run=str(tmp_path))
    data = re.search(r'src="data:image/png;base64,([^"]+)" alt="Validation image 1, whose they are, truth"', html)[1]
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    np.testing.assert_array_equal((drawn == PALETTE[5]).all(axis=-1), categories[0] == 5)
    assert (drawn[1] == edge_colours(np.zeros((1, 1), np.uint8))).all()


def test_the_surer_of_an_edge_the_brighter():
    shades = edge_shades(np.linspace(0, 1, 5).repeat(80).reshape(1, 400).repeat(10, axis=0))
    middle = shades[4, [30, 100, 180, 250, 330], 0].astype(int)
    assert (np.diff(middle) > 40).all()
    edge_shades(np.full((4, 4), np.nan, np.float16))  # of a network that diverged
