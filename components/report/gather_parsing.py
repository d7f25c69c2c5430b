"""From an evaluation, records and a served model to the report's part of face parsing."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from components.evaluator import parsing_metrics
from components.evaluator.results import ParsingResult
from components.record import FaceRecord
from components.report.data import EdgeMaps, ParsingPicture, ParsingPictures, ParsingResults
from components.report.parsing import parsing_part
from components.report.run_page import Part
from components.trainer.edge_maps import EDGES_FILE

REQUEST = 4  # pictures: label maps are as large as they are
_NUM_PARSED = 32  # pictures that are parsed, to choose from


def gathered_parsing(
    measured: ParsingResult, dataset: str, tested: Sequence[FaceRecord], model, model_run: str
) -> Part:
    """The part of face parsing.

    Args:
        measured: what the evaluation found.
        dataset: the name of the data set that has label maps. tested: its records, the first few of which are parsed.
        model: as served. model_run: the folder that training left its edges in, if it learnt any.
    """
    return parsing_part(
        results=_parsing_results(measured, dataset),
        pictures=ParsingPictures(
            measured.classes, tuple(parsing_pictures(model, tested[:_NUM_PARSED], measured.classes))
        ),
        edges=_edges(model_run, measured.classes),
    )


def _parsing_results(measured: ParsingResult, dataset):
    return ParsingResults(
        classes=measured.classes,
        dataset=dataset,
        count=measured.annotated,
        mean_f1=measured.mean_f1,
        mean_iou=measured.mean_iou,
        pixel_accuracy=measured.pixel_accuracy,
        f1=measured.f1,
        iou=measured.iou,
        confusion=measured.confusion,
        overall_f1=measured.overall_f1,
        merged_parts=measured.merged_parts,
        part_f1=measured.part_f1,
    )


def parsing_pictures(model, records: Sequence[FaceRecord], classes: Sequence[str]) -> Iterator[ParsingPicture]:
    """Records with the served model's label maps, asked for a few at a time."""
    for start in range(0, len(records), REQUEST):
        asked = records[start : start + REQUEST]
        answers = model.signatures["serving_default"](tf.constant([record.image for record in asked]))
        for record, answer in zip(asked, answers["parsing"].numpy(), strict=True):
            image = decoded(record.image)
            predicted = answer[: image.shape[0], : image.shape[1]]  # the rest is another picture's size
            yield ParsingPicture(image, record.id, predicted, **_parsing_scores(record, predicted, len(classes)))


def _parsing_scores(record, predicted, num_classes):
    """What a record's own label map says of a prediction; nothing if it has none."""
    if record.parsing is None:
        return {}
    truth = label_map(record)
    counts = parsing_metrics.confusion(truth, predicted, num_classes)
    return {
        "truth": truth,
        "f1": parsing_metrics.f1(counts),
        "mean_f1": parsing_metrics.mean_f1(counts),
        "pixel_accuracy": parsing_metrics.pixel_accuracy(counts),
    }


def label_map(record):
    """[H, W] uint8; None if a record has none."""
    return None if record.parsing is None else np.asarray(Image.open(io.BytesIO(record.parsing)))


def _edges(model_run, classes):
    """None if no edges were learnt."""
    path = os.path.join(model_run, EDGES_FILE)
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path, "rb") as file, np.load(io.BytesIO(file.read())) as arrays:
        maps = ("true_binary", "binary", "true_category", "category")
        return EdgeMaps(classes, arrays["image"], **{name: arrays[name] for name in maps})


def decoded(image):
    """Encoded picture -> [H, W, 3] uint8."""
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))
