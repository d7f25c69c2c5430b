"""Whether a record can be used: every reason not to is found here, before anything is written."""

from __future__ import annotations

import io

import numpy as np
import tensorflow as tf
from PIL import Image

from components.record import FaceRecord, RecordError

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_PNG_KINDS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}


_ROUNDING = 1e-6  # of the sum of two shares


def check_record(record: FaceRecord, num_attributes: int, num_emotions: int = 0, num_categories: int = 0) -> None:
    """Raises RecordError with the reason if a part of the record can't be used.

    Args:
        num_attributes: N, the length of the data set's attribute list.
        num_emotions, num_categories: how many emotions and categories of clothing the data set names.
    """
    _check_image(record.image)
    if record.attributes is not None:
        _check_attributes(np.asarray(record.attributes), num_attributes)
    if record.landmarks is not None and not np.isfinite(record.landmarks).all():
        raise RecordError("a landmark coordinate is not a finite number")
    if record.parsing is not None:
        _check_parsing(record.parsing, record.image)
    if record.emotion is not None:
        _check_class(record.emotion, num_emotions, "emotion", "emotions")
    if record.clothing is not None:
        _check_class(record.clothing, num_categories, "clothing", "categories of clothing")
    if record.crop is not None:
        _check_crop(np.asarray(record.crop, np.float64))


def _check_image(encoded: bytes) -> None:
    """Decodes with the decoder that Transform uses, so that what passes here can't fail there."""
    if not encoded:
        raise RecordError("the picture's file is empty")
    if encoded.startswith(_JPEG):
        # The whole stream is read, at an eighth of the size: finds what is cut off in a fraction of the time.
        _decode(tf.io.decode_jpeg, encoded, "picture", channels=3, ratio=8)
    elif encoded.startswith(_PNG):
        _decode(tf.io.decode_png, encoded, "picture", channels=3)
    else:
        raise RecordError(f"the picture is neither JPEG nor PNG: it starts with {encoded[:8]!r}")


def _check_attributes(attributes, num_attributes):
    if attributes.shape != (num_attributes,):
        raise RecordError(f"{attributes.size} attribute values, expected {num_attributes}")
    wrong = attributes[(attributes != 0) & (attributes != 1)]
    if wrong.size:
        raise RecordError(f"attribute label {wrong[0]}, expected 0 or 1")


def _check_parsing(encoded, picture):
    if not encoded.startswith(_PNG):
        raise RecordError(f"the label map is no PNG: it starts with {encoded[:8]!r}")
    height, width, _ = _decode(tf.io.decode_png, encoded, "label map").shape
    with Image.open(io.BytesIO(picture)) as header:
        expected = header.size
    if (width, height) != expected:
        raise RecordError(f"the label map is {width}x{height}, the picture {expected[0]}x{expected[1]}")
    # TensorFlow would turn a palette into its colours, and scale other depths to 8 bits: no class indices any more.
    depth, kind = encoded[24:26]  # of the header chunk
    if (depth, kind) != (8, 0):
        raise RecordError(f"the label map is {depth}-bit {_PNG_KINDS[kind]}, expected 8-bit grey")


def _check_class(index, count, label, plural):
    if not count:
        raise RecordError(f"{label} label {index}, but the data set names no {plural}")
    if not 0 <= index < count:
        raise RecordError(f"{label} label {index}, expected 0 to {count - 1}")


def _check_crop(crop):
    if crop.shape != (4,) or not np.isfinite(crop).all():
        raise RecordError(f"the crop {crop.tolist()} is not four finite numbers: top, left, height, width")
    corner, sides = crop[:2], crop[2:]
    if (sides <= 0).any():
        raise RecordError(f"the crop {crop.tolist()} has no area: height and width must be positive")
    if (corner < -_ROUNDING).any() or (corner + sides > 1 + _ROUNDING).any():
        raise RecordError(f"the crop {crop.tolist()} reaches beyond the picture: its sides are shares from 0 to 1")


def _decode(decoder, encoded, what, **options):
    try:
        return decoder(encoded, **options)
    except tf.errors.InvalidArgumentError as error:
        raise RecordError(f"the {what} can't be decoded: {str(error.message).splitlines()[0]}") from error
