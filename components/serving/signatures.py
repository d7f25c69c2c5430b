"""The exported model: raw pictures or face records in; scores, decisions and landmarks or label maps out."""

from __future__ import annotations

import os
from collections.abc import Sequence

import tensorflow as tf
from tensorflow import keras
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from components.preprocessing.images import decode, decode_and_resize_batch, resize
from components.record import IGNORE_LABEL
from keras_models.mgg_net import attention_groups, attention_maps

SERVED_OUTPUTS = ("attributes", "landmarks", "parsing")
_WARMUP = os.path.join("assets.extra", "tf_serving_warmup_requests")


def served_network(network: keras.Model) -> keras.Model:
    """The part of a network that leads to SERVED_OUTPUTS, without branches that only its training needs.

    Args:
        network: functional, image -> dict of outputs.

    Returns:
        keras.Model: image -> those of its outputs that are served; it shares the layers of `network`.
    """
    outputs = {name: network.output[name] for name in SERVED_OUTPUTS if name in network.output}
    return keras.Model(network.input, outputs, name=network.name)


class _Served(tf.Module):
    """A trained network behind its decoding. What it answers with is for each kind to say, in `from_images`.

    Args:
        network: image [batch, H, W, 3] in [0, 255] -> dict of outputs; those that are not served are not kept.
        image_size: (H, W).
    """

    def __init__(self, network: keras.Model, image_size: tuple[int, int]):
        super().__init__()
        self.network = served_network(network)
        self._image_size = tuple(image_size)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def from_examples(self, examples):
        """Serialized face records -> as `from_images`."""
        features = tf.io.parse_example(examples, {"image/encoded": tf.io.FixedLenFeature([], tf.string)})
        return self.from_images(features["image/encoded"])

    def signatures(self):
        """By their served names."""
        return {"serving_default": self.from_images, "from_examples": self.from_examples}


