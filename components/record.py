"""The face record: the one kind of example that every data set becomes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

IGNORE_LABEL = 255
_ENCODED, _SOFT = "/encoded", "/soft"  # behind a label's name: an image file; a trained network's scores
_IMAGE, _ID, _DATASET, _CROP = "image/encoded", "image/id", "dataset", "image/crop"


class RecordError(ValueError):
    """A record that can't be used; the message is the reason that goes to quarantine."""


@dataclasses.dataclass(frozen=True)
class FaceRecord:
    """One image with whatever is annotated on it; what is not annotated is absent, never a made-up value.

    Attributes:
        id: unique within the data set.
        dataset: the builder's name.
        image: the JPEG or PNG file's bytes as found.
        labels: by name, as the kinds of components.tasks have them: arrays or numbers, or an image file's bytes.
        soft: by the label's name, [N] float32 in [0, 1], a trained network's scores where the label is absent.
        crop: top, left, height, width of the part of the image that is used, as shares of the image's sides; None =
            the whole image. The labels stay those of the whole image.
    """

    id: str
    dataset: str
    image: bytes
    labels: Mapping[str, np.ndarray | float | int | bytes] = dataclasses.field(default_factory=dict)
    soft: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    crop: tuple[float, float, float, float] | None = None

    def to_example(self) -> tf.train.Example:
        """The record as a tf.Example."""
        features = {
            _IMAGE: _feature(self.image),
            _ID: _feature(self.id.encode()),
            _DATASET: _feature(self.dataset.encode()),
            **{feature_name(name, value): _feature(value) for name, value in self.labels.items()},
            **{f"{name}{_SOFT}": _feature(np.asarray(scores, np.float32)) for name, scores in self.soft.items()},
        }
        if self.crop is not None:
            features[_CROP] = _feature(np.asarray(self.crop, np.float32))
        return tf.train.Example(features=tf.train.Features(feature=features))

    @classmethod
    def from_example(cls, example: tf.train.Example) -> FaceRecord:
        """Inverse of `to_example`; arrays are flat, and numbers are arrays of one."""
        values = {name: _value(feature) for name, feature in example.features.feature.items()}
        known = {name: values.pop(name, None) for name in (_IMAGE, _ID, _DATASET, _CROP)}
        soft = {name: values.pop(name) for name in list(values) if name.endswith(_SOFT)}
        return cls(
            id=known[_ID].decode(),
            dataset=known[_DATASET].decode(),
            image=known[_IMAGE],
            labels={name.removesuffix(_ENCODED): value for name, value in values.items()},
            soft={name.removesuffix(_SOFT): value for name, value in soft.items()},
            crop=None if known[_CROP] is None else tuple(known[_CROP].tolist()),
        )


def feature_name(label: str, value: np.ndarray | float | int | bytes) -> str:
    """Of the feature that holds a label: the label's own, with "/encoded" behind it for an image file."""
    return f"{label}{_ENCODED}" if isinstance(value, bytes) else label


def _feature(value) -> tf.train.Feature:
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    array = np.asarray(value).ravel()
    if np.issubdtype(array.dtype, np.floating):
        return tf.train.Feature(float_list=tf.train.FloatList(value=array.astype(np.float32)))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=array.astype(np.int64)))


def _value(feature: tf.train.Feature):
    """None for a feature without a value."""
    values = getattr(feature, feature.WhichOneof("kind") or "bytes_list").value
    if not values:
        return None
    if isinstance(values[0], bytes):
        return values[0]
    return np.array(values, np.int64 if isinstance(values[0], int) else np.float32)
