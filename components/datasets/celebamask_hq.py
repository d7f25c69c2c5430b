"""CelebAMask-HQ (Lee et al. 2020): 30,000 images of CelebA-HQ with a mask for each part of the face."""

from __future__ import annotations

import collections
import itertools
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import tensorflow as tf

from components.datasets.base import FaceDataset, Reference, read_file, require
from components.folders import listed
from components.record import RecordError
from components.tasks.annotation import Annotation
from components.tasks.segmentation.label_maps import (
    CELEBAMASK_PARTS,
    IMAGE_SUFFIXES,
    decode_mask,
    encode_grey,
    encoded_size,
    names_in,
    size_text,
)

_IMAGES = "CelebA-HQ-img"
_MASKS = "CelebAMask-HQ-mask-anno"
_MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"
_PARTITION_LIST = "list_eval_partition.txt"
_COLUMNS = ("idx", "orig_idx", "orig_file")
_PARTITIONS = {"0": "train", "1": "validation", "2": "test"}
_MASKS_PER_FOLDER = 2000
_RELEASE = "the release, https://github.com/switchablenorms/CelebAMask-HQ"
_CELEBA = "CelebA, http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"

_MASK_NAME = re.compile(r"(\d{5,})_.*\.png", re.IGNORECASE)


class CelebAMaskHQ(FaceDataset):
    """CelebAMask-HQ with the parts' masks merged, and CelebA's partition of the images that it was made from.

    `source` holds
    - CelebA-HQ-img/<idx>.jpg: the images
    - CelebAMask-HQ-mask-anno/<idx // 2000>/<idx, five digits>_<part>.png: a mask for each part that is in the image
    - CelebA-HQ-to-CelebA-mapping.txt: the columns idx, orig_idx and orig_file, which is the image's name in CelebA
    - list_eval_partition.txt: CelebA's own, `NNNNNN.jpg` and 0 (train), 1 (validation) or 2 (test)

    The classes have the order in which the release's own script merges the parts
    (face_parsing/Data_preprocessing/g_mask.py): a pixel belongs to the last part whose mask is not black there. A part
    without a mask is not in the image. l_ is the person's left.

    The release's images are 1024 x 1024 and its masks 512 x 512, while a record's label map has the image's size.
    An image is never encoded anew, so the map is enlarged: each label is repeated, and every second row and column of
    the map is the merged masks again. An image whose size is no whole multiple of its masks' goes to quarantine.
    """

    name = "celebamask_hq"
    TERMS = "For non-commercial research and education; the images are from the internet and belong to their owners."
    # By Helen's rule, to compare data sets: the published tables of CelebAMask-HQ have a mean F1 only.
    ANNOTATIONS = MappingProxyType(
        {
            "parsing": Annotation(
                "segmentation",
                CELEBAMASK_PARTS,
                merged_parts={
                    "brows": ("l_brow", "r_brow"),
                    "eyes": ("l_eye", "r_eye"),
                    "nose": ("nose",),
                    "mouth": ("mouth", "u_lip", "l_lip"),
                },
            )
        }
    )

    def paths(self) -> list[str]:
        """The lists, the images and the masks."""
        return list(map(self._required, (_MAPPING, _PARTITION_LIST, _IMAGES, _MASKS)))

    def check(self) -> None:
        """Raises FileNotFoundError for a missing official file, ValueError for a mapping with other columns."""
        super().check()
        self._mapping_lines()

    def references(self) -> Iterator[Reference]:
        """One reference an image that the mapping, an image or a mask names, in the order of the mapping."""
        rows = collections.defaultdict(list)
        for number, line in enumerate(self._mapping_lines(), start=2):
            match line.split():
                case [index, original, origin] if index.isdecimal() and original.isdecimal():
                    rows[int(index)].append(origin)
                case [_, *_]:
                    expected = f"{' '.join(_COLUMNS)}, the first two numbers"
                    problem = f"{_MAPPING} has the row {line.strip()!r}; expected {expected}."
                    yield Reference(f"{_MAPPING}:{number}", None, problem=problem)
        partitions = self._partitions({origin for origins in rows.values() for origin in origins})
        masks = self._masks()
        images = names_in(self._required(_IMAGES), IMAGE_SUFFIXES)
        # Every name in the mapping, every image and every image that has a mask, once: none is lost silently.
        for image_name in dict.fromkeys(itertools.chain(map(_image_name, rows), images, map(_image_name, masks))):
            yield _reference(image_name, rows, partitions, masks)

    def read(self, reference: Reference) -> tuple[bytes, Mapping[str, bytes]]:
        """An image and its masks as one; RecordError if one of them can't be used, or if there is no mask."""
        path = self.path(_IMAGES, reference.id)
        image = read_file(path)
        labels = _enlarged(self._merged(_index(reference.id), reference.payload), encoded_size(image, path), path)
        return image, {"parsing": encode_grey(labels)}

    def _merged(self, index: int, labels: bytes) -> np.ndarray:
        """The image's masks of parts with these labels as one: [H, W] uint8, of the masks' size."""
        if not labels:
            raise RecordError(f"{_MASKS} has no mask of the image: no {_mask(index, '<part>')}.")
        first, merged = None, None
        for label in labels:
            path = self.path(_MASKS, _mask(index, CELEBAMASK_PARTS[label]))
            mask = decode_mask(read_file(path), path)
            if merged is None:
                first, merged = path, np.zeros(mask.shape, np.uint8)
            if mask.shape != merged.shape:
                raise RecordError(
                    f"The mask {path!r} is {size_text(mask.shape)}, but {first!r} {size_text(merged.shape)}; "
                    "expected one size for all masks of an image."
                )
            merged[mask] = label
        return merged

    def _required(self, name: str) -> str:
        what = f"It is part of {_RELEASE}."
        if name == _PARTITION_LIST:
            what = f"It is part (Eval/) of {_CELEBA}: CelebAMask-HQ has the partition of the images it was made from."
        return require(self.path(name), what)

    def _mapping_lines(self) -> list[str]:
        """The mapping without its first line, which must name the columns."""
        path = self._required(_MAPPING)
        header, *lines = _lines(path) or [""]
        if tuple(header.split()) != _COLUMNS:
            raise ValueError(
                f"Line 1 of {path!r} should name the columns {' '.join(_COLUMNS)}, but is {header.strip()!r}. "
                f"Take the file from {_RELEASE}."
            )
        return lines

    def _partitions(self, origins: Collection[str]) -> dict[str, list[str]]:
        """What CelebA's list says of `origins`, a few of the 200,000 that it names."""
        found = collections.defaultdict(list)
        for line in _lines(self._required(_PARTITION_LIST)):
            origin, *values = line.split() or [None]
            if origin in origins:
                found[origin].append(" ".join(values))
        return found

    def _masks(self) -> dict[int, list[str]]:
        """The masks' paths below their folder by image. A listing a folder: asking for 18 files an image is slow."""
        root = self._required(_MASKS)
        masks = collections.defaultdict(list)
        for folder in sorted(name.rstrip("/") for name in listed(root)):
            if tf.io.gfile.isdir(os.path.join(root, folder)):
                for name in names_in(os.path.join(root, folder), (".png",)):
                    if match := _MASK_NAME.fullmatch(name):
                        masks[int(match[1])].append(f"{folder}/{name}")
        return masks


