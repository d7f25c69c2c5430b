"""CelebA (Liu et al. 2015): 202,599 aligned images of faces, 40 attributes, five landmarks."""

from __future__ import annotations

import functools
import itertools
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow.python.lib.io.tf_record import tf_record_random_reader
from tensorflow_datasets.core.utils.version import list_all_versions

from components.datasets.base import FaceDataset, Reference, files_fingerprint, read_file, require
from components.images.limits import MAX_BYTES
from components.record import RecordError
from components.tasks.annotation import Annotation
from components.tasks.segmentation.label_maps import IMAGE_SUFFIXES, encoded_size, names_in
from keras_models.attributes import CELEBA_ATTRIBUTES

_POINTS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
_COORDINATES = tuple(f"{point}_{axis}" for point in _POINTS for axis in "xy")

_ATTRIBUTE_LIST = "list_attr_celeba.txt"
_PARTITION_LIST = "list_eval_partition.txt"
_LANDMARK_LIST = "list_landmarks_align_celeba.txt"
_IMAGES = "img_align_celeba"
_RELEASE = "the official release, http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
_PARTITIONS = {"0": "train", "1": "validation", "2": "test"}
_LABELS = {"-1": 0, "1": 1}


class CelebA(FaceDataset, skip_registration=True):  # tensorflow-datasets has registered a celeb_a of its own
    """CelebA, aligned and cropped, from the official files or from a prepared tensorflow-datasets `celeb_a`.

    `source` holds the official files, all in one folder or in the release's Anno/, Eval/ and Img/:
    - img_align_celeba/NNNNNN.jpg, or img_align_celeba.zip as downloaded
    - list_attr_celeba.txt: the count, the 40 names, then `NNNNNN.jpg` and 40 labels -1 or 1
    - list_eval_partition.txt: `NNNNNN.jpg` and 0 (train), 1 (validation) or 2 (test)
    - list_landmarks_align_celeba.txt, if it is there: the count, the 10 names, then `NNNNNN.jpg` and x, y in pixels of
      left eye, right eye, nose, left and right mouth corner (left and right as seen in the image)
    Identities (identity_CelebA.txt) have no place in a face record and are not read.

    Or `source` is the data_dir in which tensorflow-datasets has prepared its `celeb_a`, or a folder on the way from
    there to dataset_info.json.

    Args:
        landmarks: read the five landmarks, where the release's list of them is there.
    """

    name = "celeb_a"
    TERMS = "For non-commercial research; the images are from the internet and belong to their owners."
    ANNOTATIONS = MappingProxyType(
        {
            "attributes": Annotation("multi_label", CELEBA_ATTRIBUTES),
            "landmarks": Annotation(
                "landmarks", ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")
            ),
        }
    )

    def __init__(self, source: str | None = None, landmarks: bool = True, **options):
        if not landmarks:
            self.ANNOTATIONS = {"attributes": self.ANNOTATIONS["attributes"]}
        super().__init__(source, **options)

    def paths(self) -> list[str]:
        """The lists and the images, or the files that tensorflow-datasets has written."""
        return self._files.paths()

    def check(self) -> None:
        """Raises FileNotFoundError for a missing official file, ValueError for a file that is something else."""
        self._files.check()

    def references(self) -> Iterator[Reference]:
        """One reference an image that a list or the image folder names, in the order of the attribute list."""
        return self._files.references()

    def read(self, reference: Reference) -> tuple[bytes, Mapping[str, np.ndarray]]:
        """An image, its attributes and landmarks, if it has any; RecordError if the image can't be read."""
        image, labels, points = self._files.read(reference)
        landmarks = (
            {"landmarks": _normalised(points, encoded_size(image, reference.id))}
            if points and "landmarks" in self.ANNOTATIONS
            else {}
        )
        return image, {"attributes": np.array(list(labels), np.int64), **landmarks}

    @functools.cached_property
    def _files(self) -> _Release | _Prepared:
        prepared = None if _find(self.folder, _ATTRIBUTE_LIST) else _prepared_folder(self.folder)
        return _Prepared(prepared) if prepared else _Release(self.folder)


