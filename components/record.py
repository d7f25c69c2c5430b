"""The face record: the one kind of example that every data set becomes (its schema: schemas/face_record.pbtxt)."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

IGNORE_LABEL = 255


class RecordError(ValueError):
    """A record that can't be used; the message is the reason that goes to quarantine."""


@dataclasses.dataclass(frozen=True)
class FaceRecord:
    """One picture with whatever is annotated on it; `None` means not annotated, never a made-up value.

    Attributes:
        id: unique within the data set.
        dataset: the builder's name.
        image: the JPEG or PNG file's bytes as found.
        attributes: [N] integers 0 or 1, in the order of the data set's attribute list.
        landmarks: [L, 2] float32 x, y, in [0, 1] of the image (a point outside the picture lies outside that range).
        parsing: PNG label map of the image's size, one channel, 255 = ignore.
        emotion: class index.
        clothing: class index.
        soft_attributes: [N] float32 in [0, 1], a trained network's scores where attributes are not annotated.
        soft_clothing: [C] float32 in [0, 1], the same for the categories of clothing.
        crop: top, left, height, width of the part of the picture that is used, as shares of the picture's sides; None =
            the whole picture. `landmarks` and `parsing` stay those of the whole picture.
    """

    id: str
    dataset: str
    image: bytes
    attributes: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    parsing: bytes | None = None
    emotion: int | None = None
    clothing: int | None = None
    soft_attributes: np.ndarray | None = None
    soft_clothing: np.ndarray | None = None
    crop: tuple[float, float, float, float] | None = None

    def to_example(self) -> tf.train.Example:
        """The record as a tf.Example; a field that is None is absent from it."""
        features = {
            "image/encoded": _bytes(self.image),
            "image/id": _bytes(self.id.encode()),
            "dataset": _bytes(self.dataset.encode()),
        }
        if self.attributes is not None:
            features["attributes"] = _ints(self.attributes)
        if self.landmarks is not None:
            features["landmarks"] = _floats(np.asarray(self.landmarks, np.float32).ravel())
        if self.parsing is not None:
            features["parsing/encoded"] = _bytes(self.parsing)
        if self.emotion is not None:
            features["emotion"] = _ints([self.emotion])
        if self.clothing is not None:
            features["clothing"] = _ints([self.clothing])
        if self.soft_attributes is not None:
            features["attributes/soft"] = _floats(self.soft_attributes)
        if self.soft_clothing is not None:
            features["clothing/soft"] = _floats(self.soft_clothing)
        if self.crop is not None:
            features["image/crop"] = _floats(self.crop)
        return tf.train.Example(features=tf.train.Features(feature=features))

    @classmethod
    def from_example(cls, example: tf.train.Example) -> FaceRecord:
        """Inverse of `to_example`."""
        feature = example.features.feature

        def value(name, kind):
            return list(getattr(feature[name], kind).value) if name in feature else None

        landmarks = value("landmarks", "float_list")
        attributes = value("attributes", "int64_list")
        soft = {f"soft_{label}": value(f"{label}/soft", "float_list") for label in ("attributes", "clothing")}
        scalars = {name: value(name, "int64_list") for name in ("emotion", "clothing")}
        parsing = value("parsing/encoded", "bytes_list")
        crop = value("image/crop", "float_list")
        return cls(
            id=value("image/id", "bytes_list")[0].decode(),
            dataset=value("dataset", "bytes_list")[0].decode(),
            image=value("image/encoded", "bytes_list")[0],
            attributes=None if attributes is None else np.array(attributes),
            landmarks=None if landmarks is None else np.array(landmarks, np.float32).reshape(-1, 2),
            parsing=parsing and parsing[0],
            crop=crop and tuple(crop),
            **{name: None if v is None else np.array(v, np.float32) for name, v in soft.items()},
            **{name: None if v is None else v[0] for name, v in scalars.items()},
        )


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _floats(values) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def _ints(values) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(v) for v in values]))
