"""Label maps from the record to the batch."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from components.images.addons import transform
from components.images.decoding import PNG, checked_decode, decode_and_resize_labels, image_size
from components.record import IGNORE_LABEL, RecordError, feature_name
from components.tasks import base
from components.tasks.dense import dense
from components.tasks.segmentation.label_maps import mirrored_labels

NO_LABEL_MAP = ""
_PNG_KINDS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}


class Labels(base.Labels):
    """A PNG of the upright image's size, 8-bit grey, 255 = ignore; in a batch [batch, H, W] uint8.

    A record that is not annotated has a map that is 255 throughout.
    """

    @property
    def feature(self):
        return feature_name(self.name, b"")

    def schema(self):
        return schema_pb2.Feature(name=self.feature, type=schema_pb2.BYTES)

    def check(self, value, image):
        if not value.startswith(PNG):
            raise RecordError(f"{self.name}: the label map is no PNG: it starts with {value[:8]!r}")
        height, width, _ = checked_decode(tf.io.decode_png, value, "label map").shape
        rows, columns = image_size(image)
        if (height, width) != (rows, columns):
            raise RecordError(f"{self.name}: the label map is {width}x{height}, the image, upright, {columns}x{rows}")
        # TensorFlow would turn a palette into its colours, and scale other depths to 8 bits: no class indices any more.
        depth, kind = value[24:26]  # of the header chunk
        if (depth, kind) != (8, 0):
            raise RecordError(f"{self.name}: the label map is {depth}-bit {_PNG_KINDS[kind]}, expected 8-bit grey")

    def transform(self, feature, crops, size):
        return {self.feature: _resized(dense(feature, 1, NO_LABEL_MAP, self.feature), crops, size)}

    def parsing_spec(self):
        return {self.feature: tf.io.FixedLenFeature([], tf.string)}

    def parse(self, features, size):
        labels = tf.cond(
            features[self.feature] == NO_LABEL_MAP,
            lambda: tf.fill([*size, 1], tf.constant(IGNORE_LABEL, tf.uint8)),
            lambda: tf.io.decode_png(features[self.feature], channels=1),
        )
        return {self.name: tf.ensure_shape(labels, [*size, 1])[..., 0]}

    def shown(self, label):
        counts = tf.math.bincount(tf.cast(tf.reshape(label, [-1]), tf.int32), minlength=IGNORE_LABEL + 1)
        return counts[: len(self.annotation.names)] > 0

    def mirror(self, label):
        return mirror_label_map(label, self.annotation.names)

    def shift(self, label, pixels, size):
        (rows, inside_rows), (columns, inside_columns) = (
            (source, tf.clip_by_value(source, 0, side - 1))
            for side, source in ((side, tf.range(side) - pixels[axis]) for axis, side in enumerate(size))
        )
        inside = (rows == inside_rows)[:, None] & (columns == inside_columns)
        moved = tf.gather(tf.gather(label, inside_rows, axis=0), inside_columns, axis=1)
        return tf.where(inside, moved, IGNORE_LABEL)

    def resized(self, label, size):
        return tf.image.resize(label[..., tf.newaxis], size, tf.image.ResizeMethod.NEAREST_NEIGHBOR)[..., 0]

    def warp(self, label, matrix, size):
        return transform(label[..., None], matrix, "nearest", fill_value=IGNORE_LABEL)[..., 0]


def mirror_label_map(label_map: tf.Tensor, classes: Sequence[str]) -> tf.Tensor:
    """[H, W] uint8 label map of the image flipped left to right; left classes become right ones, 255 stays."""
    others = range(len(classes), IGNORE_LABEL + 1)
    table = tf.constant([*mirrored_labels(classes), *others], tf.uint8)
    return tf.gather(table, tf.cast(tf.reverse(label_map, [1]), tf.int32))


def _resized(encoded, crops, size):
    """[batch, 1] label maps -> [batch] PNGs of `size`; a record without one keeps its empty string."""

    def resize(label_map_and_crop):
        label_map, crop = label_map_and_crop
        return tf.cond(
            label_map == NO_LABEL_MAP,
            lambda: label_map,
            lambda: tf.io.encode_png(decode_and_resize_labels(label_map, size, crop)[..., None]),
        )

    return tf.map_fn(resize, (tf.reshape(encoded, [-1]), crops), fn_output_signature=tf.TensorSpec([], tf.string))