def _lines(path: str) -> list[str]:
    with tf.io.gfile.GFile(path) as file:
        return file.read().splitlines()


def _image_name(index: int) -> str:
    return f"{index}.jpg"


def _mask(index: int, part: str) -> str:
    return f"{index // _MASKS_PER_FOLDER}/{index:05d}_{part}.png"


def _reference(image_name: str, rows: Mapping, partitions: Mapping, masks: Mapping) -> Reference:
    try:
        index = _index(image_name)
        origins = rows.get(index, [])
        if len(origins) != 1:
            raise RecordError(
                f"{_MAPPING} has {'several rows' if origins else 'no row'} for {image_name}; expected one."
            )
        return Reference(image_name, _split(origins[0], partitions), _labels(index, masks.get(index, [])))
    except RecordError as error:
        return Reference(image_name, None, problem=str(error))


def _index(image_name: str) -> int:
    """Inverse of `_image_name`; RecordError for a name that no image of the release has."""
    stem = os.path.splitext(image_name)[0]
    if not stem.isdecimal() or _image_name(int(stem)) != image_name:
        raise RecordError(f"{_MAPPING} has no row for {image_name}: images are called by their idx, like 0.jpg.")
    return int(stem)


def _split(origin: str, partitions: Mapping[str, Sequence[str]]) -> str:
    values = partitions.get(origin, [])
    if len(values) != 1:
        raise RecordError(f"{_PARTITION_LIST} has {'several rows' if values else 'no row'} for {origin}; expected one.")
    if values[0] not in _PARTITIONS:
        raise RecordError(f"{_PARTITION_LIST} has the partition {values[0]!r} for {origin}; expected 0, 1 or 2.")
    return _PARTITIONS[values[0]]


def _labels(index: int, masks: Sequence[str]) -> bytes:
    """The labels of the parts that have a mask, in the order of merging; RecordError for a mask of no part.

    Bytes, because there are 30,000 of them.
    """
    official = {_mask(index, part): label for label, part in enumerate(CELEBAMASK_PARTS) if label}
    # Left out, its part would become background, and nobody would see that.
    if strays := [mask for mask in masks if mask not in official]:
        raise RecordError(f"{_MASKS} has {strays[0]}, which is no mask of a part; expected {_mask(index, '<part>')}.")
    return bytes(sorted(official[mask] for mask in masks))


def _enlarged(labels: np.ndarray, size: tuple[int, int], path: str) -> np.ndarray:
    """`labels` at the image's size, each of them repeated."""
    if size == labels.shape:
        return labels
    factor = size[0] // labels.shape[0]
    if factor < 1 or size != (labels.shape[0] * factor, labels.shape[1] * factor):
        raise RecordError(
            f"The image {path!r} is {size_text(size)}, its masks are {size_text(labels.shape)}; expected their size "
            "or a whole multiple of it."
        )
    return labels.repeat(factor, axis=0).repeat(factor, axis=1)
