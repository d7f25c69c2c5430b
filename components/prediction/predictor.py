"""From photographs to rows: their faces, each aligned as training images are, and what the model answers."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from components.drift.reference import outputs_of
from components.faces.detector import Face, FaceDetector
from components.faces.frame import Frame, aligned, inverse, moved, warped
from components.images.status import STATUS, WORDS, Status
from components.prediction.answers import columns, flat, named
from components.prediction.model import PushedModel
from components.record import IGNORE_LABEL
from components.tasks.segmentation.drawings import overlay

# What a row says beside the answers, in order, and the type of each.
COLUMNS = {
    "image": str,
    "face": int,
    "left": float,
    "top": float,
    "width": float,
    "height": float,
    "detector_score": float,
    "problem": str,
}
_LARGE = 2**22  # pixels, whose PNG might have more bytes than a model takes
_LARGEST = 2  # times the network's height, that aligned faces have at most


@dataclasses.dataclass(frozen=True)
class Detection:
    """How faces are looked for: the arguments of components.faces.detector.FaceDetector."""

    detector: str = "hog"
    threshold: float = 0.0
    min_share: float = 0.05
    min_pixels: int = 40


@dataclasses.dataclass(frozen=True, eq=False)
class _Shown:
    """An image that the model is asked about.

    Attributes:
        answered: what the answers are added to.
        tasks: whose answers.
        file: the image, encoded.
        size: its height and width.
        back: [2, 3], from its pixels to the photograph's; None where it is the photograph.
        photograph_size: height and width.
    """

    answered: Answered
    tasks: tuple[str, ...]
    file: bytes
    size: tuple[int, int]
    back: np.ndarray | None
    photograph_size: tuple[int, int]


@dataclasses.dataclass
class Answered:
    """A face, or a whole image, with what was answered.

    Attributes:
        row: of the table, by COLUMNS and the model's own.
        maps: by task, [H, W] uint8 labels of the photograph's pixels, IGNORE_LABEL where the network didn't look.
    """

    row: dict[str, Any]
    maps: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


class Predictor:
    """Asks a model about photographs.

    Args:
        model: that answers.
        detection: how faces are looked for; None to ask about each image as a whole, as it is.

    Raises:
        ValueError: if faces can't be aligned to any of the model's tasks, or for a detector that there isn't.
    """

    def __init__(self, model: PushedModel, detection: Detection | None):
        self._model = model
        self._detect = detection and FaceDetector(**dataclasses.asdict(detection))
        if detection is None:
            self._tasks_by_frame: dict[Frame | None, tuple[str, ...]] = {None: model.tasks}
        else:
            self._tasks_by_frame = tasks_by_frame(model)

    def __call__(self, photographs: Sequence[np.ndarray]) -> list[list[Answered]]:
        """The answers for the faces of each photograph [H, W, 3] uint8, upright, from left to right.

        One without answers for a photograph that has none. The model is asked about the faces of all of them together.
        """
        found = [self._shown(photograph) for photograph in photographs]
        shown = [each for _, images in found for each in images]
        for each, row in zip(shown, self._model.answers([each.file for each in shown]), strict=True):
            self._add(each, row)
        return [answered for answered, _ in found]

    def images(self, photograph: np.ndarray) -> list[tuple[tuple[str, ...], list[bytes]]]:
        """What the model is asked about a photograph: tasks, with an image file of each of its faces, or of all of it.

        There are no files if it has no face.
        """
        if self._detect is None:
            return [(self._model.tasks, [_encoded(photograph)])]
        faces = self._detect(photograph)
        return [
            (tasks, [png(image) for image, _ in self._aligned(photograph, faces, frame)])
            for frame, tasks in self._tasks_by_frame.items()
        ]

    def _shown(self, photograph) -> tuple[list[Answered], list[_Shown]]:
        """What a photograph has, without answers yet, and the images that the model is asked about."""
        size = photograph.shape[:2]
        if self._detect is None:
            height, width = map(float, size)
            whole = Answered({"face": 0, "left": 0.0, "top": 0.0, "width": width, "height": height})
            return [whole], [_Shown(whole, self._model.tasks, _encoded(photograph), size, None, size)]
        faces = self._detect(photograph)
        answered = [Answered(_of_face(number, face)) for number, face in enumerate(faces)]
        shown = [
            _Shown(each, tasks, png(image), image.shape[:2], inverse(matrix), size)
            for frame, tasks in self._tasks_by_frame.items()
            for each, (image, matrix) in zip(answered, self._aligned(photograph, faces, frame), strict=True)
        ]
        return answered or [Answered({"problem": "no face was found"})], shown

    def _aligned(self, photograph, faces, frame):
        height = self._model.image_size[0]
        return [aligned(photograph, face, frame, height, _LARGEST * height) for face in faces]

    def _add(self, shown, row):
        """Adds what was answered for an image."""
        answered, back = shown.answered, shown.back
        if row[STATUS] != Status.ANSWERED:
            answered.row["problem"] = WORDS[Status(int(row[STATUS]))]
            return
        outputs = outputs_of(self._model.outputs, shown.tasks)
        answers = named(outputs, row)
        for task, each in outputs.items():
            if each["kind"] == "points":
                answers[task] = {name: _in_photograph(point, shown.size, back) for name, point in answers[task].items()}
            elif each["kind"] == "label_map":
                labels, size = answers[task], shown.photograph_size
                answered.maps[task] = (
                    labels if back is None else warped(labels, back, size, order=0, beyond=IGNORE_LABEL)
                )
        answered.row |= flat(outputs, answers)


def tasks_by_frame(model: PushedModel) -> dict[Frame, tuple[str, ...]]:
    """The tasks that an aligned face can be asked about, by the frame that it is aligned to; ValueError if none."""
    by_frame = alike({task: model.frames[task] for task in model.tasks if task in model.frames})
    if not by_frame:
        raise ValueError(
            f"In the training images of {model.name} no faces were found, so that a photograph's faces can't be shown "
            "to it as those were. AS_IS=1 (--as-is) asks about whole images."
        )
    return by_frame


def alike(frames: Mapping[str, Frame]) -> dict[Frame, tuple[str, ...]]:
    """Tasks with a frame each -> the tasks of each frame: one image is enough for all of them."""
    by_frame: dict[Frame, list[str]] = {}
    for task, frame in frames.items():
        by_frame.setdefault(frame, []).append(task)
    return {frame: tuple(tasks) for frame, tasks in by_frame.items()}


def table_columns(model: PushedModel, as_is: bool) -> dict[str, type]:
    """The columns of a table of the model's answers and their types; label maps have the paths of their files."""
    tasks = model.tasks if as_is else tuple(task for tasks in tasks_by_frame(model).values() for task in tasks)
    outputs = outputs_of(model.outputs, tasks)
    maps = [name for name, each in outputs.items() if each["kind"] == "label_map"]
    files = {f"{task}.{file}": str for task in maps for file in ("labels", "overlay")}
    own = {*COLUMNS, "model", "version"}
    if taken := sorted(own.intersection(tasks)):
        raise ValueError(
            f"Tasks of {model.name} are called like columns of the table: {', '.join(taken)}. Rename them."
        )
    return {**COLUMNS, **columns(outputs), **files, "model": str, "version": str}


def png(image: np.ndarray) -> bytes:
    """[H, W, 3] or [H, W] uint8 as a file; written fast, not small."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()


def jpeg(image: np.ndarray) -> bytes:
    """[H, W, 3] uint8 as a file of high quality."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


def painted(photograph: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The photograph with its labels' colours where there are labels, [H, W, 3] uint8."""
    known = (labels != IGNORE_LABEL)[..., np.newaxis]
    return np.where(known, overlay(photograph, labels), photograph)


def _encoded(photograph):
    """Anew: what Pillow reads and turns is more than TensorFlow does."""
    height, width = photograph.shape[:2]
    return png(photograph) if height * width <= _LARGE else jpeg(photograph)


def _of_face(number, face: Face):
    left, top, right, bottom = face.box
    return {
        "face": number,
        "left": left,
        "top": top,
        "width": right - left,
        "height": bottom - top,
        "detector_score": face.score,
    }


def _in_photograph(point, size, back):
    """x, y as shares of an image's sides -> in pixels of the photograph, from its top left corner."""
    pixels = np.array([point]) * size[::-1]
    return (pixels if back is None else moved(pixels, back))[0].tolist()
