"""Whether a record can be used: every reason not to is found here, before anything is written."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
import simplejpeg
import tensorflow as tf

from components.images.crop import ROUNDING
from components.images.decoding import JPEG, PNG, checked_decode
from components.images.limits import MAX_BYTES, MAX_PIXELS, MAX_SIDE
from components.record import FaceRecord, RecordError
from components.tasks.annotation import Annotation
from components.tasks.base import labels_of

_PNG_SIZE = slice(16, 24)  # where a PNG's header has width and height


def check_record(record: FaceRecord, annotations: Mapping[str, Annotation]) -> None:
    """Raises RecordError with the reason if a part of the record can't be used.

    Args:
        annotations: by label, what the data set says of it.
    """
    _check_image(record.image)
    for name, value in record.labels.items():
        if name not in annotations:
            raise RecordError(f"a label {name!r}, but the data set has {', '.join(annotations) or 'none'}")
        labels_of(name, annotations[name]).check(value, record.image)
    if record.crop is not None:
        _check_crop(np.asarray(record.crop, np.float64))


def _check_image(encoded: bytes) -> None:
    """Decodes with the decoder that Transform uses, so that what passes here can't fail there."""
    if not encoded:
        raise RecordError("the image's file is empty")
    if len(encoded) > MAX_BYTES:
        raise RecordError(f"the image's file has {len(encoded):,} bytes, allowed are {MAX_BYTES:,}")
    # Sizes by the header, before memory is taken for the pixels.
    if encoded.startswith(JPEG):
        height, width, _ = checked_decode(tf.image.extract_jpeg_shape, encoded, "image").numpy()
        _check_size(height, width)
        # The whole stream is read, at an eighth of the size: finds what is cut off in a fraction of the time.
        checked_decode(tf.io.decode_jpeg, encoded, "image", channels=3, ratio=8)
        _check_stream(encoded)
    elif encoded.startswith(PNG):
        if len(encoded) < _PNG_SIZE.stop:
            raise RecordError("the image can't be decoded: it ends in its header")
        width, height = struct.unpack(">II", encoded[_PNG_SIZE])
        _check_size(height, width)
        checked_decode(tf.io.decode_png, encoded, "image", channels=3)
    else:
        raise RecordError(f"the image is neither JPEG nor PNG: it starts with {encoded[:8]!r}")


def _check_size(height, width):
    """What is larger isn't answered by a served model either."""
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise RecordError(
            f"the image has {width:,} x {height:,} pixels, allowed are {MAX_PIXELS:,} and {MAX_SIDE:,} on a side"
        )


def _check_stream(jpeg):
    """Refuses what libjpeg warns of: TensorFlow's decoder keeps that to itself, and makes other pixels of it."""
    try:
        simplejpeg.decode_jpeg(jpeg, colorspace="GRAY", min_height=1, min_width=1, min_factor=8)
    except ValueError as error:
        raise RecordError(f"the image is damaged: {error}") from error


def _check_crop(crop):
    if crop.shape != (4,) or not np.isfinite(crop).all():
        raise RecordError(f"the crop {crop.tolist()} is not four finite numbers: top, left, height, width")
    corner, sides = crop[:2], crop[2:]
    if (sides <= 0).any():
        raise RecordError(f"the crop {crop.tolist()} has no area: height and width must be positive")
    if (corner < -ROUNDING).any() or (corner + sides > 1 + ROUNDING).any():
        raise RecordError(f"the crop {crop.tolist()} reaches beyond the image: its sides are shares from 0 to 1")
