"""Edge labels, computed from the augmented label map, so that they lie on its class boundaries."""

from __future__ import annotations

import tensorflow as tf

IGNORED = 255


def edge_labels(label_map: tf.Tensor, num_classes: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Binary and category edges of a label map (DML-CSR, Fig. 4). Runs eagerly and in tf.data.

    A pixel is on an edge if one of its four neighbours is of another class, so both sides of a boundary are. It is on
    the category edge of its own class: the inner boundary of that class's mask. 255 is not a class and makes no edge,
    nor does the border of the image.

    Args:
        label_map: [H, W] or [batch, H, W] integers below num_classes, or 255.
        num_classes: C, including background (0).

    Returns:
        Binary [.., H, W] and category [.., H, W, C], uint8, 0 or 1. Background has no category edge: channel 0 is 0,
        since every boundary of background is that of a part as well.

    Raises:
        ValueError: for a label map of another rank or fewer than two classes.
    """
    labels = tf.cast(label_map, tf.int32)
    if labels.shape.rank not in (2, 3):
        raise ValueError(f"A label map is [H, W] or [batch, H, W], received shape {labels.shape}.")
    if num_classes < 2:
        raise ValueError(f"Edges need at least two classes, received num_classes={num_classes}.")
    parts = tf.one_hot(labels, num_classes, dtype=tf.uint8) * tf.constant([0] + [1] * (num_classes - 1), tf.uint8)
    binary = tf.cast(_differs(labels, axis=-1) | _differs(labels, axis=-2), tf.uint8)
    return binary, parts * binary[..., None]


def _differs(labels, axis):
    """Whether the neighbour before or after along `axis` is of another class."""
    size = tf.shape(labels)[axis]
    before, after = (tf.gather(labels, tf.range(start, size - 1 + start), axis=axis) for start in (0, 1))
    boundary = (before != after) & (before != IGNORED) & (after != IGNORED)
    none = tf.zeros_like(tf.gather(labels, [0], axis=axis), tf.bool)
    return tf.concat([boundary, none], axis) | tf.concat([none, boundary], axis)