class _Release:
    """The official files."""

    def __init__(self, folder: str):
        self._folder = folder

    def check(self) -> None:
        self.paths()
        _column_order(self._required(_ATTRIBUTE_LIST), CELEBA_ATTRIBUTES)
        if landmarks := _find(self._folder, _LANDMARK_LIST):
            _column_order(landmarks, _COORDINATES)
        self._images.check()

    def paths(self) -> list[str]:
        lists = [self._required(_ATTRIBUTE_LIST), self._required(_PARTITION_LIST), _find(self._folder, _LANDMARK_LIST)]
        return [*filter(None, lists), self._images.path]

    def references(self) -> Iterator[Reference]:
        attributes = _List(self._required(_ATTRIBUTE_LIST), header=CELEBA_ATTRIBUTES)
        partition = _List(self._required(_PARTITION_LIST))
        path = _find(self._folder, _LANDMARK_LIST)
        landmarks = _List(path, header=_COORDINATES) if path else None
        lists = [names for names in (attributes, partition, landmarks) if names]
        for names in lists:
            if names.count_problem:
                yield Reference(f"{names.name}:count", None, problem=names.count_problem)
        # Every name in any list and every image, once, so that none is lost silently.
        for image_name in dict.fromkeys(itertools.chain(*(names.rows for names in lists), self._images.names())):
            yield _reference(image_name, attributes, partition, landmarks)

    def read(self, reference: Reference) -> tuple[bytes, Sequence[int], Sequence[int] | None]:
        return self._images.read(reference.id), reference.payload.labels, reference.payload.points

    @functools.cached_property
    def _images(self) -> _ImageFolder | _ImageArchive:
        archive = _find(self._folder, f"{_IMAGES}.zip")
        if archive and not _find(self._folder, _IMAGES):
            return _ImageArchive(archive)
        return _ImageFolder(self._required(_IMAGES))

    def _required(self, name: str) -> str:
        """The path of an official file; FileNotFoundError with the part of the release that it comes from."""
        part = {_IMAGES: "Img", _PARTITION_LIST: "Eval"}.get(name, "Anno")
        what = f"It is part ({part}/) of {_RELEASE}: put it there, or into {part}/ in it."
        if name == _IMAGES:
            what += f" {_IMAGES}.zip will do as well."
        elif name == _ATTRIBUTE_LIST:
            what += " Or give the folder in which tensorflow-datasets has prepared its celeb_a."
        return _find(self._folder, name) or require(os.path.join(self._folder, name), what)


class _Row(NamedTuple):
    """What the lists say about an image; bytes, because there are 200,000 of them."""

    labels: bytes
    points: tuple[int, ...] | None


class _List:
    """One of the release's lists in memory, by image.

    Args:
        path: the file: a count and column names if `header` is given, then an image's name and its values a line.
        header: the columns, in the order in which `values` gives them.
    """

    def __init__(self, path: str, header: Sequence[str] = ()):
        self.name = os.path.basename(path)
        self.rows: dict[str, str] = {}
        self.count_problem = None
        self._order = _column_order(path, header) if header else None
        self._repeated = set()
        count = 0
        with tf.io.gfile.GFile(path) as file:
            lines = iter(file)
            expected = next(lines).strip() if header else None
            for line in itertools.islice(lines, 1 if header else 0, None):
                image_name, *values = line.split(maxsplit=1) or [None]
                if image_name is None:
                    continue
                count += 1
                if image_name in self.rows:
                    self._repeated.add(image_name)
                self.rows[image_name] = values[0] if values else ""
        if header and expected != str(count):
            self.count_problem = (
                f"Line 1 of {path!r} promises {expected!r} rows, but {count} follow. If the file was cut off, take it "
                f"from {_RELEASE}; otherwise correct line 1."
            )

    def values(self, image_name: str) -> list[str]:
        """The image's values; RecordError if it has no row, several rows, or more or fewer values than columns."""
        if image_name not in self.rows:
            raise RecordError(f"{self.name} has no row for {image_name}.")
        if image_name in self._repeated:
            raise RecordError(f"{self.name} has several rows for {image_name}; expected one.")
        values = self.rows[image_name].split()
        if self._order is None:
            return values
        if len(values) != len(self._order):
            raise RecordError(f"{self.name} has {len(values)} values for {image_name}; expected {len(self._order)}.")
        return [values[column] for column in self._order]


