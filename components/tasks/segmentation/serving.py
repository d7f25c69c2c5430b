"""What is served of a class for each pixel: label maps of the images' own sizes."""

from __future__ import annotations

import tensorflow as tf

from components.images.crop import crop_window
from components.record import IGNORE_LABEL
from components.tasks import base
from components.tasks.segmentation.label_maps import mirrored_labels

_BACKGROUND = 0
_BAND = 64  # rows of a label map that are made at once


class Serving(base.Serving):
    """`<task>` [batch, H', W'] uint8, of the size of the highest and the widest image.

    A smaller image's labels lie at the top left; the rest is 255. Around a crop is background. Images are asked for one
    by one: the logits of a batch, at the images' own sizes, would not fit into memory.
    """

    ONE_BY_ONE = True
    BLANK = IGNORE_LABEL

    def check_mirror(self):
        mirrored_labels(self.task.names)

    def mirrored(self, output):
        return tf.gather(tf.reverse(output, [2]), mirrored_labels(self.task.names), axis=-1)

    def spec(self, shape):
        return tf.RaggedTensorSpec([None], tf.uint8, ragged_rank=0)

    def one(self, output, size, crop):
        """Logits [1, H, W, C] of an image's crop -> the labels of the image of `size`, row by row."""
        start, end = crop_window(size, crop)
        labels = label_maps(output, end - start)[0]
        around = tf.stack([start, size - end], axis=1)
        return tf.reshape(tf.pad(labels, around, constant_values=_BACKGROUND), [-1])

    def outputs(self, output, crops, sizes):
        return {self.task.name: stacked(output, sizes)}

    def contract(self):
        names = list(self.task.names)
        label_map = {"kind": "label_map", "dtype": "uint8", "shape": [None, None, None], "names": names}
        return {self.task.name: {**label_map, "padding": IGNORE_LABEL}}


def label_maps(logits: tf.Tensor, size: tuple[int, int] | tf.Tensor) -> tf.Tensor:
    """Logits [batch, H, W, C] -> labels [batch, H', W'] uint8 at `size` (H', W').

    The logits are resized as images are: bilinearly, with half-pixel centres. A few rows at a time: resized as a whole,
    they would take C numbers for each pixel of a photograph.
    """
    height, width = tf.unstack(tf.convert_to_tensor(size))
    upper, lower, down = _between(tf.range(height), height, tf.shape(logits)[1])
    left, right, across = _between(tf.range(width), width, tf.shape(logits)[2])

    def labels_of_rows(first):
        rows = tf.minimum(tf.range(first, first + _BAND), height - 1)
        above, below = (tf.gather(logits, tf.gather(each, rows), axis=1) for each in (upper, lower))
        band = above + (below - above) * tf.gather(down, rows)[:, None, None]
        before, behind = (tf.gather(band, each, axis=2) for each in (left, right))
        resized = before + (behind - before) * across[:, None]
        return tf.cast(tf.argmax(resized, axis=-1, output_type=tf.int32), tf.uint8)

    bands = tf.map_fn(
        labels_of_rows,
        tf.range(0, height, _BAND),
        fn_output_signature=tf.TensorSpec([logits.shape[0], _BAND, None], tf.uint8),
        parallel_iterations=1,
    )
    by_image = tf.reshape(tf.transpose(bands, [1, 0, 2, 3]), [tf.shape(logits)[0], -1, width])
    return by_image[:, :height]


def _between(places, new, old):
    """For places of a side of `new` pixels, the two of a side of `old` pixels between which they lie, and how far."""
    at = (tf.cast(places, tf.float32) + 0.5) * tf.cast(old / new, tf.float32) - 0.5
    at = tf.clip_by_value(at, 0.0, tf.cast(old - 1, tf.float32))
    first = tf.cast(at, tf.int32)
    return first, tf.minimum(first + 1, old - 1), at - tf.cast(first, tf.float32)


def stacked(flat: tf.RaggedTensor, sizes: tf.Tensor) -> tf.Tensor:
    """Label maps of several sizes as [batch, H', W'] uint8, each at the top left and IGNORE_LABEL around it.

    Args:
        flat: [batch, None] uint8, the maps row by row.
        sizes: [batch, 2], their heights and widths; the largest of each are H' and W'.
    """
    largest = tf.reduce_max(sizes, axis=0)

    def padded(one):
        labels, size = one
        margins = tf.stack([tf.zeros_like(size), largest - size], axis=1)
        return tf.pad(tf.reshape(labels, size), margins, constant_values=IGNORE_LABEL)

    return tf.map_fn(padded, (flat, sizes), fn_output_signature=tf.TensorSpec([None, None], tf.uint8))
