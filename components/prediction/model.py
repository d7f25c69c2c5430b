"""A pushed model behind its contract."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.faces.frame import Frame
from components.images.status import STATUS, Status
from components.serving.export import CONTRACT

_TRAINERS = "Format-Serving"  # what TFX calls the folder of a model
_TOGETHER = 32  # images that are asked about at once


class PushedModel:
    """Answers for encoded images.

    Args:
        folder: of a version, <name>/<version>, or of a model that was not pushed, as the Trainer leaves it.

    Attributes:
        name, version: as the folders have them.
        outputs: the contract of what is answered, by output.
        image_size: (height, width) that the network takes.
        frames: by task, where the images that it was trained on have a face.

    Raises:
        FileNotFoundError: if there is no whole model in the folder.
        ValueError: if it was exported by an earlier facetfx, which left no frames.
    """

    def __init__(self, folder: str):
        folder = folder.rstrip("/")
        self.name, self.version = _name_and_version(folder)
        contract = read_contract(folder)
        self.outputs: dict[str, dict[str, Any]] = contract["signatures"]["serving_default"]
        self.image_size: tuple[int, int] = tuple(contract["image_size"])
        self.frames = {task: Frame.from_json(frame) for task, frame in contract["frames"].items()}
        self._model = tf.saved_model.load(folder)

    def answers(self, images: Sequence[bytes]) -> list[dict[str, np.ndarray]]:
        """For each JPEG or PNG file, what it was answered by output; label maps have the padding of the largest.

        What a model leaves out of a request, since its label maps would be too large together, is asked about alone.
        """
        rows = []
        for first in range(0, len(images), _TOGETHER):
            batch = images[first : first + _TOGETHER]
            found = _rows(self.ask(batch))
            for i, row in enumerate(found):
                alone = len(batch) > 1 and row[STATUS] == Status.REQUEST_TOO_LARGE
                rows += _rows(self.ask([batch[i]])) if alone else [row]
        return rows

    def ask(self, images: Sequence[bytes]) -> dict[str, np.ndarray]:
        """The answers for a few files by output, [N, ...]."""
        found = self._model.signatures["serving_default"](tf.constant(images, tf.string))
        return {name: values.numpy() for name, values in found.items()}

    @property
    def tasks(self) -> tuple[str, ...]:
        """The outputs that are named after a task."""
        return tuple(name for name, each in self.outputs.items() if name != STATUS and each["kind"] != "decisions")


def _name_and_version(folder):
    """Of <name>/<version>, or of the Trainer's Trainer-<name>/model/<number>/Format-Serving."""
    *_, run, _, number, last = ("", "", *os.path.normpath(folder).split(os.sep))
    if last == _TRAINERS:
        return run.removeprefix("Trainer-"), f"{number} (not pushed)"
    return number, last


def _rows(answers):
    return [dict(zip(answers, values, strict=True)) for values in zip(*answers.values(), strict=True)]


def read_contract(folder: str) -> dict[str, Any]:
    """The contract in a SavedModel's folder; errors as of `PushedModel`."""
    path = os.path.join(folder, CONTRACT)
    if not (tf.io.gfile.exists(path) and tf.io.gfile.exists(os.path.join(folder, "saved_model.pb"))):
        raise FileNotFoundError(f"{folder!r} holds no model that facetfx exported.")
    try:
        with tf.io.gfile.GFile(path) as file:
            contract = json.load(file)
    except ValueError as error:
        raise ValueError(f"{path!r} is damaged ({error}): push the model again.") from error
    if "frames" not in contract:
        raise ValueError(f"The model in {folder!r} is of an earlier facetfx: train it again, or push it anew.")
    return contract


def newest_version(folder: str) -> str:
    """The folder of the newest whole version below a model's folder; FileNotFoundError if there is none."""
    versions = tf.io.gfile.listdir(folder) if tf.io.gfile.isdir(folder) else []
    numbers = sorted((int(name.strip("/")) for name in versions if name.strip("/").isdecimal()), reverse=True)
    for number in numbers:
        version = os.path.join(folder, str(number))
        parts = ("saved_model.pb", os.path.join("variables", "variables.index"), CONTRACT)
        if all(tf.io.gfile.exists(os.path.join(version, part)) for part in parts):
            return version
    raise FileNotFoundError(f"No pushed model in {folder!r}.")
