"""What every data set is: a tensorflow-datasets builder that names its records first and reads them one by one."""

from __future__ import annotations

import abc
import collections
import dataclasses
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from components.record import FaceRecord, RecordError


@dataclasses.dataclass(frozen=True)
class Reference:
    """A record that has not been read yet: small, picklable, so that Beam can spread the reading.

    Attributes:
        id: unique within the data set.
        split: "train", "eval" or "test"; None for a row that belongs to no split, which goes to quarantine.
        payload: what the builder's `load` needs (a path, the labels of the row), in plain Python values.
        problem: the reason for quarantine, where the lists alone show it; `load` raises it as a RecordError.
    """

    id: str
    split: str | None
    payload: Any = None
    problem: str | None = None


class FaceDataset(tfds.core.GeneratorBasedBuilder, abc.ABC, skip_registration=True):
    """Base of the builders.

    FacesExampleGen calls `references` once and `load` on the workers, so nothing is copied before it is an example;
    tensorflow-datasets' own `download_and_prepare` and `as_dataset` work too. ATTRIBUTES names the attributes in the
    order of `FaceRecord.attributes`, LABELS the classes of `FaceRecord.parsing`, background first, EMOTIONS those of
    `FaceRecord.emotion`, CLOTHING those of `FaceRecord.clothing`, SPLITS the splits that references have; what a data
    set doesn't annotate has no names.
    MERGED_PARTS has, by the name of a part, the classes that an overall F1 of face parsing counts as one.

    Args:
        source: the folder (any path that tf.io.gfile reads) with the data set's official files; None if it needs none.
        **options: of tfds.core.GeneratorBasedBuilder.
    """

    VERSION = tfds.core.Version("1.0.0")
    ATTRIBUTES: tuple[str, ...] = ()
    LABELS: tuple[str, ...] = ()
    EMOTIONS: tuple[str, ...] = ()
    CLOTHING: tuple[str, ...] = ()
    MERGED_PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    SPLITS: tuple[str, ...] = ("train", "eval", "test")

    def __new__(cls, *args, **kwargs):
        """Keeps the arguments for `__reduce__`."""
        builder = super().__new__(cls)
        builder._arguments = (args, kwargs)
        return builder

    def __init__(self, source: str | None = None, **options):
        self.source = source
        super().__init__(**options)

    def __reduce__(self):
        # tensorflow-datasets would pickle its own arguments alone and lose `source` on the way to a Beam worker.
        # Made anew from its arguments, a builder also takes no open file along.
        return _build, (type(self), *self._arguments)

    @property
    def folder(self) -> str:
        """`source`; ValueError if there is none."""
        if not self.source:
            raise ValueError(f"Data set {self.name!r} reads files, but got no `source`: give the folder they lie in.")
        return self.source

    @abc.abstractmethod
    def check(self) -> None:
        """Raises FileNotFoundError, naming the file and where it comes from, if an official file is missing."""

    @abc.abstractmethod
    def references(self) -> Iterator[Reference]:
        """Every record of every split, in the order of the official lists."""

    @abc.abstractmethod
    def load(self, reference: Reference) -> FaceRecord:
        """Reads one record. Raises RecordError, or OSError for a file, with the reason for quarantine."""

    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Changes when the source's files change; part of FacesExampleGen's cache key."""

    def _info(self) -> tfds.core.DatasetInfo:
        # An empty sequence is "not annotated", a crop the whole picture; the class indices are -1 then, which no label
        # list contains.
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self).__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "id": tf.string,
                    "image": tfds.features.Image(),
                    "attributes": tfds.features.Sequence(tf.int64),
                    "landmarks": tfds.features.Sequence(tfds.features.Tensor(shape=(2,), dtype=tf.float32)),
                    "parsing": tfds.features.Sequence(tfds.features.Image(shape=(None, None, 1))),
                    "emotion": tf.int64,
                    "clothing": tf.int64,
                    "crop": tfds.features.Sequence(tf.float32),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing is downloaded: the official files lie in `source`
        self.check()
        counts = collections.Counter(reference.split for reference in self.references())
        if refused := counts.pop(None, 0):
            logging.warning("%s: %d rows belong to no split and are left out.", self.name, refused)
        return {split: self._generate_examples(split) for split in sorted(counts)}

    def _generate_examples(self, split):
        for reference in self.references():
            if reference.split == split:
                record = self.load(reference)
                yield (
                    record.id,
                    {
                        "id": record.id,
                        "image": io.BytesIO(record.image),
                        "attributes": [] if record.attributes is None else record.attributes,
                        "landmarks": [] if record.landmarks is None else record.landmarks,
                        "parsing": [] if record.parsing is None else [io.BytesIO(record.parsing)],
                        "emotion": -1 if record.emotion is None else record.emotion,
                        "clothing": -1 if record.clothing is None else record.clothing,
                        "crop": [] if record.crop is None else record.crop,
                    },
                )


def _build(cls: type[FaceDataset], args: tuple, kwargs: dict) -> FaceDataset:
    return cls(*args, **kwargs)


def files_fingerprint(paths: Iterable[str]) -> str:
    """Hash of the names, sizes and modification times of files and of everything below folders."""
    digest = hashlib.sha256()
    for path in paths:
        for name, stat in _files(path):
            digest.update(f"{name}:{stat.length}:{stat.mtime_nsec}\n".encode())
    return digest.hexdigest()[:16]


def _files(path: str) -> Iterator[tuple[str, Any]]:
    """(name, tf.io.gfile.stat of it) of a file, or of the files below a folder in the order of their names."""
    stat = tf.io.gfile.stat(path)
    if not stat.is_directory:
        yield path, stat
        return
    for name in sorted(tf.io.gfile.listdir(path)):
        yield from _files(os.path.join(path, name))


def read_file(path: str) -> bytes:
    """The file's bytes; RecordError if it is missing or a folder, but not for a failure that may pass (the network)."""
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read()
    except (tf.errors.NotFoundError, tf.errors.FailedPreconditionError) as error:
        raise RecordError(f"The picture {path!r} can't be read: {error.message}") from error


def require(path: str, what: str) -> str:
    """`path`, if it exists; else FileNotFoundError with `what`: what the file is and where it comes from."""
    if not tf.io.gfile.exists(path):
        folder, name = os.path.split(path.rstrip("/"))
        raise FileNotFoundError(f"Folder {folder!r} has no {name}. {what}")
    return path