def _column_order(path: str, columns: Sequence[str]) -> list[int]:
    """Where line 2 of a list has each of `columns`; ValueError if it names others."""
    with tf.io.gfile.GFile(path) as file:
        names = next(itertools.islice(file, 1, None), "").split()
    if sorted(names) != sorted(columns):
        raise ValueError(
            f"Line 2 of {path!r} should name these {len(columns)} columns: {' '.join(columns)}. "
            f"Missing: {sorted(set(columns) - set(names))}; unknown: {sorted(set(names) - set(columns))}; "
            f"{len(names)} in all. Take the file from {_RELEASE}."
        )
    return [names.index(column) for column in columns]


def _reference(image_name: str, attributes: _List, partition: _List, landmarks: _List | None) -> Reference:
    try:
        row = _Row(_labels(attributes.values(image_name)), landmarks and _points(landmarks, image_name))
        return Reference(image_name, _split(partition.values(image_name)), row)
    except RecordError as error:
        return Reference(image_name, None, problem=str(error))


def _labels(values: Iterable[str]) -> bytes:
    try:
        return bytes(map(_LABELS.__getitem__, values))
    except KeyError as error:
        raise RecordError(f"{_ATTRIBUTE_LIST} has the label {error.args[0]!r}; expected -1 or 1.") from None


def _split(values: Sequence[str]) -> str:
    if len(values) != 1 or values[0] not in _PARTITIONS:
        raise RecordError(f"{_PARTITION_LIST} has the partition {' '.join(values)!r}; expected 0, 1 or 2.")
    return _PARTITIONS[values[0]]


def _points(landmarks: _List, image_name: str) -> tuple[int, ...] | None:
    """The 10 coordinates in pixels; None for an image that the list leaves out."""
    if image_name not in landmarks.rows:
        return None
    values = landmarks.values(image_name)
    try:
        return tuple(map(int, values))
    except ValueError:
        raise RecordError(
            f"{_LANDMARK_LIST} has {' '.join(values)!r} for {image_name}; expected whole numbers (pixels)."
        ) from None


