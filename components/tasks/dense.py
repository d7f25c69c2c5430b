"""From Transform's sparse labels to dense ones."""

from __future__ import annotations

import tensorflow as tf

NOT_ANNOTATED = -1


def dense(label: tf.SparseTensor, width: int, missing: float | int | str, name: str) -> tf.Tensor:
    """A sparse [batch, ?] label as dense [batch, width]; a record without it gets `missing` throughout.

    Raises InvalidArgumentError at run time for a record whose label has another length: half a label is no annotation.
    """
    batch = label.dense_shape[0]
    lengths = tf.math.unsorted_segment_sum(tf.ones_like(label.indices[:, 0]), label.indices[:, 0], batch)
    right = tf.debugging.Assert(
        tf.reduce_all((lengths == 0) | (lengths == width)),
        [f"{name}: a record should have {width} values or none; the lengths are", lengths],
    )
    with tf.control_dependencies([right]):
        shaped = tf.sparse.reset_shape(label, tf.stack([batch, width]))
    return tf.ensure_shape(tf.sparse.to_dense(shaped, default_value=missing), [None, width])
