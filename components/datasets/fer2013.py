"""FER2013 (Goodfellow et al. 2013): 35,887 grey faces of 48 x 48 pixels, each with one of seven emotions."""

from __future__ import annotations

import collections
import functools
import os
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from components.datasets.base import FaceDataset, Reference, read_file, require
from components.datasets.class_folders import images_below
from components.record import RecordError
from components.tasks.annotation import Annotation
from components.tasks.segmentation.label_maps import encode_grey

_EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
_TABLE = "fer2013.csv"
_COLUMNS = ("emotion", "pixels", "Usage")
_USAGES = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
_FOLDERS = ("train", "test")
_VALIDATION_EVERY = 10  # images of an emotion's training folder
_NUMBERS = tuple(map(str, range(len(_EMOTIONS))))
_SIDE = 48
_RELEASE = "https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge"


class FER2013(FaceDataset):
    """FER2013, from the original table or from folders of images; if both are there, from the table.

    `source` holds either
    - fer2013.csv: the columns emotion (0 to 6, in the order angry, disgust, fear, happy, sad, surprise, neutral),
      pixels (48 x 48 grey values, row by row, between blanks) and Usage: 28,709 rows Training (train), 3,589 PublicTest
      (validation) and 3,589 PrivateTest (test). It has no image files, so a record's image is a PNG of its pixels.
    or a folder for each emotion
    - train/<emotion>/*.png (or .jpg) and test/<emotion>/*.png, as the table is often passed on. Its test folder holds
      both of the table's tests, so that figures on it and on the table's test split are not the same figure. Validation
      is every tenth image of an emotion's training folder, in the order of their names.

    Emotions have the table's numbers in either case. The release repeats some images, also from split to split and
    with different emotions; all of them are read.
    """

    name = "fer2013"
    TERMS = "For research; collected by an image search for a challenge, the images belong to their owners."
    ANNOTATIONS = MappingProxyType({"emotion": Annotation("classification", _EMOTIONS)})

    def paths(self) -> list[str]:
        """The table, or the folders of images."""
        return self._files.paths()

    def check(self) -> None:
        """Raises FileNotFoundError if neither layout is there, ValueError for a table with other columns."""
        self._files.check()

    def references(self) -> Iterator[Reference]:
        """One reference a row of the table in its order, or an image below train/ and test/ in the order of paths."""
        self.check()
        return self._files.references()

    def read(self, reference: Reference) -> tuple[bytes, Mapping[str, int]]:
        """An image and its emotion; RecordError if its pixels or the image can't be read."""
        image, emotion = self._files.read(reference)
        return image, {"emotion": emotion}

    @functools.cached_property
    def _files(self) -> _Table | _Folders:
        table = self.path(_TABLE)
        if tf.io.gfile.exists(table):
            return _Table(table)
        if any(tf.io.gfile.isdir(self.path(name)) for name in _FOLDERS):
            return _Folders(self.folder)
        raise FileNotFoundError(
            f"Folder {self.folder!r} has neither {_TABLE} nor {' and '.join(f'{name}/' for name in _FOLDERS)} with a "
            f"folder of images for each emotion. Take {_TABLE} from {_RELEASE}."
        )


class _Row(NamedTuple):
    """Where a row lies in the table, in bytes, so that its 9 kB stay in the file until it is read; and its emotion."""

    offset: int
    length: int
    emotion: int


class _Table:
    """fer2013.csv"""

    def __init__(self, path: str):
        self._path = path

    def check(self) -> None:
        with tf.io.gfile.GFile(self._path, "rb") as file:
            header = file.readline().decode("utf-8-sig", "replace").strip()
        if header != ",".join(_COLUMNS):
            raise ValueError(
                f"Line 1 of {self._path!r} should name the columns {','.join(_COLUMNS)}, but is {header[:80]!r}. "
                f"Take the file from {_RELEASE}."
            )

    def paths(self) -> list[str]:
        return [self._path]

    def references(self) -> Iterator[Reference]:
        with tf.io.gfile.GFile(self._path, "rb") as file:
            offset = len(file.readline())
            for number, line in enumerate(file, start=2):
                if line.strip():
                    yield _row_reference(number, line, offset)
                offset += len(line)

    def read(self, reference: Reference) -> tuple[bytes, int]:
        row = reference.payload
        with tf.io.gfile.GFile(self._path, "rb") as file:
            file.seek(row.offset)
            line = file.read(row.length)
        return encode_grey(_pixels(reference.id, _fields(reference.id, line)[1])), row.emotion


def _row_reference(number: int, line: bytes, offset: int) -> Reference:
    name = f"{_TABLE}:{number}"
    try:
        emotion, _, usage = _fields(name, line)
        if emotion not in _NUMBERS:
            raise RecordError(f"{name} has the emotion {emotion!r}; expected 0 to {len(_EMOTIONS) - 1}.")
        if usage not in _USAGES:
            raise RecordError(f"{name} has the Usage {usage!r}; expected {', '.join(_USAGES)}.")
        return Reference(name, _USAGES[usage], _Row(offset, len(line), int(emotion)))
    except RecordError as error:
        return Reference(name, None, problem=str(error))


def _fields(name: str, line: bytes) -> list[str]:
    """A row's emotion, pixels and Usage; RecordError if it has more or fewer fields."""
    fields = [field.strip(' "') for field in line.decode("utf-8", "replace").strip().split(",")]
    if len(fields) != len(_COLUMNS):
        raise RecordError(f"{name} has {len(fields)} fields; expected {','.join(_COLUMNS)}.")
    return fields


def _pixels(name: str, text: str) -> np.ndarray:
    """[48, 48] uint8; RecordError unless the text has as many whole numbers from 0 to 255."""
    values = text.split()
    if len(values) != _SIDE * _SIDE:
        raise RecordError(f"{name} has {len(values)} pixels; expected {_SIDE * _SIDE} ({_SIDE}x{_SIDE}).")
    if wrong := [value for value in values if not (value.isdecimal() and int(value) <= 255)]:
        raise RecordError(f"{name} has the pixel {wrong[0]!r}; expected a whole number from 0 to 255.")
    return np.array([int(value) for value in values], np.uint8).reshape(_SIDE, _SIDE)


class _Folders:
    """train/ and test/ with a folder for each emotion."""

    def __init__(self, folder: str):
        self._folder = folder

    def check(self) -> None:
        for path in self.paths():
            for emotion in _EMOTIONS:
                require(os.path.join(path, emotion), f"It holds the images of this emotion. Or take {_TABLE}.")

    def paths(self) -> list[str]:
        what = f"It holds the images of a split, a folder for each of {', '.join(_EMOTIONS)}."
        return [require(os.path.join(self._folder, name), what) for name in _FOLDERS]

    def references(self) -> Iterator[Reference]:
        for folder in _FOLDERS:
            numbers = collections.Counter()
            for path in images_below(os.path.join(self._folder, folder)):
                match path.split("/"):
                    case [emotion, _] if emotion in _EMOTIONS:
                        numbers[emotion] += 1
                        held_out = folder == "train" and numbers[emotion] % _VALIDATION_EVERY == 0
                        split = "validation" if held_out else folder
                        yield Reference(f"{folder}/{path}", split, _EMOTIONS.index(emotion))
                    case _:
                        problem = f"{folder}/{path} is in no emotion's folder; expected {folder}/<emotion>/<name>."
                        yield Reference(f"{folder}/{path}", None, problem=problem)

    def read(self, reference: Reference) -> tuple[bytes, int]:
        return read_file(os.path.join(self._folder, reference.id)), reference.payload
