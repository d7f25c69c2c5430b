"""Photographs through a model as a Beam pipeline, on whatever runner."""

from __future__ import annotations

import os
from collections.abc import Iterable

import apache_beam as beam
import tensorflow as tf
from PIL import Image

from components.prediction.model import PushedModel
from components.prediction.parts import Answers, Parts
from components.prediction.photographs import Photograph, PhotographError, read_photograph
from components.prediction.predictor import Answered, Detection, Predictor, painted, png

TOGETHER = 16  # photographs of a part
METRICS_NAMESPACE = "facetfx.Predict"


class Predict(beam.DoFn):
    """Lists of photographs -> each of them, when its rows and label maps have been written.

    What can't be read has a row with the reason. Counts photographs, faces and problems as Beam metrics.

    Args:
        model: the folder of its version.
        detection: how faces are looked for; None to ask about whole images.
        parts: where rows are kept.
        maps: folder for label maps.
    """

    def __init__(self, model: str, detection: Detection | None, parts: Parts, maps: str):
        super().__init__()
        self._folder = model
        self._detection = detection
        self._parts = parts
        self._maps = maps

    def setup(self):
        """Loads the model and the detector, once for each worker."""
        self._model = PushedModel(self._folder)
        self._predict = Predictor(self._model, self._detection)

    def process(self, element: list[Photograph]) -> Iterable[Photograph]:
        """Photographs -> the same."""
        self._parts.write(element, [self._answers(photograph) for photograph in element])
        yield from element

    def _answers(self, photograph):
        final = True
        try:
            pixels = read_photograph(photograph.path)
            answered = self._predict(pixels)
            files = [self._write_maps(photograph, each, pixels) for each in answered]
        except PhotographError as error:
            answered, files, final = [Answered({"problem": str(error)})], [{}], False
        except Exception as error:
            # One photograph's trouble, whatever it is, is that photograph's: its row says so.
            problem = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            answered, files, final = [Answered({"problem": problem})], [{}], False
        said = {"image": photograph.name, "model": self._model.name, "version": self._model.version}
        for name, count in (("photographs", 1), ("faces", sum("face" in each.row for each in answered))):
            beam.metrics.Metrics.counter(METRICS_NAMESPACE, name).inc(count)
        return Answers([{**said, **each.row, **paths} for each, paths in zip(answered, files, strict=True)], final)

    def _write_maps(self, photograph, answered, pixels):
        """Writes each label map and its overlay; returns their paths, by column."""
        paths = {}
        for task, labels in answered.maps.items():
            # Below the folder, wherever the photograph lies.
            place = os.path.normpath(f"/{photograph.name}").lstrip("/")
            stem = os.path.join(self._maps, f"{place}.{answered.row['face']}.{task}")
            tf.io.gfile.makedirs(os.path.dirname(stem))
            paths[f"{task}.labels"], paths[f"{task}.overlay"] = f"{stem}.png", f"{stem}.jpg"
            with tf.io.gfile.GFile(f"{stem}.png", "wb") as file:
                file.write(png(labels))
            with tf.io.gfile.GFile(f"{stem}.jpg", "wb") as file:
                Image.fromarray(painted(pixels, labels)).save(file, "JPEG", quality=90)
        return paths
