"""Photographs through a model as a Beam pipeline, on whatever runner."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

import apache_beam as beam
import numpy as np
import tensorflow as tf
from PIL import Image

from components.prediction.model import PushedModel
from components.prediction.parts import Answers, Parts
from components.prediction.photographs import Photograph, PhotographError, read_photograph
from components.prediction.predictor import Detection, Predictor, painted, png

TOGETHER = 16  # photographs of a part
_BYTES_TOGETHER = 2**28  # of decoded photographs that are kept at once: with more, the model is asked about them
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
        found: dict[Photograph, Answers] = {}
        together: dict[Photograph, np.ndarray] = {}
        for photograph in element:
            try:
                together[photograph] = read_photograph(photograph.path)
            except Exception as error:
                found[photograph] = self._problem(photograph, error)
            if sum(pixels.size for pixels in together.values()) > _BYTES_TOGETHER:
                found |= self._answers(together)
                together = {}
        found |= self._answers(together)
        rows = [row for of in found.values() for row in of.rows]
        for name, count in (("photographs", len(element)), ("faces", sum("face" in row for row in rows))):
            beam.metrics.Metrics.counter(METRICS_NAMESPACE, name).inc(count)
        self._parts.write(element, [found[photograph] for photograph in element])
        yield from element

    def _answers(self, pixels: dict[Photograph, np.ndarray]) -> dict[Photograph, Answers]:
        """Of photographs that the model is asked about together; where that fails each is asked about alone."""
        try:
            answered = self._predict(list(pixels.values()))
            return {
                photograph: self._written(photograph, of, pixels[photograph])
                for photograph, of in zip(pixels, answered, strict=True)
            }
        except Exception as error:
            if len(pixels) == 1:
                return {photograph: self._problem(photograph, error) for photograph in pixels}
        found = {}
        for photograph, image in pixels.items():
            found |= self._answers({photograph: image})
        return found

    def _written(self, photograph, answered, pixels):
        files = [self._write_maps(photograph, each, pixels) for each in answered]
        said = self._said(photograph)
        return Answers([{**said, **each.row, **paths} for each, paths in zip(answered, files, strict=True)], True)

    def _problem(self, photograph, error):
        """One photograph's trouble, whatever it is, is that photograph's: its row says so, and it is tried again."""
        reason = " ".join(str(error).split())[:200]
        problem = str(error) if isinstance(error, PhotographError) else f"{type(error).__name__}: {reason}"
        return Answers([{**self._said(photograph), "problem": problem}], False)

    def _said(self, photograph):
        return {"image": photograph.name, "model": self._model.name, "version": self._model.version}

    def _write_maps(self, photograph, answered, pixels):
        """Writes each label map and its overlay; returns their paths, by column."""
        paths = {}
        for task, labels in answered.maps.items():
            # Below the folder, wherever the photograph lies; photographs of several runs may have one name.
            place = os.path.normpath(f"/{photograph.name}").lstrip("/")
            whose = hashlib.sha256(os.path.abspath(photograph.path).encode(errors="surrogatepass")).hexdigest()[:8]
            stem = os.path.join(self._maps, f"{place}.{whose}.{answered.row['face']}.{task}")
            tf.io.gfile.makedirs(os.path.dirname(stem))
            paths[f"{task}.labels"], paths[f"{task}.overlay"] = f"{stem}.png", f"{stem}.jpg"
            with tf.io.gfile.GFile(f"{stem}.png", "wb") as file:
                file.write(png(labels))
            with tf.io.gfile.GFile(f"{stem}.jpg", "wb") as file:
                Image.fromarray(painted(pixels, labels)).save(file, "JPEG", quality=90)
        return paths
