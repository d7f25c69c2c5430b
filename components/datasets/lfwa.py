"""LFWA (Liu et al. 2015): CelebA's 40 attributes on 13,143 images of Labeled Faces in the Wild."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf

from components.datasets.base import FaceDataset, Reference, read_file, require
from components.matlab import read_matlab
from components.tasks.annotation import Annotation
from keras_models.attributes import CELEBA_ATTRIBUTES

_ANNOTATIONS = "lfw_att_40.mat"
_INDICES = "indices_train_test.mat"
_ORIGINAL = "lfw"
_FUNNELED = "lfw-deepfunneled"
_RELEASE = "the LFWA+ release at http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
_LFW = "http://vis-www.cs.umass.edu/lfw"
_SOURCES = {
    _ANNOTATIONS: f"It is part of {_RELEASE}.",
    _INDICES: f"It is part of {_RELEASE}.",
    _ORIGINAL: f"Unpack {_LFW}/lfw.tgz there.",
    _FUNNELED: f"Unpack {_LFW}/lfw-deepfunneled.tgz there.",
}


class LFWA(FaceDataset):
    """LFWA: the training images as they are and deep funneled (as in DMM-CNN), the test images as they are.

    Args:
        source: as of `FaceDataset`.
        funneled: whether the training images are there a second time, deep funneled; without, they are 6,263.

    `source` holds
    - lfw_att_40.mat: `name` (cells with Person\\Person_0001.jpg), `AttrName` (40 cells), `label` [images, 40] 0 or 1
    - indices_train_test.mat: `indices_img_train` and `indices_img_test`, rows of `name` counted from 1
    - lfw/Person/Person_0001.jpg: the original images
    - lfw-deepfunneled/Person/Person_0001.jpg: the deep funneled ones, if `funneled`

    The .mat files may be of MATLAB's version 7.3 (HDF5), as in the release, or older. There is no validation split. The
    90 images of LFW that lfw_att_40.mat does not name are not part of LFWA.
    """

    name = "lfwa"
    TERMS = "For non-commercial research; the photographs are from the news and belong to their owners."
    ANNOTATIONS = MappingProxyType({"attributes": Annotation("multi_label", CELEBA_ATTRIBUTES)})
    SPLITS = ("train", "test")

    def __init__(self, source: str | None = None, funneled: bool = True, **options: Any):
        super().__init__(source, **options)
        self._training_folders = (_ORIGINAL, _FUNNELED) if funneled else (_ORIGINAL,)

    def paths(self) -> list[str]:
        """The .mat files and the folders of images."""
        return list(map(self._required, (_ANNOTATIONS, _INDICES, *self._training_folders)))

    def check(self) -> None:
        """Raises FileNotFoundError for a missing official file, ValueError for a .mat file with other content."""
        super().check()
        self._annotations()
        self._indices()

    def references(self) -> Iterator[Reference]:
        """A reference an image of each row of lfw_att_40.mat, and one an index that is no row."""
        names, labels = self._annotations()
        indices = self._indices()
        for split, rows in indices.items():
            strays = Counter(f"{row:.15g}" for row in rows if row % 1 != 0 or not 1 <= row <= len(names))
            for row, count in strays.items():
                problem = (
                    f"{_INDICES} counts {row} ({count} times) to {split}; {_ANNOTATIONS} has rows 1 to {len(names)}."
                )
                yield Reference(f"{_INDICES}:{split}:{row}", None, problem=problem)
        splits = _splits_by_row(indices)
        repeated = {name for name, count in Counter(names).items() if count > 1}
        for row, (name, values) in enumerate(zip(names, labels, strict=True), start=1):
            problem = _problem(name, values, splits.get(row, []), repeated)
            if problem:
                yield Reference(f"{_ANNOTATIONS}:{row}:{name}", None, problem=problem)
                continue
            split, payload = splits[row][0], values.astype(np.uint8).tobytes()
            for folder in self._training_folders if split == "train" else (_ORIGINAL,):
                yield Reference(f"{folder}/{name}", split, payload)

    def read(self, reference: Reference) -> tuple[bytes, Mapping[str, np.ndarray]]:
        """An image and its attributes; RecordError if the image can't be read."""
        return read_file(self.path(reference.id)), {"attributes": np.array(list(reference.payload), np.int64)}

    def _required(self, name: str) -> str:
        return require(self.path(name), _SOURCES[name])

    def _annotations(self) -> tuple[list[str], np.ndarray]:
        """The images' names with slashes, and their labels [images, 40] in the order of CELEBA_ATTRIBUTES."""
        path = self._required(_ANNOTATIONS)
        mat = _read_mat(path, cells=("name", "AttrName"), matrices=("label",))
        names = [name.strip().replace("\\", "/") for name in mat["name"]]
        shape = (len(names), len(mat["AttrName"]))
        if mat["label"].shape != shape:
            raise ValueError(
                f"`label` in {path!r} has the shape {mat['label'].shape}; expected {shape}, "
                f"a row for each `name` and a column for each `AttrName`. Take the file from {_RELEASE}."
            )
        return names, mat["label"][:, _columns(path, mat["AttrName"])]

    def _indices(self) -> dict[str, list[float]]:
        path = self._required(_INDICES)
        mat = _read_mat(path, matrices=("indices_img_train", "indices_img_test"))
        return {split: mat[f"indices_img_{split}"].ravel().tolist() for split in ("train", "test")}


def _columns(path: str, names: Sequence[str]) -> list[int]:
    """Where `names` has each of CelebA's attributes, whatever its case and with blanks or underscores."""
    keys = [_key(name) for name in names]
    expected = [_key(name) for name in CELEBA_ATTRIBUTES]
    if sorted(keys) != sorted(expected):
        raise ValueError(
            f"`AttrName` in {path!r} should hold CelebA's 40 attributes. Missing: {sorted(set(expected) - set(keys))}; "
            f"unknown: {sorted(set(keys) - set(expected))}; {len(keys)} in all. Take the file from {_RELEASE}."
        )
    return [keys.index(key) for key in expected]


def _key(name: str) -> str:
    return "_".join(name.replace("_", " ").lower().split())


def _splits_by_row(indices: Mapping[str, Iterable[float]]) -> dict[float, list[str]]:
    splits = {}
    for split, rows in indices.items():
        for row in rows:
            splits.setdefault(row, []).append(split)
    return splits


def _problem(name: str, labels: np.ndarray, splits: Sequence[str], repeated: set[str]) -> str | None:
    """Why a row of lfw_att_40.mat can't be used, if so."""
    if name in repeated:
        return f"{_ANNOTATIONS} has several rows for {name}; expected one."
    if len(splits) != 1:
        return f"{_INDICES} counts it to {splits or 'no split'}; expected one of train and test, once."
    if not np.isin(labels, (0, 1)).all():
        wrong = labels[~np.isin(labels, (0, 1))]
        return f"{_ANNOTATIONS} has the label {wrong[0]:g}; expected 0 or 1."
    return None


def _read_mat(path: str, cells: tuple[str, ...] = (), matrices: tuple[str, ...] = ()) -> Mapping[str, np.ndarray]:
    """`read_matlab` of a file; ValueError, with the file's name, if it is no MATLAB file or has no such variable."""
    with tf.io.gfile.GFile(path, "rb") as file:
        content = file.read()
    try:
        return read_matlab(content, cells, matrices)
    except KeyError as error:
        raise ValueError(f"{path!r} lacks a variable: {error}. Take the file from {_RELEASE}.") from error
    except ValueError as error:
        raise ValueError(f"{path!r} can't be read as a MATLAB file: {error}. Take it from {_RELEASE}.") from error
