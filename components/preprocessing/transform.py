"""Transform's preprocessing_fn: from face records to what training reads."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_transform as tft

from components.config import from_json
from components.datasets import builder_class
from components.preprocessing.images import decode_and_resize, decode_and_resize_labels

NOT_ANNOTATED = -1
NO_LABEL_MAP = ""
_JPEG_QUALITY = 95


def preprocessing_fn(inputs: dict, custom_config: dict) -> dict:
    """Pictures at the experiment's working size, dense labels, and the statistics that models need.

    Args:
        inputs: the features of schemas/face_record.pbtxt; labels are sparse, as a record may lack them.
        custom_config: {"data": the experiment's Data as JSON}.

    Returns:
        image/encoded: [batch] JPEG of the working size. image/id: [batch].
        With the experiment's attributes:
        attributes: [batch, N] int64, -1 where not annotated.
        positive_rate: [batch, N] float32, every row the share of positives among the training split's annotated
            records, per attribute.
        With its landmarks:
        landmarks: [batch, 2·T] float32, NaN where not annotated.
        With its label maps:
        parsing/encoded: [batch] PNG of the working size, an empty string where not annotated.
    """
    data = from_json(custom_config["data"])
    outputs = {
        "image/encoded": _resized(inputs["image/encoded"], data.image_size),
        "image/id": tf.reshape(inputs["image/id"], [-1]),
    }
    if data.attributes:
        num_attributes = len(builder_class(data.dataset).ATTRIBUTES)
        attributes = _dense(inputs["attributes"], num_attributes, NOT_ANNOTATED, "attributes")
        outputs["attributes"] = attributes
        outputs["positive_rate"] = tf.zeros_like(attributes, tf.float32) + _positive_rate(attributes)
    if data.num_landmarks:
        outputs["landmarks"] = _dense(inputs["landmarks"], 2 * data.num_landmarks, float("nan"), "landmarks")
    if data.parsing:
        maps = _dense(inputs["parsing/encoded"], 1, NO_LABEL_MAP, "parsing/encoded")
        outputs["parsing/encoded"] = _resized_labels(maps, data.image_size)
    return outputs


def _positive_rate(attributes):
    """[batch, N] attributes of the whole split -> [N] float32."""
    # One analyzer for both: every further one costs Transform a second, however few the records.
    shares = tf.cast(tf.concat([attributes == 1, attributes >= 0], axis=1), tf.float32)
    positive, annotated = tf.split(tft.mean(shares, reduce_instance_dims=False), 2)
    return tf.math.divide_no_nan(positive, annotated)


def _resized(encoded, size):
    """[batch, 1] encoded pictures -> [batch] JPEGs of `size`: small artifacts, and the fastest training steps."""

    def resize(picture):
        return tf.io.encode_jpeg(decode_and_resize(picture, size), quality=_JPEG_QUALITY, chroma_downsampling=False)

    return tf.map_fn(resize, tf.reshape(encoded, [-1]), fn_output_signature=tf.TensorSpec([], tf.string))


def _resized_labels(encoded, size):
    """[batch, 1] label maps -> [batch] PNGs of `size`; a record without one keeps its empty string."""

    def resize(label_map):
        return tf.cond(
            label_map == NO_LABEL_MAP,
            lambda: label_map,
            lambda: tf.io.encode_png(decode_and_resize_labels(label_map, size)[..., None]),
        )

    return tf.map_fn(resize, tf.reshape(encoded, [-1]), fn_output_signature=tf.TensorSpec([], tf.string))


def _dense(label, width, missing, name):
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
