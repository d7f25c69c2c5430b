"""MTFL (Zhang et al. 2014): 12,995 faces with five landmarks, sex, smile, glasses and the pose of the head."""

from __future__ import annotations

import collections
import dataclasses
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from components.datasets.base import FaceDataset, Reference, read_file, require
from components.record import FaceRecord, RecordError
from components.tasks.annotation import Annotation
from components.tasks.segmentation.label_maps import IMAGE_SUFFIXES, encoded_size, names_in

_TRAINING = "training.txt"
_TESTING = "testing.txt"
_LISTS = (_TRAINING, _TESTING)
_IMAGES = ("lfw_5590", "net_7876", "AFLW")
_LFW = "lfw_"
# Of the 250 pixels of an image of LFW the middle 150, which show the face about as large as AFLW's images do.
_LFW_CROP = (0.2, 0.2, 0.6, 0.6)
_RELEASE = "the release, http://mmlab.ie.cuhk.edu.hk/projects/TCDCN.html"
_VALIDATION_EVERY = 10  # lines of training.txt
_NUM_COORDINATES = 10
_BINARY = (("gender", {"1": 1, "2": 0}), ("smile", {"1": 1, "2": 0}), ("glasses", {"1": 1, "2": 0}))
_POSES = ("1", "2", "3", "4", "5")
_NUM_VALUES = _NUM_COORDINATES + len(_BINARY) + 1


class MTFL(FaceDataset):
    """MTFL ("Multi-Task Facial Landmark"): 10,000 images to train on, from LFW and the web, 2,995 of AFLW to test on.

    `source` is the release's folder, which holds
    - training.txt and testing.txt: an image's path (with slashes or backslashes), x1 to x5, y1 to y5 in pixels, gender
      (1 male, 2 female), smile (1 yes, 2 no), glasses (1 yes, 2 no) and pose (1 left profile, 2 left, 3 frontal,
      4 right, 5 right profile) a line
    - the folders that the lists name: lfw_5590/, net_7876/ and AFLW/, with colour and a few grey images

    The landmarks are left eye, right eye, nose, left and right mouth corner (left and right as seen in the image).
    The attributes have the pose as five attributes, of which each record has one: the face of `Left` looks to the
    image's left. An image that neither list names is not annotated and goes to quarantine.

    The points are divided by the image's sides as they are. Whether the lists count pixels from 0 or from 1 the
    release doesn't say, and the images don't show it: pupils lie about half a pixel to the right of their points in
    LFW and two to the left in AFLW, which no way of counting explains. Half a pixel is about 1 % of the distance
    between the eyes, in LFW's images (250 pixels) as in AFLW's (150).

    LFW's images show the face smaller than AFLW's: scaled to the same size, its eyes are a little more than half as
    far apart. Trained on the one and tested on the other, a network meets a scale that it has never seen. So a record
    of LFW has a crop, the middle 150 of its 250 pixels, which is known before the landmarks are. It stays where a
    landmark lies outside. It makes up for the scale, not for the place: AFLW's faces still lie higher, by about a
    twelfth of the image, so that training should move the images. Those of net_7876 are from the web and no part of
    LFW: like AFLW's, they are used whole.

    The release has no validation split, so validation is every tenth line of training.txt. LFW has several images of
    some people, so that train and validation may share a person.
    """

    TERMS = (
        "For non-commercial research; the photographs are from LFW, AFLW and the internet and belong to their owners."
    )
    name = "mtfl"
    ANNOTATIONS = MappingProxyType(
        {
            "attributes": Annotation(
                "multi_label",
                ("Male", "Smiling", "Eyeglasses", "Left_Profile", "Left", "Frontal", "Right", "Right_Profile"),
            ),
            "landmarks": Annotation(
                "landmarks", ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")
            ),
        }
    )

    def paths(self) -> list[str]:
        """The lists and the folders of the release that they name."""
        named = {os.path.dirname(image_name) for image_name in self._rows()}
        folders = [folder for folder in _IMAGES if folder in named]
        what = f"The lists name images in it; it is part of {_RELEASE}."
        return [*map(self.path, _LISTS), *(require(self.path(folder), what) for folder in folders)]

    def references(self) -> Iterator[Reference]:
        """One reference an image that a list names or a folder of the release holds, in the order of the lists."""
        self.check()
        rows = self._rows()
        for image_name, found in rows.items():
            yield self._reference(image_name, found)
        for folder in filter(lambda name: tf.io.gfile.isdir(self.path(name)), _IMAGES):
            for name in names_in(self.path(folder), IMAGE_SUFFIXES):
                if (image_name := f"{folder}/{name}") not in rows:
                    yield Reference(image_name, None, problem=f"Neither {' nor '.join(_LISTS)} names {image_name}.")

    def read(self, reference: Reference) -> tuple[bytes, Mapping[str, np.ndarray]]:
        """An image, the attributes and the landmarks; RecordError if the image can't be read."""
        path = self.path(reference.id)
        image = read_file(path)
        height, width = encoded_size(image, path)
        points = np.reshape(reference.payload.coordinates, (2, -1)).T / (width, height)
        attributes = np.array(list(reference.payload.attributes), np.int64)
        return image, {"attributes": attributes, "landmarks": points.astype(np.float32)}

    def load(self, reference: Reference) -> FaceRecord:
        """One record, of LFW with its crop; RecordError if its line can't be used or the image can't be read."""
        crop = _LFW_CROP if reference.id.startswith(_LFW) else None
        return dataclasses.replace(super().load(reference), crop=crop)

    def _reference(self, image_name: str, rows: Sequence[_Row]) -> Reference:
        try:
            if len(rows) > 1:
                where = " and ".join(f"{row.list}:{row.number}" for row in rows)
                raise RecordError(f"{where} name {image_name}; expected one line, once.")
            (row,) = rows
            return Reference(image_name, self._split(row), _labels(image_name, row))
        except RecordError as error:
            return Reference(image_name, None, problem=str(error))

    def _split(self, row: _Row) -> str:
        if row.list == _TESTING:
            return "test"
        return "train" if row.number % _VALIDATION_EVERY else "validation"

    def _rows(self) -> dict[str, list[_Row]]:
        """The lines of both lists by image."""
        rows = collections.defaultdict(list)
        for name in _LISTS:
            path = require(self.path(name), f"It is part of {_RELEASE}.")
            with tf.io.gfile.GFile(path) as file:
                for number, line in enumerate(file.read().splitlines(), start=1):
                    image_name, *values = line.split() or [None]
                    if image_name:
                        rows[image_name.replace("\\", "/")].append(_Row(name, number, values))
        return rows


