"""What is served of a class for each pixel: label maps of the images' own sizes."""

from __future__ import annotations

import tensorflow as tf

from components.images.crop import crop_pixels
from components.record import IGNORE_LABEL
from components.tasks import base

_BACKGROUND = 0


class Serving(base.Serving):
    """`<task>` [batch, H', W'] uint8, of the size of the highest and the widest image.

    A smaller image's labels lie at the top left; the rest is 255. Around a crop is background. Images are asked for one
    by one: the logits of a batch, at the images' own sizes, would not fit into memory.
    """

    ONE_BY_ONE = True

    def spec(self, shape):
        return tf.RaggedTensorSpec([None], tf.uint8, ragged_rank=0)

    def one(self, output, size, crop):
        """Logits [1, H, W, C] of an image's crop -> the labels of the image of `size`, row by row."""
        around = tf.fill([size[0] * size[1]], tf.constant(_BACKGROUND, tf.uint8))
        # The numbers of the pixels that the network was shown.
        shown = crop_pixels(tf.reshape(tf.range(tf.size(around)), [size[0], size[1], 1]), crop)
        labels = label_maps(output, tf.shape(shown)[:2])
        return tf.tensor_scatter_nd_update(around, tf.reshape(shown, [-1, 1]), tf.reshape(labels, [-1]))

    def outputs(self, output, crops, sizes):
        return {self.task.name: stacked(output, sizes)}

    def contract(self):
        names = list(self.task.names)
        label_map = {"kind": "label_map", "dtype": "uint8", "shape": [None, None, None], "names": names}
        return {self.task.name: {**label_map, "padding": IGNORE_LABEL}}


def label_maps(logits: tf.Tensor, size: tuple[int, int] | tf.Tensor) -> tf.Tensor:
    """Logits [batch, H, W, C] -> labels [batch, H', W'] uint8 at `size` (H', W').

    The logits are resized as images are: bilinearly, with half-pixel centres.
    """
    return tf.cast(tf.argmax(tf.image.resize(logits, size), axis=-1, output_type=tf.int32), tf.uint8)


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
