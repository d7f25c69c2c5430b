"""Which way up a photograph is: cameras store the sensor's rows and say in the file how to turn them."""

from __future__ import annotations

import tensorflow as tf

_EXIF = b"Exif\0\0"
_ORIENTATION = 0x0112  # the tag (Exif 3.0, 4.6.4)
_JFIF = 22  # bytes up to the marker of the segment behind JFIF's, which most files begin with
_ENTRY = 12  # bytes of a directory's entry: tag, type, count, value


def orientation(encoded: tf.Tensor) -> tf.Tensor:
    """Scalar int64, 1 to 8: how the Exif data of a JPEG file, a scalar string, say that it is stored (Exif 3.0, 4.6.5).

    1, as it is, for what has none, or damaged ones, or isn't a JPEG.
    """
    return tf.cond(_has_none(encoded), lambda: tf.constant(1, tf.int64), lambda: _orientation(encoded))


def is_turned(encoded: tf.Tensor) -> tf.Tensor:
    """Scalar bool: whether the rows of an image file are stored as columns."""
    return orientation(encoded) >= 5


def upright(image: tf.Tensor, encoded: tf.Tensor) -> tf.Tensor:
    """[H, W, 3] uint8 pixels of a file as they are stored -> as they were seen, [W, H, 3] if the file `is_turned`."""
    return tf.cond(_has_none(encoded), lambda: image, lambda: turned(image, _orientation(encoded)))


def _has_none(encoded):
    """Whether the first segment, or the one behind JFIF's, is an image's own: a fifth of the time of reading them."""
    head = tf.io.decode_raw(tf.strings.substr(encoded, 0, tf.minimum(_JFIF, tf.strings.length(encoded))), tf.uint8)
    head = tf.pad(head, [[0, _JFIF - tf.size(head)]])
    jfif = tf.reduce_all(head[2:6] == tf.constant([0xFF, 0xE0, 0, 16], tf.uint8))
    marker = tf.where(jfif, head[_JFIF - 1], head[3])
    return (head[1] != 0xD8) | (marker < 0xE0)


# Not inlined: where they aren't called, each of their ops would be passed over one by one.
@tf.function(
    input_signature=[tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([], tf.int64)],
    experimental_attributes={"_noinline": True},
)
def turned(image, stored):
    """[H, W, 3] uint8 pixels as they are stored -> as they were seen, by `orientation`."""
    seen = tf.cond(stored >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    left_right, up_down = (tf.reduce_any(stored == each) for each in ([2, 3, 6, 7], [3, 4, 7, 8]))
    seen = tf.cond(left_right, lambda: seen[:, ::-1], lambda: seen)
    return tf.cond(up_down, lambda: seen[::-1], lambda: seen)


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], experimental_attributes={"_noinline": True})
def _orientation(encoded):
    tiff = _exif(encoded)
    little = tf.strings.substr(tiff, 0, 2) == b"II"
    directory = _number(tiff, 4, 4, little)
    entries = _bytes(tiff, directory + 2, _ENTRY * _number(tiff, directory, 2, little))
    entries = tf.reshape(entries[: tf.size(entries) // _ENTRY * _ENTRY], [-1, _ENTRY])
    tags, values = _pair(entries[:, 0:2], little), _pair(entries[:, 8:10], little)
    found = tf.boolean_mask(values, (tags == _ORIENTATION) & (values >= 1) & (values <= 8))
    return tf.concat([found, tf.constant([1], tf.int64)], axis=0)[0]


def _exif(encoded):
    """The Exif data of a JPEG file, from the TIFF header on, a scalar string; empty if there are none.

    They stand among the first segments, which are application data (0xFFE0 to 0xFFEF) and comments (0xFFFE).
    """

    def more(start, exif):
        marker = _number(encoded, start, 2)
        return (exif == b"") & (((marker >= 0xFFE0) & (marker <= 0xFFEF)) | (marker == 0xFFFE))

    def next_segment(start, exif):
        length = _number(encoded, start + 2, 2)
        content = _part(encoded, start + 4, length - 2)
        is_exif = tf.strings.substr(content, 0, len(_EXIF)) == _EXIF
        exif = tf.cond(is_exif, lambda: _part(content, len(_EXIF), tf.strings.length(content)), lambda: exif)
        return start + 2 + tf.maximum(length, 2), exif

    is_jpeg = _number(encoded, 0, 2) == 0xFFD8
    first = tf.where(is_jpeg, tf.constant(2, tf.int64), tf.cast(tf.strings.length(encoded), tf.int64))
    return tf.while_loop(more, next_segment, (first, tf.constant(b"")))[1]


def _number(text, start, count, little=False):
    """Scalar int64 of `count` bytes; what lies beyond the end counts as 0."""
    digits = _bytes(text, start, count)
    digits = tf.pad(digits, [[0, count - tf.size(digits)]])
    digits = tf.where(little, digits[::-1], digits)
    return tf.reduce_sum(digits * tf.constant([256**place for place in reversed(range(count))], tf.int64))


def _pair(digits, little):
    """[N, 2] bytes -> [N] int64."""
    first, second = digits[:, 0], digits[:, 1]
    return tf.where(little, first + 256 * second, 256 * first + second)


def _bytes(text, start, count):
    """[at most count] int64."""
    return tf.cast(tf.io.decode_raw(_part(text, start, count), tf.uint8), tf.int64)


def _part(text, start, count):
    """The substring; what lies beyond the end is missing."""
    length = tf.cast(tf.strings.length(text), tf.int64)
    start = tf.minimum(tf.cast(start, tf.int64), length)
    return tf.strings.substr(text, start, tf.clip_by_value(tf.cast(count, tf.int64), 0, length - start))
