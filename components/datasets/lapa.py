"""LaPa (Liu et al. 2020): 22,176 faces in the wild with a label map of eleven classes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from components.datasets.base import FaceDataset, Reference, read_file, require
from components.record import RecordError
from components.tasks.annotation import Annotation
from components.tasks.segmentation.label_maps import (
    FACE_PARTS,
    IMAGE_SUFFIXES,
    check_labels,
    decode_grey,
    encoded_size,
    names_in,
    size_text,
)

_SPLITS = {"train": "train", "val": "validation", "test": "test"}
_IMAGES = "images"
_LABELS = "labels"
_RELEASE = "the release, https://github.com/JDAI-CV/lapa-dataset"


class LaPa(FaceDataset):
    """LaPa ("Landmark guided face Parsing"): images and label maps as released, 18,176 / 2,000 / 2,000 of them.

    `source` is the release's folder LaPa, with train/, val/ and test/, each of which holds
    - images/<name>.jpg
    - labels/<name>.png: 8-bit grey, the label of each pixel: 0 to 10, in the order of FACE_PARTS

    LaPa releases the merged map, so nothing is merged here: it becomes part of the record as it is. A pixel of 255,
    which the release doesn't have, is one to ignore, as everywhere. The 106 landmarks (landmarks/<name>.txt) follow
    another mark-up than those of 5 and 68 points that this project knows, and are not read.
    """

    name = "lapa"
    TERMS = "For non-commercial research; the photographs belong to their owners."
    ANNOTATIONS = MappingProxyType({"parsing": Annotation("segmentation", FACE_PARTS)})

    def paths(self) -> list[str]:
        """The folders of images and of label maps."""
        what = f"It is part of {_RELEASE}: give the folder that holds train/, val/ and test/."
        return [require(self.path(split, part), what) for split in _SPLITS for part in (_IMAGES, _LABELS)]

    def references(self) -> Iterator[Reference]:
        """One reference an image or label map, split by split, in the order of their names."""
        self.check()
        for folder, split in _SPLITS.items():
            images = names_in(self.path(folder, _IMAGES), IMAGE_SUFFIXES)
            stems = {_stem(name) for name in images}
            maps = names_in(self.path(folder, _LABELS), (".png",))
            # A map without an image is an image without a file: `read` will say so.
            missing = [f"{_stem(name)}.jpg" for name in maps if _stem(name) not in stems]
            for image_name in sorted([*images, *missing]):
                yield Reference(f"{folder}/{image_name}", split)

    def read(self, reference: Reference) -> tuple[bytes, Mapping[str, bytes]]:
        """An image and its label map; RecordError if one of them is missing or can't be used."""
        folder, image_name = reference.id.split("/")
        path = self.path(folder, _IMAGES, image_name)
        image = read_file(path)
        map_path = self.path(folder, _LABELS, f"{_stem(image_name)}.png")
        parsing = read_file(map_path)
        labels = decode_grey(parsing, map_path)
        size = encoded_size(image, path)
        if labels.shape != size:
            raise RecordError(f"{map_path!r} is {size_text(labels.shape)}, its image {size_text(size)}.")
        check_labels(labels, FACE_PARTS, map_path)
        return image, {"parsing": parsing}


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]
