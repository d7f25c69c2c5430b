"""Helen for face parsing (Smith et al. 2013): 2,330 faces in the wild with a probability map for each of 11 classes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np
import tensorflow as tf

from components.datasets.base import FaceDataset, Reference, read_file, require
from components.folders import listed
from components.record import RecordError
from components.tasks.annotation import Annotation
from components.tasks.segmentation.label_maps import (
    FACE_PARTS,
    FACE_PARTS_WITHOUT_SIDES,
    IMAGE_SUFFIXES,
    decode_grey,
    encode_grey,
    encoded_size,
    names_in,
    size_text,
)

_LISTS = {"exemplars.txt": "train", "tuning.txt": "validation", "testing.txt": "test"}
_IMAGES = "images"
_MAPS = "labels"
_WITHOUT_SIDE = {
    "left_eyebrow": "eyebrows",
    "right_eyebrow": "eyebrows",
    "left_eye": "eyes",
    "right_eye": "eyes",
}
_RELEASE = "the release, SmithCVPR2013_dataset_resized.zip at http://pages.cs.wisc.edu/~lizhang/projects/face-parsing"


class Helen(FaceDataset):
    """Helen's images with the segments of "Exemplar-Based Face Parsing": 2,000 / 230 / 100 of them.

    `source` is the release's folder SmithCVPR2013_dataset_resized, which holds
    - images/<name>.jpg
    - labels/<name>/<name>_lbl00.png to _lbl10.png: for each class of FACE_PARTS its probability at each pixel, as 8-bit
      grey from 0 to 255
    - exemplars.txt (train), tuning.txt (validation) and testing.txt (test): a number, a comma and an image's name a
      line

    A pixel's label is the class with the largest value; among equals the first, so that one that is 0 in all maps is
    background. A part without a map is not in the image; without the map of the background (lbl00) there would be
    parts wherever one has the least probability, so that the image goes to quarantine.
    """

    name = "helen"
    TERMS = "For research; the photographs are from Flickr and belong to their owners."
    # What Helen's overall F1 counts, as its published tables do: left and right, and the parts of the mouth, as one.
    ANNOTATIONS = MappingProxyType(
        {
            "parsing": Annotation(
                "segmentation",
                FACE_PARTS,
                merged_parts={
                    "brows": ("left_eyebrow", "right_eyebrow"),
                    "eyes": ("left_eye", "right_eye"),
                    "nose": ("nose",),
                    "mouth": ("upper_lip", "inner_mouth", "lower_lip"),
                },
            )
        }
    )

    # The label of each class of the release.
    _LABEL_OF_PART: tuple[int, ...] = tuple(range(len(FACE_PARTS)))

    def paths(self) -> list[str]:
        """The lists, the images and the maps."""
        return [require(self.path(name), f"It is part of {_RELEASE}.") for name in (*_LISTS, _IMAGES, _MAPS)]

    def references(self) -> Iterator[Reference]:
        """One reference an image that a list, an image or a folder of maps names, in the order of the lists."""
        self.check()
        lists = {}
        for name in _LISTS:
            for number, line in enumerate(self._lines(name), start=1):
                fields = [field.strip() for field in line.split(",")]
                if len(fields) == 2 and fields[1]:
                    lists.setdefault(f"{fields[1]}.jpg", []).append(name)
                elif line.strip():
                    problem = f"{name} has the line {line.strip()!r}; expected a number, a comma and a name."
                    yield Reference(f"{name}:{number}", None, problem=problem)
        images = names_in(self.path(_IMAGES), IMAGE_SUFFIXES)
        names = sorted(name.rstrip("/") for name in listed(self.path(_MAPS)))
        maps = (f"{name}.jpg" for name in names if tf.io.gfile.isdir(self.path(_MAPS, name)))
        for image_name in dict.fromkeys(itertools.chain(lists, images, maps)):
            found = lists.get(image_name, [])
            if len(found) == 1:
                yield Reference(image_name, _LISTS[found[0]])
            else:
                where = " and ".join(found) or "none"
                problem = f"Of the lists {', '.join(_LISTS)}, {where} name {image_name}; expected one, once."
                yield Reference(image_name, None, problem=problem)

    def read(self, reference: Reference) -> tuple[bytes, Mapping[str, bytes]]:
        """An image and its maps as one; RecordError if the image, a map or the background's can't be used."""
        path = self.path(_IMAGES, reference.id)
        image = read_file(path)
        parts = self._parts(os.path.splitext(reference.id)[0], encoded_size(image, path))
        labels = np.array(self._LABEL_OF_PART, np.uint8)[parts]
        return image, {"parsing": encode_grey(labels)}

    def _parts(self, name: str, size: tuple[int, int]) -> np.ndarray:
        """[H, W] uint8, of the image's size: the classes of FACE_PARTS, one for each map."""
        folder = self.path(_MAPS, name)
        official = {f"{name}_lbl{label:02d}.png": label for label in range(len(FACE_PARTS))}
        found = names_in(folder, (".png",))
        if strays := [file for file in found if file not in official]:
            raise RecordError(f"{folder!r} has {strays[0]}; expected {next(iter(official))} to {[*official][-1]}.")
        if not found or official[found[0]] != 0:
            raise RecordError(f"{folder!r} has no {next(iter(official))}, the map of the background.")
        largest, labels = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
        for file in found:
            path = os.path.join(folder, file)
            probability = decode_grey(read_file(path), path)
            if probability.shape != size:
                raise RecordError(f"{path!r} is {size_text(probability.shape)}, its image {size_text(size)}.")
            labels[probability > largest] = official[file]
            np.maximum(largest, probability, out=largest)
        return labels

    def _lines(self, name: str) -> list[str]:
        with tf.io.gfile.GFile(self.path(name)) as file:
            return file.read().splitlines()


class HelenMerged(Helen):
    """Helen with the nine classes of iFAN's Table 2 (Li et al. 2017): eyebrows and eyes without their sides.

    Files and splits are Helen's. A pixel gets the class that it has in Helen, and then loses its side: the two sides'
    probabilities are not added up, so that both data sets agree on every pixel.
    """

    name = "helen_merged"
    ANNOTATIONS = MappingProxyType(
        {
            "parsing": Annotation(
                "segmentation",
                FACE_PARTS_WITHOUT_SIDES,
                merged_parts={
                    "brows": ("eyebrows",),
                    "eyes": ("eyes",),
                    "nose": ("nose",),
                    "mouth": ("upper_lip", "inner_mouth", "lower_lip"),
                },
            )
        }
    )
    _LABEL_OF_PART = tuple(FACE_PARTS_WITHOUT_SIDES.index(_WITHOUT_SIDE.get(part, part)) for part in FACE_PARTS)
