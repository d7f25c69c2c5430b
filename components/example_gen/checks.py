"""Whether a record can be used: every reason not to is found here, before anything is written."""

from __future__ import annotations

import io

import numpy as np
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from components.record import FaceRecord, RecordError

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"


def check_record(record: FaceRecord, num_attributes: int) -> None:
    """Raises RecordError with the reason if a part of the record can't be used.

    Args:
        num_attributes: N, the length of the data set's attribute list.
    """
    height, width = _check_image(record.image)
    if record.attributes is not None:
        _check_attributes(np.asarray(record.attributes), num_attributes)
    if record.landmarks is not None and not np.isfinite(record.landmarks).all():
        raise RecordError("a landmark coordinate is not a finite number")
    if record.parsing is not None:
        _check_parsing(record.parsing, height, width)


def _check_image(encoded: bytes) -> tuple[int, int]:
    """(height, width). Decodes with the decoder that Transform uses, so that what passes here can't fail there."""
    if not encoded:
        raise RecordError("the picture's file is empty")
    try:
        if encoded.startswith(_JPEG):
            # The whole stream is read, at an eighth of the size: finds what is cut off in a fraction of the time.
            tf.io.decode_jpeg(encoded, channels=3, ratio=8)
            height, width, _ = tf.io.extract_jpeg_shape(encoded).numpy()
        elif encoded.startswith(_PNG):
            height, width, _ = tf.io.decode_png(encoded, channels=3).shape
        else:
            raise RecordError(f"the picture is neither JPEG nor PNG: it starts with {encoded[:8]!r}")
    except tf.errors.InvalidArgumentError as error:
        raise RecordError(f"the picture can't be decoded: {_first_line(error)}") from error
    return int(height), int(width)


def _check_attributes(attributes, num_attributes):
    if attributes.shape != (num_attributes,):
        raise RecordError(f"{attributes.size} attribute values, expected {num_attributes}")
    wrong = np.setdiff1d(attributes, [0, 1])
    if wrong.size:
        raise RecordError(f"attribute label {wrong[0]}, expected 0 or 1")


def _check_parsing(encoded, height, width):
    try:
        with Image.open(io.BytesIO(encoded)) as label_map:
            label_map.load()
            size, bands = label_map.size, label_map.getbands()
    except (UnidentifiedImageError, OSError) as error:
        raise RecordError(f"the label map can't be decoded: {error}") from error
    if size != (width, height):
        raise RecordError(f"the label map is {size[0]}x{size[1]}, the picture {width}x{height}")
    if len(bands) != 1:
        raise RecordError(f"the label map has {len(bands)} channels, expected 1")


def _first_line(error):
    return str(error.message).splitlines()[0]
