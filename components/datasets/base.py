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

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging
from tensorflow_metadata.proto.v0 import schema_pb2

from components.folders import listed
from components.record import FaceRecord, RecordError
from components.tasks.annotation import Annotation
from components.tasks.base import labels_of

# tensorflow-datasets' features, by the type that a label has in the schema.
_FEATURES = {
    schema_pb2.INT: lambda: tfds.features.Sequence(tf.int64),
    schema_pb2.FLOAT: lambda: tfds.features.Sequence(tf.float32),
    schema_pb2.BYTES: lambda: tfds.features.Sequence(tfds.features.Image(shape=(None, None, 1))),
}


@dataclasses.dataclass(frozen=True)
class Reference:
    """A record that has not been read yet: small, picklable, so that Beam can spread the reading.

    Attributes:
        id: unique within the data set.
        split: "train", "validation" or "test"; None for a row that belongs to no split, which goes to quarantine.
        payload: what the builder's `read` needs (a path, the labels of the row), in plain Python values.
        problem: the reason for quarantine, where the lists alone show it; `load` raises it as a RecordError.
    """

    id: str
    split: str | None
    payload: Any = None
    problem: str | None = None


class _OwnInfo(tfds.core.DatasetInfo):
    """Of a data set that isn't TensorFlow Datasets' own, though it may be called as one of those is."""

    def initialize_from_bucket(self):
        """Nothing: their bucket is not asked what it has under this name, into a temporary folder that would stay."""


class FaceDataset(tfds.core.GeneratorBasedBuilder, abc.ABC, skip_registration=True):
    """Base of the builders.

    FacesExampleGen calls `references` once and `load` on the workers, so nothing is copied before it is an example;
    tensorflow-datasets' own `download_and_prepare` and `as_dataset` work too. A builder says which files it needs
    (`paths`), which records there are (`references`) and what one of them is (`read`). ANNOTATIONS says by label what
    records are annotated with, SPLITS which splits references have; a builder whose options decide sets its own. TERMS
    is a sentence on what may be done with the data, for whoever gets a model that was trained on them.

    Args:
        source: the folder (any path that tf.io.gfile reads) with the data set's official files; None if it needs none.
        **options: of tfds.core.GeneratorBasedBuilder.
    """

    VERSION = tfds.core.Version("1.0.0")
    ANNOTATIONS: Mapping[str, Annotation] = MappingProxyType({})
    SPLITS: tuple[str, ...] = ("train", "validation", "test")
    TERMS = "What may be done with it is not known here."
    OF_PEOPLE = True

    def __init__(self, source: str | None = None, **options):
        self.source = source
        super().__init__(**options)

    @property
    def folder(self) -> str:
        """`source`; ValueError if there is none."""
        if not self.source:
            raise ValueError(
                f"Data set {self.name!r} reads files, but got no `source`: give the folder they lie in (DATA_DIR)."
            )
        return self.source

    def path(self, *names: str) -> str:
        """The path of a file or folder in `folder`."""
        return os.path.join(self.folder, *names)

    @property
    def annotations(self) -> Mapping[str, Annotation]:
        """What records are annotated with, by label."""
        return self.ANNOTATIONS

    @abc.abstractmethod
    def paths(self) -> list[str]:
        """The official files and folders; FileNotFoundError, naming it and where it comes from, if one is missing."""

    @abc.abstractmethod
    def references(self) -> Iterator[Reference]:
        """Every record of every split, in the order of the official lists."""

    @abc.abstractmethod
    def read(self, reference: Reference) -> tuple[bytes, Mapping[str, Any]]:
        """A record's image file and its labels; RecordError, or OSError for a file, with the reason for quarantine."""

    def check(self) -> None:
        """Raises FileNotFoundError as `paths` does; of some builders, ValueError for a file that is something else."""
        self.paths()

    def load(self, reference: Reference) -> FaceRecord:
        """One record; errors as of `read`, and RecordError for a reference that has a problem.

        An id is mostly the image's path below the folder, from a list that somebody wrote: one that leads out of the
        folder is refused.
        """
        if reference.problem:
            raise RecordError(reference.problem)
        if os.path.isabs(reference.id) or ".." in reference.id.split("/"):
            raise RecordError(f"{reference.id!r} leads out of the data set's folder: put the image into it")
        image, labels = self.read(reference)
        return FaceRecord(reference.id, self.name, image, labels)

    def fingerprint(self) -> str:
        """Changes when the source's files change; part of FacesExampleGen's cache key."""
        return files_fingerprint(self.paths())

    def _info(self) -> tfds.core.DatasetInfo:
        # An empty sequence is "not annotated", and the whole image as a crop.
        labels = {name: _FEATURES[labels_of(name, each).schema().type]() for name, each in self.annotations.items()}
        return _OwnInfo(
            builder=self,
            description=type(self).__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "id": tf.string,
                    "image": tfds.features.Image(),
                    "crop": tfds.features.Sequence(tf.float32),
                    **labels,
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
                labels = {name: _values(record.labels.get(name)) for name in self.annotations}
                crop = [] if record.crop is None else record.crop
                yield record.id, {"id": record.id, "image": io.BytesIO(record.image), "crop": crop, **labels}


def _values(label) -> list:
    """A label as tensorflow-datasets' sequences take it."""
    if label is None:
        return []
    return [io.BytesIO(label)] if isinstance(label, bytes) else np.ravel(label).tolist()


def files_fingerprint(paths: Iterable[str]) -> str:
    """Hash of the names, sizes and modification times of files and of everything below folders."""
    digest = hashlib.sha256()
    for path in paths:
        for name, stat in _files(path):
            digest.update((f"{name}:{stat.length}:{stat.mtime_nsec}\n" if stat else f"{name}\n").encode())
    return digest.hexdigest()[:16]


def _files(path: str) -> Iterator[tuple[str, Any]]:
    """(name, tf.io.gfile.stat of it) of a file, or of the files below a folder in the order of their names.

    None instead of the latter for a link to nowhere or to itself, which the record that is read through it will tell.
    """
    if _leads_nowhere(path):
        yield path, None
        return
    stat = tf.io.gfile.stat(path)
    if not stat.is_directory:
        yield path, stat
        return
    for name in sorted(listed(path)):
        yield from _files(os.path.join(path, name))


def _leads_nowhere(path: str) -> bool:
    """Whether it is a link to what is not there, or to itself."""
    return os.path.islink(path) and not os.path.exists(path)


def read_file(path: str) -> bytes:
    """The file's bytes; RecordError if it is missing, a folder or a pipe, not for a failure that may pass (network).

    A folder may be a link, a file not to what lies outside of its folder: who unpacks a foreign archive would show us
    any file of the machine.
    """
    if _leads_nowhere(path):
        raise RecordError(f"The image {path!r} can't be read: it is a link that leads nowhere")
    if os.path.islink(path) and not _is_below(os.path.realpath(path), os.path.realpath(os.path.dirname(path))):
        raise RecordError(f"The image {path!r} is a link that leads out of its folder: put the file itself there")
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise RecordError(f"The image {path!r} is no file, but a pipe, socket or device")
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read()
    except (tf.errors.NotFoundError, tf.errors.FailedPreconditionError) as error:
        raise RecordError(f"The image {path!r} can't be read: {error.message}") from error


def _is_below(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder


def require(path: str, what: str) -> str:
    """`path`, if it exists; else FileNotFoundError with `what`: what the file is and where it comes from."""
    if not tf.io.gfile.exists(path):
        folder, name = os.path.split(path.rstrip("/"))
        raise FileNotFoundError(f"Folder {folder!r} has no {name}. {what}")
    return path
