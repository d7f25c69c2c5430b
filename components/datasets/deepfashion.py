"""DeepFashion (Liu et al. 2016), Category and Attribute Prediction Benchmark: clothes of 50 categories."""

from __future__ import annotations

import collections
import functools
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import tensorflow as tf

from components.datasets.base import FaceDataset, Reference, read_file, require
from components.datasets.class_folders import images_below
from components.datasets.garments import GARMENTS
from components.record import RecordError
from components.tasks.annotation import Annotation

_CATEGORIES = "list_category_cloth.txt"
_LABELS = "list_category_img.txt"
_PARTITION = "list_eval_partition.txt"
_IMAGES = "img"
_PARTITIONS = {"train": "train", "val": "validation", "test": "test"}
_RELEASE = "DeepFashion's release, http://mmlab.ie.cuhk.edu.hk/projects/DeepFashion.html"


class DeepFashion(FaceDataset):
    """DeepFashion's benchmark of categories: 209,222 images to train on, 40,000 each for validation and test.

    `source` is the release's folder, which holds
    - Anno/list_category_cloth.txt: the count, a header, then `category_name category_type`
    - Anno/list_category_img.txt: the count, a header, then `img/<folder>/<name>.jpg` and the number of its category in
      that list, from 1 on
    - Eval/list_eval_partition.txt: the count, a header, then an image and train, val (validation) or test
    - img/<folder>/<name>.jpg, or Img/img/<folder>/<name>.jpg

    A record is the whole image: what surrounds a garment tells of it too (Lu et al. 2017). So its box (list_bbox.txt)
    is not read, and neither are the other attributes and the landmarks, which are those of clothes. Four of the
    categories (Cape, Nightdress, Shirtdress, Sundress) have no image.
    """

    name = "deepfashion"
    TERMS = "For non-commercial research; the images are from shops and the internet and belong to their owners."
    CATEGORIES: tuple[str, ...] = (
        *("Anorak", "Blazer", "Blouse", "Bomber", "Button-Down", "Cardigan", "Flannel", "Halter", "Henley", "Hoodie"),
        *("Jacket", "Jersey", "Parka", "Peacoat", "Poncho", "Sweater", "Tank", "Tee", "Top", "Turtleneck"),
        *("Capris", "Chinos", "Culottes", "Cutoffs", "Gauchos", "Jeans", "Jeggings", "Jodhpurs", "Joggers"),
        *("Leggings", "Sarong", "Shorts", "Skirt", "Sweatpants", "Sweatshorts", "Trunks"),
        *("Caftan", "Cape", "Coat", "Coverup", "Dress", "Jumpsuit", "Kaftan", "Kimono", "Nightdress", "Onesie", "Robe"),
        *("Romper", "Shirtdress", "Sundress"),
    )
    ANNOTATIONS = MappingProxyType({"clothing": Annotation("classification", CATEGORIES)})

    def paths(self) -> list[str]:
        """The lists and the images."""
        return [*map(self._list, (_CATEGORIES, _LABELS, _PARTITION)), self._images]

    def check(self) -> None:
        """Raises FileNotFoundError for a missing file, ValueError for a list that is cut off or of other categories."""
        super().check()
        self._categories()
        for name in (_LABELS, _PARTITION):
            collections.deque(self._rows(name), maxlen=0)

    def references(self) -> Iterator[Reference]:
        """One reference an image that a list names or that lies below img/, in the order of the list of categories."""
        categories = self._categories()
        labels, partition = self._by_image(_LABELS), self._by_image(_PARTITION)
        there = (f"{_IMAGES}/{path}" for path in images_below(self._images))
        for image_name in dict.fromkeys(itertools.chain(labels, partition, there)):
            yield _reference(image_name, labels, partition, categories)

    def read(self, reference: Reference) -> tuple[bytes, Mapping[str, int]]:
        """An image and its category; RecordError if the image can't be read."""
        return read_file(os.path.join(os.path.dirname(self._images), reference.id)), {"clothing": reference.payload}

    def _categories(self) -> dict[str, int]:
        """The index in CATEGORIES by the number that the labels have."""
        names = [name for name, _ in self._rows(_CATEGORIES)]
        if sorted(names) != sorted(self.CATEGORIES):
            raise ValueError(
                f"{self._list(_CATEGORIES)!r} should name the {len(self.CATEGORIES)} categories of {self.name!r}. "
                f"Missing: {sorted({*self.CATEGORIES} - {*names})}; unknown: {sorted({*names} - {*self.CATEGORIES})}; "
                f"{len(names)} in all. Take the file from {_RELEASE}, or name the `builder` that has these categories."
            )
        return {str(number): self.CATEGORIES.index(name) for number, name in enumerate(names, start=1)}

    def _by_image(self, name: str) -> dict[str, list[str]]:
        """The values of each image's rows, of which there should be one."""
        rows = collections.defaultdict(list)
        for image_name, value in self._rows(name):
            rows[image_name].append(value)
        return rows

    def _rows(self, name: str) -> Iterator[tuple[str, str]]:
        """(name, value) of each row of a list; ValueError if they are not as many as it says."""
        path = self._list(name)
        with tf.io.gfile.GFile(path) as file:
            expected, count = file.readline().strip(), 0
            for line in itertools.islice(file, 1, None):
                if line.strip():
                    count += 1
                    row, *value = line.rsplit(maxsplit=1)
                    yield row.strip(), "".join(value)
        if expected != str(count):
            raise ValueError(
                f"Line 1 of {path!r} promises {expected!r} rows, but {count} follow line 2, the header. If the file "
                f"was cut off, take it from {_RELEASE}; otherwise correct line 1."
            )

    def _list(self, name: str) -> str:
        part = "Eval" if name == _PARTITION else "Anno"
        return require(self.path(part, name), f"It lies there in {_RELEASE}.")

    @functools.cached_property
    def _images(self) -> str:
        elsewhere = self.path("Img", _IMAGES)
        if tf.io.gfile.isdir(elsewhere):
            return elsewhere
        return require(self.path(_IMAGES), f"Unpack {_IMAGES}.zip of {_RELEASE}, there.")


class ClothingSubset(DeepFashion):
    """The public-domain "clothing dataset (subset)" in DeepFashion's layout: ten kinds of garments, mostly lying."""

    name = "clothing_subset"
    TERMS = "In the public domain (CC0)."
    CATEGORIES = GARMENTS
    ANNOTATIONS = MappingProxyType({"clothing": Annotation("classification", CATEGORIES)})


def _reference(
    image_name: str,
    labels: Mapping[str, Sequence[str]],
    partition: Mapping[str, Sequence[str]],
    categories: Mapping[str, int],
) -> Reference:
    try:
        label, part = _value(_LABELS, labels, image_name), _value(_PARTITION, partition, image_name)
        if label not in categories:
            raise RecordError(
                f"{_LABELS} has the category {label!r} for {image_name}; expected 1 to {len(categories)}."
            )
        if part not in _PARTITIONS:
            raise RecordError(f"{_PARTITION} has {part!r} for {image_name}; expected {', '.join(_PARTITIONS)}.")
        return Reference(image_name, _PARTITIONS[part], categories[label])
    except RecordError as error:
        return Reference(image_name, None, problem=str(error))


def _value(name: str, rows: Mapping[str, Sequence[str]], image_name: str) -> str:
    values = rows.get(image_name, ())
    if len(values) != 1:
        raise RecordError(f"{name} has {len(values) or 'no'} rows for {image_name}; expected one.")
    return values[0]
