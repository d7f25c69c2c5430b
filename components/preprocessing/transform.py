"""Transform's preprocessing_fn: from face records to what training reads."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_transform as tft

from components.config import from_json
from components.datasets import builder_class
from components.preprocessing.images import decode_and_resize

NOT_ANNOTATED = -1
_JPEG_QUALITY = 95


def preprocessing_fn(inputs: dict, custom_config: dict) -> dict:
    """Pictures at the experiment's working size, dense labels, and the statistics that models need.

    Args:
        inputs: the features of schemas/face_record.pbtxt; labels are sparse, as a record may lack them.
        custom_config: {"data": the experiment's Data as JSON}.

    Returns:
        image/encoded: [batch] JPEG of the working size. image/id: [batch].
        attributes: [batch, N] int64, -1 where not annotated.
        landmarks: [batch, 2·T] float32, NaN where not annotated.
        positive_rate: [batch, N] float32, every row the share of positives among the training split's annotated
            records, per attribute.
    """
    data = from_json(custom_config["data"])
    num_attributes = len(builder_class(data.dataset).ATTRIBUTES)
    attributes = _dense(inputs["attributes"], num_attributes, NOT_ANNOTATED, "attributes")
    # One analyzer for both: every further one costs Transform a second, however few the records.
    shares = tf.cast(tf.concat([attributes == 1, attributes >= 0], axis=1), tf.float32)
    positive, annotated = tf.split(tft.mean(shares, reduce_instance_dims=False), 2)
    rate = tf.math.divide_no_nan(positive, annotated)
    outputs = {
        "image/encoded": _resized(inputs["image/encoded"], data.image_size),
        "image/id": tf.reshape(inputs["image/id"], [-1]),
        "attributes": attributes,
        "positive_rate": tf.zeros_like(attributes, tf.float32) + rate,
    }
    if data.num_landmarks:
        outputs["landmarks"] = _dense(inputs["landmarks"], 2 * data.num_landmarks, float("nan"), "landmarks")
    return outputs


def _resized(encoded, size):
    """[batch, 1] encoded pictures -> [batch] JPEGs of `size`: small artifacts, and the fastest training steps."""

    def resize(picture):
        return tf.io.encode_jpeg(decode_and_resize(picture, size), quality=_JPEG_QUALITY, chroma_downsampling=False)

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