def _normalised(points: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """10 coordinates in pixels -> [5, 2] float32 x, y in [0, 1] of an image of that (height, width)."""
    # The centre of pixel x lies at x + 0.5.
    return ((np.reshape(points, (-1, 2)) + 0.5) / size[::-1]).astype(np.float32)


class _ImageFolder:
    """img_align_celeba/"""

    def __init__(self, path: str):
        self.path = path

    def check(self) -> None:
        if not tf.io.gfile.isdir(self.path):
            raise ValueError(f"{self.path!r} should be the folder of the images, but is a file.")

    def names(self) -> list[str]:
        return names_in(self.path, IMAGE_SUFFIXES)

    def read(self, name: str) -> bytes:
        return read_file(os.path.join(self.path, name))


class _ImageArchive:
    """img_align_celeba.zip, opened once a process: to list 200,000 members takes seconds and 100 MB."""

    def __init__(self, path: str):
        self.path = path

    def check(self) -> None:
        if not self.names():
            raise ValueError(f"{self.path!r} should have members {_IMAGES}/NNNNNN.jpg, but has none.")

    def names(self) -> list[str]:
        members = (os.path.split(member) for member in self._archive.namelist())
        return sorted(name for folder, name in members if folder == _IMAGES and name.lower().endswith(IMAGE_SUFFIXES))

    def read(self, name: str) -> bytes:
        member = f"{_IMAGES}/{name}"
        try:
            size = self._archive.getinfo(member).file_size
            if size > MAX_BYTES:  # before it is unpacked
                raise RecordError(f"Member {member} of {self.path!r} has {size:,} bytes, allowed are {MAX_BYTES:,}.")
            return self._archive.read(member)
        except KeyError:
            raise RecordError(f"{self.path!r} has no member {member}.") from None
        # Encrypted, by a method that is not here, or damaged.
        except (RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
            raise RecordError(f"Member {member} of {self.path!r} can't be unpacked: {error}") from error

    @functools.cached_property
    def _archive(self) -> zipfile.ZipFile:
        return _opened(self.path, files_fingerprint([self.path]))


@functools.lru_cache(maxsize=1)
def _opened(path: str, fingerprint: str) -> zipfile.ZipFile:
    """The archive, which threads may read at the same time; another one after the file has changed."""
    try:
        return zipfile.ZipFile(tf.io.gfile.GFile(path, "rb"))
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{path!r} is no complete zip archive ({error}). Download it again: it is part (Img/) of {_RELEASE}."
        ) from error


def _find(folder: str, name: str) -> str | None:
    """The path of an official file, which lies in `folder` or in one of the release's folders below it."""
    candidates = (os.path.join(folder, place, name) for place in ("", "Anno", "Eval", "Img"))
    return next(filter(tf.io.gfile.exists, candidates), None)


class _Prepared:
    """A `celeb_a` as tensorflow-datasets has written it, in TFRecord files.

    A reference carries its record's place in the file: Beam can spread the reading, and no image is in memory before
    it is read.
    """

    def __init__(self, folder: str):
        self._folder = folder

    def check(self) -> None:
        expected = {
            "image",
            *(f"attributes/{name}" for name in CELEBA_ATTRIBUTES),
            *(f"landmarks/{c}" for c in _COORDINATES),
        }
        features = self._info.features
        groups = [name for name, each in features.items() if isinstance(each, tfds.features.FeaturesDict)]
        there = {*features, *(f"{group}/{name}" for group in groups for name in features[group])}
        if missing := expected - there:
            raise ValueError(
                f"{self._folder!r} should hold the celeb_a of tensorflow-datasets, but has no {sorted(missing)}."
            )
        if missing := set(FaceDataset.SPLITS) - set(self._info.splits):
            raise ValueError(f"{self._folder!r} has no split {sorted(missing)}. Prepare celeb_a again.")
        if self._info.file_format != tfds.core.FileFormat.TFRECORD:
            raise ValueError(
                f"{self._folder!r} is stored as {self._info.file_format.value}; expected tfrecord. "
                "Prepare celeb_a with file_format='tfrecord'."
            )
        self.paths()

    def paths(self) -> list[str]:
        shards = (os.fspath(path) for split in FaceDataset.SPLITS for path in self._info.splits[split].filepaths)
        files = [os.path.join(self._folder, "dataset_info.json"), *shards]
        return [require(path, "Prepare celeb_a with tensorflow-datasets again.") for path in files]

    def references(self) -> Iterator[Reference]:
        for split in FaceDataset.SPLITS:
            info = self._info.splits[split]
            for path, length in zip(info.filepaths, info.shard_lengths, strict=True):
                yield from _shard_references(os.fspath(path), length, split)

    def read(self, reference: Reference) -> tuple[bytes, Sequence[int], Sequence[int]]:
        path, offset = reference.payload
        serialized, _ = tf_record_random_reader(path).read(offset)
        example = self._info.features.deserialize_example_np(serialized, decoders={"image": tfds.decode.SkipDecoding()})
        labels = [example["attributes"][name] for name in CELEBA_ATTRIBUTES]
        return example["image"], labels, [example["landmarks"][name] for name in _COORDINATES]

    @functools.cached_property
    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.builder_from_directory(self._folder).info


def _shard_references(path: str, length: int, split: str) -> Iterator[Reference]:
    """A reference a record, with the id that tensorflow-datasets gives it (`add_tfds_id`); behind damage, a problem."""
    reader = tf_record_random_reader(path)
    offset, problem = 0, None
    for index in range(length):
        name = f"{os.path.basename(path)}__{index}"
        if problem is None:
            try:
                _, end = reader.read(offset)
            except (tf.errors.DataLossError, IndexError) as error:
                # Where a record ends only the record knows, so the ones behind it can't be found either.
                problem = f"{path!r} can't be read from record {index} of {length} on ({error}). Prepare celeb_a again."
        if problem is None:
            yield Reference(name, split, (path, offset))
            offset = end
        else:
            yield Reference(name, None, problem=problem)


def _prepared_folder(folder: str) -> str | None:
    """The folder with dataset_info.json: `folder`, or the newest version in it or in its celeb_a/; None without one."""
    places = filter(tf.io.gfile.isdir, (folder, os.path.join(folder, "celeb_a")))
    versions = (os.path.join(place, str(version)) for place in places for version in list_all_versions(place)[::-1])
    prepared = (path for path in (folder, *versions) if tf.io.gfile.exists(os.path.join(path, "dataset_info.json")))
    return next(prepared, None)
