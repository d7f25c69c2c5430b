"""What DML-CSR has of its own: edges, and the cycles of self-regulation."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from components.page import figures
from components.page.figures import Line
from components.page.page import Card, Figures, Gallery, Part, Section
from components.tasks.segmentation import drawings
from components.tasks.segmentation.report import class_chip

if TYPE_CHECKING:
    from components.report.collect import RunArtifacts

EDGES_FILE = "edges.npz"  # components.systems.dml_csr.edge_maps writes it and says what it holds
_NO_EDGE = np.array([16, 18, 20], np.uint8)


def edge_parts(artifacts: RunArtifacts) -> Sequence[Part]:
    """Edges of a few validation images, and how the ensembles fared, as far as there are any."""
    (task,) = (task for task in artifacts.tasks if task.kind == "segmentation")
    sections = [_self_regulation_section(task, artifacts), _edges_section(task, artifacts)]
    return [Part(sections=tuple(section for section in sections if section is not None))]


def _self_regulation_section(task, artifacts):
    history = artifacts.history
    ensemble, mean_f1 = history.column("ensemble_mean_f1"), history.column(f"val_{task.name}_mean_f1")
    if ensemble is None:
        return None
    lines = [Line("in training", 100 * mean_f1), Line("ensemble", 100 * ensemble, marks=True)]
    caption = (
        "On the validation split at the working size. A diamond is the average of a cycle's models and the best one "
        "before."
    )
    figure = history.chart("Mean F1 of the ensembles", lines, "mean F1 (%)", caption)
    lead = (
        "In the cycles of self-regulation the training loss is another one, since a teacher's answers take the place "
        "of labels."
    )
    return Section("Self-regulation", "self-regulation", (Figures((figure,)),), lead)


def _edges_section(task, artifacts):
    """Edges as labelled and as predicted, over a few validation images; None if none were kept."""
    path = os.path.join(artifacts.model_run, EDGES_FILE)
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path, "rb") as file, np.load(io.BytesIO(file.read())) as arrays:
        edges = dict(arrays)
    legend = tuple(class_chip(task, index) for index in range(1, len(task.names)))
    cards = tuple(_edge_card(edges, index) for index in range(len(edges["image"])))
    height, width = edges["image"].shape[1:3]
    lead = (
        "The network also learns where classes meet: any edge, the brighter the surer it is, and whose edge it is. "
        "That is help in training only: the served model has neither. Images of the validation split, at the working "
        f"size of {height} × {width} pixels."
    )
    return Section("Edges", "edges", (Gallery(cards, legend, wide=True),), lead)


def _edge_card(edges, index):
    title = f"Validation image {index + 1}"
    panes = (
        ("image", edges["image"][index], False),
        ("true edges", edge_shades(edges["true_binary"][index]), False),
        ("predicted edges", edge_shades(edges["binary"][index]), False),
        ("whose they are, truth", edge_colours(edges["true_category"][index]), True),
        ("whose they are, predicted", edge_colours(edges["category"][index]), True),
    )
    # Not made smaller: thin edges would get lost.
    shown = (
        (name, figures.plain_image(image, f"{title}, {name}", flat, max(image.shape))) for name, image, flat in panes
    )
    return Card(tuple(shown), title)


def edge_shades(probabilities: np.ndarray) -> np.ndarray:
    """[H, W] in [0, 1] -> [H, W, 3] uint8: the surer of an edge, the brighter."""
    known = np.nan_to_num(np.asarray(probabilities, np.float32)).clip(0, 1)[..., None]
    return np.round(_NO_EDGE + known * (245.0 - _NO_EDGE)).astype(np.uint8)


def edge_colours(categories: np.ndarray) -> np.ndarray:
    """[H, W] uint8 classes, 0 for no edge -> [H, W, 3] uint8: edges in their colours."""
    return np.where(categories[..., None] == 0, _NO_EDGE, drawings.label_colours(categories))
