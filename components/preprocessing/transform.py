"""Transform's preprocessing_fn: from face records to what training reads."""

from __future__ import annotations

import tensorflow as tf

from components.config import from_json
from components.images.crop import WHOLE
from components.images.decoding import decode_and_resize
from components.tasks.base import labels_of
from components.tasks.dense import NOT_ANNOTATED, dense

_JPEG_QUALITY = 95


def preprocessing_fn(inputs: dict, custom_config: dict) -> dict:
    """Images at the experiment's working size, dense labels, and the statistics that models need.

    Of a record with a crop, image and labels become those of the crop.

    Args:
        inputs: the features of the face record; labels are sparse, as a record may lack them.
        custom_config: {"tasks": the experiment's BoundTasks as JSON, "image_size": [height, width]}.

    Returns:
        image/encoded: [batch] JPEG of the working size. image/id: [batch]. For each task what its kind's
        `Labels.transform` gives, and for one with a teacher "<task>/soft", [batch, N] float32: the teacher's scores; -1
        throughout for a record that it didn't answer for.
    """
    tasks, size = from_json(custom_config["tasks"]), tuple(custom_config["image_size"])
    crops = _crops(inputs["image/crop"])
    outputs = {
        "image/encoded": _resized(inputs["image/encoded"], crops, size),
        "image/id": tf.reshape(inputs["image/id"], [-1]),
    }
    for task in tasks:
        labels = labels_of(task.name, task.annotation)
        outputs |= labels.transform(inputs[labels.feature], crops, size)
        if task.taught:
            soft = f"{task.name}/soft"
            outputs[soft] = dense(inputs[soft], len(task.names), float(NOT_ANNOTATED), soft)
    return outputs


def _crops(crop):
    """A sparse [batch, 4] feature as dense; a record without it is used as a whole."""
    crops = dense(crop, 4, float("nan"), "image/crop")
    return tf.where(tf.math.is_nan(crops), tf.constant(WHOLE), crops)


def _resized(encoded, crops, size):
    """[batch, 1] encoded images -> [batch] JPEGs of `size`: small artifacts, and the fastest training steps."""

    def resize(image_and_crop):
        image, crop = image_and_crop
        pixels = decode_and_resize(image, size, crop)
        return tf.io.encode_jpeg(pixels, quality=_JPEG_QUALITY, chroma_downsampling=False)

    return tf.map_fn(resize, (tf.reshape(encoded, [-1]), crops), fn_output_signature=tf.TensorSpec([], tf.string))
