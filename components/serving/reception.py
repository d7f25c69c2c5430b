"""What a request sends, image by image: decoded where it can be, with a status where it can't."""

from __future__ import annotations

import tensorflow as tf

from components.images.crop import ROUNDING, WHOLE
from components.images.decoding import JPEG, PNG, decode_and_resize, upright_size_of
from components.images.limits import MAX_BYTES, MAX_PIXELS, MAX_SIDE
from components.images.status import Status

_PARALLEL = 4  # images that are decoded at once: each may take MAX_PIXELS


def receive(
    image_bytes: tf.Tensor, crops: tf.Tensor, image_size: tuple[int, int]
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Decodes what can be decoded; nothing that an image is makes the others fail.

    Size and pixels are read in an image's header, before it is decoded.

    Args:
        image_bytes: [batch] strings.
        crops: [batch, 4] float32, the part of each image that is used (components.images.crop).
        image_size: (H, W) of the result.

    Returns:
        Three: [batch, H, W, 3] uint8, the images, zeros where there is none; [batch, 2] int32, the sizes that they came
        in, 1 × 1 where there is none; [batch] int64, `Status`.
    """

    def received(index, encoded, crop):
        status, size = _judged(encoded, crop)
        image = tf.cond(
            status == Status.ANSWERED,
            lambda: decode_and_resize(encoded, image_size, crop),
            lambda: tf.zeros([*image_size, 3], tf.uint8),
        )
        return index, image, size, status

    count = tf.size(image_bytes)
    one_by_one = tf.data.Dataset.from_tensor_slices((tf.range(count), image_bytes, crops)).map(
        received, num_parallel_calls=_PARALLEL
    )
    # What raises is missing, and so hasn't been decoded. The last one makes sure that there is an element.
    last = (count, tf.zeros([*image_size, 3], tf.uint8), tf.ones([2], tf.int32), tf.constant(0, tf.int64))
    known = one_by_one.ignore_errors(log_warning=False).concatenate(tf.data.Dataset.from_tensors(last))
    index, images, sizes, status = known.batch(tf.cast(count, tf.int64) + 1).get_single_element()
    shape = tf.concat([[count + 1], tf.shape(images)[1:]], axis=0)
    images = tf.scatter_nd(index[:, tf.newaxis], images, shape)[:count]
    sizes = tf.tensor_scatter_nd_update(tf.ones([count + 1, 2], tf.int32), index[:, tf.newaxis], sizes)[:count]
    missing = tf.fill([count + 1], tf.constant(Status.NOT_DECODED, tf.int64))
    status = tf.tensor_scatter_nd_update(missing, index[:, tf.newaxis], status)[:count]
    return tf.ensure_shape(images, [None, *image_size, 3]), sizes, status


def _judged(encoded, crop):
    """By an image's first bytes: scalar int64 `Status`, and its size [2] int32, 1 × 1 where it isn't decoded."""
    jpeg = tf.strings.substr(encoded, 0, len(JPEG)) == JPEG
    png = tf.strings.substr(encoded, 0, len(PNG)) == PNG
    length = tf.strings.length(encoded)
    nothing = tf.ones([2], tf.int64)
    size = tf.cond((jpeg | png) & (length <= MAX_BYTES), lambda: upright_size_of(encoded), lambda: nothing)
    corner, sides = crop[:2], crop[2:]
    inside = tf.reduce_all((corner >= -ROUNDING) & (sides > 0) & (corner + sides <= 1 + ROUNDING))  # not of a NaN
    large = (tf.reduce_prod(size) > MAX_PIXELS) | tf.reduce_any(size > MAX_SIDE) | tf.reduce_any(size < 1)
    status = Status.ANSWERED
    for reason, holds in (
        (Status.TOO_LARGE, large),
        (Status.CROP_BEYOND_THE_IMAGE, ~inside),
        (Status.NEITHER_JPEG_NOR_PNG, ~(jpeg | png)),
        (Status.TOO_MANY_BYTES, length > MAX_BYTES),
    ):
        status = tf.where(holds, tf.constant(reason, tf.int64), tf.cast(status, tf.int64))
    return status, tf.cast(tf.where(status == Status.ANSWERED, size, nothing), tf.int32)


def admitted(sizes: tf.Tensor, status: tf.Tensor, most: int) -> tf.Tensor:
    """Which images' label maps fit together, in their order: all are as high as the highest and as wide as the widest.

    Args:
        sizes: [batch, 2].
        status: [batch].
        most: pixels of all maps together.

    Returns:
        [batch] status, REQUEST_TOO_LARGE where an image would make the maps larger than that.
    """

    def add(total, image):
        (count, height, width), (size, answered) = tf.unstack(total), image
        grown = tf.stack([count + 1, tf.maximum(height, size[0]), tf.maximum(width, size[1])])
        return tf.where(answered & (tf.reduce_prod(grown) <= most), grown, total)

    sizes = tf.cast(sizes, tf.int64)
    totals = tf.scan(add, (sizes, status == Status.ANSWERED), tf.zeros([3], tf.int64))
    counts = totals[:, 0]
    took = counts > tf.concat([[tf.constant(0, tf.int64)], counts[:-1]], axis=0)
    return tf.where((status == Status.ANSWERED) & ~took, tf.constant(Status.REQUEST_TOO_LARGE, tf.int64), status)


def whole(image_bytes: tf.Tensor) -> tf.Tensor:
    """[batch, 4] crops of whole images."""
    return tf.repeat([WHOLE], tf.size(image_bytes), axis=0)
