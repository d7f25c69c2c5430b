"""Where each data set's images have a face, which the schema says: other photographs are brought to that frame."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from absl import logging
from google.protobuf import json_format, struct_pb2
from tensorflow_metadata.proto.v0 import schema_pb2

from components.faces.detector import Face, FaceDetector, main_face
from components.faces.frame import Frame, frame_of
from components.images.crop import crop_pixels
from components.images.decoding import decode
from components.record import FaceRecord

NUM_IMAGES = 200  # of a data set that are looked at
_WITHOUT_FACES = 40  # of them, after which it has none
_KEY = "frames"
# Such images are of one face, or nearly: it is looked for at a quarter of the side.
_MIN_SHARE, _MIN_PIXELS = 0.25, 16


def measured_frames(files: Mapping[str, Sequence[str]]) -> dict[str, Frame]:
    """The frame of each data set in which faces are found, by the first of its records.

    Args:
        files: of its training records, gzipped TFRecords, by data set.
    """
    try:
        detect = FaceDetector(min_share=_MIN_SHARE, min_pixels=_MIN_PIXELS)
    except ModuleNotFoundError as error:
        logging.warning("The frame of faces is not measured, so that photographs can't be aligned to it: %s", error)
        return {}
    found = {dataset: frame_of(_shown_faces(of_dataset, detect)) for dataset, of_dataset in files.items()}
    return {dataset: frame for dataset, frame in found.items() if frame}


def write_frames(frames: Mapping[str, Frame], schema: schema_pb2.Schema) -> None:
    """Adds frames, by data set, to what a schema says."""
    if not frames:
        return
    said = struct_pb2.Struct()
    said.update({_KEY: {dataset: frame.to_json() for dataset, frame in frames.items()}})
    schema.annotation.extra_metadata.add().Pack(said)


def read_frames(schema: schema_pb2.Schema) -> dict[str, Frame]:
    """Inverse of `write_frames`."""
    frames = {}
    for each in schema.annotation.extra_metadata:
        said = struct_pb2.Struct()
        if each.Unpack(said):
            frames |= json_format.MessageToDict(said).get(_KEY, {})
    return {dataset: Frame.from_json(value) for dataset, value in frames.items()}


def _shown_faces(files: Sequence[str], detect: FaceDetector) -> Iterator[tuple[np.ndarray, Face]]:
    """Images as networks are shown them, each with its main face; those without one are passed over."""
    found = 0
    records = tf.data.TFRecordDataset(list(files), compression_type="GZIP")
    for looked_at, serialized in enumerate(itertools.islice(records, NUM_IMAGES), start=1):
        record = FaceRecord.from_example(tf.train.Example.FromString(serialized.numpy()))
        image = decode(tf.constant(record.image))
        pixels = (image if record.crop is None else crop_pixels(image, tf.constant(record.crop))).numpy()
        if faces := detect(pixels):
            found += 1
            yield pixels, faces[main_face(np.array([face.box for face in faces]), *pixels.shape[:2])]
        elif looked_at == _WITHOUT_FACES and not found:
            return
