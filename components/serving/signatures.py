"""The exported model: raw pictures or face records in, scores, decisions and landmarks out."""

from __future__ import annotations

import os
from collections.abc import Sequence

import tensorflow as tf
from tensorflow import keras
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from components.preprocessing.images import decode_and_resize_batch
from keras_models.mgg_net import attention_groups, attention_maps

SERVED_OUTPUTS = ("attributes", "landmarks")
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


class ServedAttributes(tf.Module):
    """What a trained network answers with, behind its decoding, with the decision thresholds it was trained to.

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
        super().__init__()
        self.network = served_network(network)
        self.thresholds = thresholds
        self._image_size = tuple(image_size)
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

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def from_examples(self, examples):
        """Serialized face records -> as `from_images`."""
        features = tf.io.parse_example(examples, {"image/encoded": tf.io.FixedLenFeature([], tf.string)})
        return self.from_images(features["image/encoded"])

    @tf.function(input_signature=[])
    def attribute_names(self):
        """The N names in the order of the outputs."""
        return {"attribute_names": tf.constant(self._names)}

    def signatures(self):
        """By their served names; "attention" only if the network attends to groups."""
        signatures = {
            "serving_default": self.from_images,
            "from_examples": self.from_examples,
            "attribute_names": self.attribute_names,
        }
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


def export(model: ServedAttributes, folder: str, warmup_images: Sequence[bytes]) -> None:
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


def restore_trained(network: keras.Model, thresholds: tf.Variable, folder: str) -> None:
    """Loads the weights and thresholds of an exported model of the same architecture.

    What is not served was not exported: the branches of `network` that only training needs keep their weights.

    Raises:
        ValueError: if the exported network has other layers or shapes.
    """
    checkpoint = tf.train.Checkpoint(network=served_network(network), thresholds=thresholds)
    try:
        status = checkpoint.read(os.path.join(folder, "variables", "variables"))
        status.assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError) as error:
        raise ValueError(f"The model in {folder!r} has another architecture than the experiment's: {error}") from error