class ServedAttributes(_Served):
    """Scores, decisions at the thresholds that the network was trained to, and landmarks if it finds them.

    Args:
        network: image [batch, H, W, 3] in [0, 255] -> {"attributes": [batch, N], maybe "landmarks": [batch, 2·T]}; what
            else it gives is not kept.
        thresholds: [N]; a decision is 1 where the score is above (DMM-CNN, Eq. 5).
        image_size: (H, W).
        attributes: N names.
    """

    def __init__(
        self, network: keras.Model, thresholds: tf.Variable, image_size: tuple[int, int], attributes: Sequence[str]
    ):
        super().__init__(network, image_size)
        self.thresholds = thresholds
        self._names = list(attributes)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def from_images(self, image_bytes):
        """JPEG or PNG files -> attributes [batch, N], decisions [batch, N] 0/1, landmarks [batch, T, 2] in [0, 1]."""
        image = decode_and_resize_batch(image_bytes, self._image_size)
        outputs = self.network(tf.cast(image, tf.float32), training=False)
        scores = outputs["attributes"]
        answers = {"attributes": scores, "decisions": tf.cast(scores > self.thresholds, tf.int64)}
        if "landmarks" in outputs:
            answers["landmarks"] = tf.reshape(outputs["landmarks"], [-1, outputs["landmarks"].shape[-1] // 2, 2])
        return answers

    @tf.function(input_signature=[])
    def attribute_names(self):
        """The N names in the order of the outputs."""
        return {"attribute_names": tf.constant(self._names)}

    def signatures(self):
        """By their served names; "attention" only if the network attends to groups."""
        signatures = {**super().signatures(), "attribute_names": self.attribute_names}
        maps = attention_maps(self.network)
        return signatures if maps is None else {**signatures, "attention": self._attention(maps)}

    def _attention(self, maps):
        """The signature of the masks and affinities that `maps` gives. Its weights are those of `self.network`."""
        groups = attention_groups(self.network)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
        def attention(image_bytes):
            image = decode_and_resize_batch(image_bytes, self._image_size)
            return {"groups": tf.constant(groups), **maps(tf.cast(image, tf.float32), training=False)}

        return attention


class ServedParsing(_Served):
    """A label for each pixel of a picture, at the picture's own size.

    Args:
        network: image [batch, H, W, 3] in [0, 255] -> {"parsing": logits [batch, H, W, C]}; edges are not kept.
        image_size: (H, W).
        classes: C names, fewer than 255.

    Raises:
        ValueError: if the network has not a logit for each class.
    """

    def __init__(self, network: keras.Model, image_size: tuple[int, int], classes: Sequence[str]):
        super().__init__(network, image_size)
        logits = self.network.output["parsing"].shape[-1]
        if logits != len(classes):
            raise ValueError(
                f"The network has {logits} logits a pixel, but the classes are {len(classes)}: {tuple(classes)}."
            )
        self._names = list(classes)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def from_images(self, image_bytes):
        """JPEG or PNG files -> parsing [batch, H', W'] uint8, of the size of the highest and the widest picture.

        A smaller picture's labels lie at the top left; the rest is 255.
        """
        # One picture after the other: the logits of a batch, at the pictures' sizes, would not fit into memory.
        labels, sizes = tf.map_fn(
            self._labels,
            image_bytes,
            fn_output_signature=(tf.RaggedTensorSpec([None], tf.uint8, ragged_rank=0), tf.TensorSpec([2], tf.int32)),
            parallel_iterations=1,
        )
        largest = tf.reduce_max(sizes, axis=0)

        def padded(one):
            flat, size = one
            margins = tf.stack([tf.zeros_like(size), largest - size], axis=1)
            return tf.pad(tf.reshape(flat, size), margins, constant_values=IGNORE_LABEL)

        return {
            "parsing": tf.map_fn(padded, (labels, sizes), fn_output_signature=tf.TensorSpec([None, None], tf.uint8))
        }

    def _labels(self, encoded):
        """Scalar string -> (its labels [H' · W'] uint8, its size [2])."""
        picture = decode(encoded)
        image = tf.cast(resize(picture, self._image_size), tf.float32)
        logits = self.network(image[tf.newaxis], training=False)["parsing"]
        size = tf.shape(picture)[:2]
        return tf.reshape(label_maps(logits, size), [-1]), size

    @tf.function(input_signature=[])
    def class_names(self):
        """The C names in the order of the labels."""
        return {"class_names": tf.constant(self._names)}

    def signatures(self):
        """By their served names."""
        return {**super().signatures(), "class_names": self.class_names}


def label_maps(logits: tf.Tensor, size: tuple[int, int] | tf.Tensor) -> tf.Tensor:
    """Logits [batch, H, W, C] -> labels [batch, H', W'] uint8 at `size` (H', W').

    The logits are resized as `resize` does it with pictures: bilinearly, with half-pixel centres.
    """
    return tf.cast(tf.argmax(tf.image.resize(logits, size), axis=-1, output_type=tf.int32), tf.uint8)


def export(model: ServedAttributes | ServedParsing, folder: str, warmup_images: Sequence[bytes]) -> None:
    """Writes the SavedModel with requests that TensorFlow Serving replays when it loads it.

    Args:
        folder: of the SavedModel.
        warmup_images: encoded pictures; the requests hold one alone and all together.
    """
    tf.saved_model.save(model, folder, signatures=model.signatures())
    tf.io.gfile.makedirs(os.path.join(folder, os.path.dirname(_WARMUP)))
    with tf.io.TFRecordWriter(os.path.join(folder, _WARMUP)) as writer:
        for images in (warmup_images[:1], warmup_images):
            writer.write(_predict_request(images).SerializeToString())


def _predict_request(images):
    request = predict_pb2.PredictRequest(
        model_spec=model_pb2.ModelSpec(name="facetfx", signature_name="serving_default"),
        inputs={"image_bytes": tf.make_tensor_proto(list(images), tf.string)},
    )
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))


def restore_trained(network: keras.Model, folder: str, thresholds: tf.Variable | None = None) -> None:
    """Loads the weights, and the thresholds if there are any, of an exported model of the same architecture.

    What is not served was not exported: the branches of `network` that only training needs keep their weights.

    Raises:
        ValueError: if the exported network has other layers or shapes.
    """
    parts = {"network": served_network(network)} | ({} if thresholds is None else {"thresholds": thresholds})
    checkpoint = tf.train.Checkpoint(**parts)
    try:
        status = checkpoint.read(os.path.join(folder, "variables", "variables"))
        status.assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError) as error:
        raise ValueError(f"The model in {folder!r} has another architecture than the experiment's: {error}") from error
