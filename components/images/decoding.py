"""Decoding and resizing, of images and of label maps: what ingestion, Transform, evaluation and serving share."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import tensorflow as tf
from PIL import Image

from components.images.crop import crop_pixels
from components.images.orientation import is_turned, upright
from components.record import RecordError

_OF_THE_GRAPH = re.compile(r"^\{\{[^}]*\}\} *|\[Op:\w+\].*$")  # what TensorFlow says of its op around the reason
_PNG_SIZE = 16  # where a PNG's header has width and height, four bytes each
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"  # how such a file begins


def checked_decode(decoder: Callable[..., tf.Tensor], encoded: bytes, what: str, **options) -> tf.Tensor:
    """What `decoder` makes of a file; RecordError that says `what` it is, if it can't be decoded."""
    try:
        return decoder(encoded, **options)
    except tf.errors.InvalidArgumentError as error:
        reason = _OF_THE_GRAPH.sub("", str(error.message).splitlines()[0]).strip()
        raise RecordError(f"the {what} can't be decoded: {reason}") from error


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """JPEG or PNG bytes to RGB pixels.

    Grey images get three equal channels, CMYK is converted, alpha is dropped, 16 bits become 8. A photograph is turned
    as its Exif data say.

    Args:
        encoded: scalar string.

    Returns:
        [height, width, 3] uint8, of the image's own size.
    """
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    return upright(image, encoded)


def size_of(encoded: tf.Tensor) -> tf.Tensor:
    """[2] int64, height and width in the header of a JPEG or PNG file, a scalar string: no pixel is decoded.

    As they are stored: `upright_size_of` has them as `decode` gives them, which takes longer.

    Raises:
        tf.errors.InvalidArgumentError: if the header is damaged or cut.
    """
    return tf.cond(
        tf.strings.substr(encoded, 0, len(PNG)) == PNG,
        lambda: _png_size(encoded),
        lambda: tf.cast(tf.image.extract_jpeg_shape(encoded)[:2], tf.int64),
    )


def upright_size_of(encoded: tf.Tensor) -> tf.Tensor:
    """`size_of` the photograph turned as its Exif data say."""
    stored = size_of(encoded)
    return tf.where(is_turned(encoded), stored[::-1], stored)


def image_size(encoded: bytes) -> tuple[int, int]:
    """(height, width) of a JPEG or PNG file as `decode` gives it, of which the headers alone are read.

    Raises:
        RecordError: if they are damaged or cut.
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=("JPEG", "PNG")) as image:
            (width, height), has_exif = image.size, "exif" in image.info
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RecordError("the image is neither JPEG nor PNG, or its headers are damaged") from error
    # As `decode` reads it, which takes longer than all the rest.
    return (width, height) if has_exif and is_turned(tf.constant(encoded)) else (height, width)


def _png_size(encoded):
    digits = tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, _PNG_SIZE, 8), tf.uint8), tf.int64)
    width, height = tf.unstack(tf.reduce_sum(tf.reshape(digits, [2, 4]) * [2**24, 2**16, 2**8, 1], axis=1))
    return tf.stack([height, width])


def resize(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """[H, W, 3] uint8 to [height, width, 3] uint8 of `size` (height, width); the aspect ratio is not kept."""
    shrinks = tf.reduce_any(tf.shape(image)[:2] > tf.constant(size))
    # Where nothing shrinks there is nothing to alias, and the plain kernel takes a third of the time.
    resized = tf.cond(
        shrinks, lambda: tf.image.resize(image, size, antialias=True), lambda: tf.image.resize(image, size)
    )
    resized.set_shape([*size, 3])
    return tf.saturate_cast(tf.round(resized), tf.uint8)


def decode_and_resize(encoded: tf.Tensor, size: tuple[int, int], crop: tf.Tensor | None = None) -> tf.Tensor:
    """`decode`, then `resize`: scalar string -> [height, width, 3] uint8.

    Args:
        crop: [4] float32, the part of the image that is used (components.images.crop); None for the whole.
    """
    image = decode(encoded)
    return resize(image if crop is None else crop_pixels(image, crop), size)


def decode_and_resize_labels(encoded: tf.Tensor, size: tuple[int, int], crop: tf.Tensor | None = None) -> tf.Tensor:
    """A label map's PNG to labels: each pixel gets the label at its centre, as `decode_and_resize` places it.

    Args:
        encoded: scalar string, 8-bit grey.
        size: (height, width) of the result.
        crop: as of `decode_and_resize`.

    Returns:
        [height, width] uint8, of the map's own labels.
    """
    labels = tf.io.decode_png(encoded, channels=1)
    cropped = labels if crop is None else crop_pixels(labels, crop)
    return tf.image.resize(cropped, size, tf.image.ResizeMethod.NEAREST_NEIGHBOR)[..., 0]
