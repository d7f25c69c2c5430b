"""What every data set is: a tensorflow-datasets builder that names its records first and reads them one by one."""

from __future__ import annotations

import abc
import dataclasses
import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from components.record import FaceRecord


@dataclasses.dataclass(frozen=True)
class Reference:
    """A record that has not been read yet: small, picklable, so that Beam can spread the reading.

    Attributes:
        id: unique within the data set.
        split: "train", "eval" or "test"; None for a row that belongs to no split, which goes to quarantine.
        payload: what the builder's `load` needs (a path, the labels of the row), in plain Python values.
    """

    id: str
    split: str | None
    payload: Any = None


class FaceDataset(tfds.core.GeneratorBasedBuilder, abc.ABC, skip_registration=True):
    """Base of the builders.

    FacesExampleGen calls `references` once and `load` on the workers, so nothing is copied before it is an example;
    tensorflow-datasets' own `download_and_prepare` and `as_dataset` work too.

    Args:
        source: the folder (any path that tf.io.gfile reads) with the data set's official files; None if it needs none.
        **options: of tfds.core.GeneratorBasedBuilder.
    """

    VERSION = tfds.core.Version("1.0.0")
    ATTRIBUTES: tuple[str, ...] = ()

    def __init__(self, source: str | None = None, **options):
        self.source = source
        super().__init__(**options)

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
        # An empty sequence is "not annotated"; the class indices are -1 then, which no label list contains.
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
                }
            ),
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing is downloaded: the official files lie in `source`
        self.check()
        splits = sorted({reference.split for reference in self.references()} - {None})
        return {split: self._generate_examples(split) for split in splits}

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
                    },
                )


def files_fingerprint(paths: Iterable[str]) -> str:
    """Hash of the names, sizes and modification times of files and of what lies directly in folders."""
    digest = hashlib.sha256()
    for path in paths:
        names = (
            [os.path.join(path, name) for name in sorted(tf.io.gfile.listdir(path))]
            if tf.io.gfile.isdir(path)
            else [path]
        )
        for name in names:
            stat = tf.io.gfile.stat(name)
            digest.update(f"{name}:{stat.length}:{stat.mtime_nsec}\n".encode())
    return digest.hexdigest()[:16]


def require(path: str, what: str) -> str:
    """`path`, if it exists; else FileNotFoundError with `what`: what the file is and where it comes from."""
    if not tf.io.gfile.exists(path):
        folder, name = os.path.split(path.rstrip("/"))
        raise FileNotFoundError(f"Folder {folder!r} has no {name}. {what}")
    return path