class _Row(NamedTuple):
    """A line of a list, without the image's path."""

    list: str
    number: int
    values: list[str]


class _Labels(NamedTuple):
    """What a line says about an image: 0 or 1 for each attribute; the five x, then the five y, in pixels."""

    attributes: bytes
    coordinates: tuple[float, ...]


def _labels(image_name: str, row: _Row) -> _Labels:
    """RecordError for a line with another number of values, or with one that is out of range."""
    if len(row.values) != _NUM_VALUES:
        raise RecordError(
            f"{row.list} has {len(row.values)} values for {image_name}; expected {_NUM_VALUES}: five x, five y, "
            "gender, smile, glasses, pose."
        )
    coordinates = tuple(_coordinate(image_name, row, value) for value in row.values[:_NUM_COORDINATES])
    *binary, pose = row.values[_NUM_COORDINATES:]
    for (what, labels), value in zip(_BINARY, binary, strict=True):
        if value not in labels:
            raise RecordError(f"{row.list} has the {what} {value!r} for {image_name}; expected 1 or 2.")
    if pose not in _POSES:
        raise RecordError(f"{row.list} has the pose {pose!r} for {image_name}; expected 1 to 5.")
    attributes = [labels[value] for (_, labels), value in zip(_BINARY, binary, strict=True)]
    return _Labels(bytes([*attributes, *(pose == other for other in _POSES)]), coordinates)


def _coordinate(image_name: str, row: _Row, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise RecordError(f"{row.list} has the coordinate {value!r} for {image_name}; expected a number (pixels).")
    return number
