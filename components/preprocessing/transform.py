"""Transform's preprocessing_fn: from face records to what training reads."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_transform as tft

from components.config import from_json
from components.datasets.annotation import annotated_names
from components.preprocessing.crop import WHOLE, to_crop
from components.preprocessing.images import decode_and_resize, decode_and_resize_labels

NOT_ANNOTATED = -1
NO_LABEL_MAP = ""
_JPEG_QUALITY = 95


def preprocessing_fn(inputs: dict, custom_config: dict) -> dict:
    """Pictures at the experiment's working size, dense labels, and the statistics that models need.

    Of a record with a crop, picture, landmarks and label map become those of the crop.

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
        With its emotions:
        emotion: [batch] int64, -1 where not annotated.
        With its categories of clothing:
        clothing: [batch] int64, -1 where not annotated.
        With teachers, for each by its label, attributes or clothing:
        <label>/soft: [batch, N] float32, its scores; -1 throughout for a record that it didn't answer for.
    """
    data = from_json(custom_config["data"])
    crops = _crops(inputs["image/crop"])
    outputs = {
        "image/encoded": _resized(inputs["image/encoded"], crops, data.image_size),
        "image/id": tf.reshape(inputs["image/id"], [-1]),
    }
    if data.attributes:
        num_attributes = len(annotated_names(data, "attributes"))
        attributes = _dense(inputs["attributes"], num_attributes, NOT_ANNOTATED, "attributes")
        outputs["attributes"] = attributes
        outputs["positive_rate"] = tf.zeros_like(attributes, tf.float32) + _positive_rate(attributes)
    if data.num_landmarks:
        values = _dense(inputs["landmarks"], 2 * data.num_landmarks, float("nan"), "landmarks")
        points = to_crop(tf.reshape(values, [-1, data.num_landmarks, 2]), crops)
        outputs["landmarks"] = tf.reshape(points, [-1, 2 * data.num_landmarks])
    if data.parsing:
        maps = _dense(inputs["parsing/encoded"], 1, NO_LABEL_MAP, "parsing/encoded")
        outputs["parsing/encoded"] = _resized_labels(maps, crops, data.image_size)
    if data.emotion:
        outputs["emotion"] = tf.reshape(_dense(inputs["emotion"], 1, NOT_ANNOTATED, "emotion"), [-1])
    if data.clothing:
        outputs["clothing"] = tf.reshape(_dense(inputs["clothing"], 1, NOT_ANNOTATED, "clothing"), [-1])
    for teacher in data.teachers:
        soft, width = f"{teacher.label}/soft", len(annotated_names(data, teacher.label))
        outputs[soft] = _dense(inputs[soft], width, float(NOT_ANNOTATED), soft)
    return outputs


def _crops(crop):
    """A sparse [batch, 4] feature as dense; a record without it is used as a whole."""
    crops = _dense(crop, 4, float("nan"), "image/crop")
    return tf.where(tf.math.is_nan(crops), tf.constant(WHOLE), crops)


def _positive_rate(attributes):
    """[batch, N] attributes of the whole split -> [N] float32."""
    # One analyzer for both: every further one costs Transform a second, however few the records.
    shares = tf.cast(tf.concat([attributes == 1, attributes >= 0], axis=1), tf.float32)
    positive, annotated = tf.split(tft.mean(shares, reduce_instance_dims=False), 2)
    return tf.math.divide_no_nan(positive, annotated)


def _resized(encoded, crops, size):
    """[batch, 1] encoded pictures -> [batch] JPEGs of `size`: small artifacts, and the fastest training steps."""

    def resize(picture_and_crop):
        picture, crop = picture_and_crop
        pixels = decode_and_resize(picture, size, crop)
        return tf.io.encode_jpeg(pixels, quality=_JPEG_QUALITY, chroma_downsampling=False)

    return tf.map_fn(resize, (tf.reshape(encoded, [-1]), crops), fn_output_signature=tf.TensorSpec([], tf.string))


def _resized_labels(encoded, crops, size):
    """[batch, 1] label maps -> [batch] PNGs of `size`; a record without one keeps its empty string."""

    def resize(label_map_and_crop):
        label_map, crop = label_map_and_crop
        return tf.cond(
            label_map == NO_LABEL_MAP,
            lambda: label_map,
            lambda: tf.io.encode_png(decode_and_resize_labels(label_map, size, crop)[..., None]),
        )

    return tf.map_fn(resize, (tf.reshape(encoded, [-1]), crops), fn_output_signature=tf.TensorSpec([], tf.string))


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
