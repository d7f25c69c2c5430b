"""The exported model: raw pictures or face records in; scores, decisions and landmarks or label maps out."""

from __future__ import annotations

import abc
import os
import re
from collections.abc import Sequence

import tensorflow as tf
from tensorflow import keras
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from components.images.crop import WHOLE, crop_pixels, to_picture
from components.images.decoding import decode, decode_and_resize_batch, resize
from components.record import IGNORE_LABEL
from keras_models.mgg_net import attention_groups, attention_maps

SERVED_OUTPUTS = ("attributes", "clothing", "emotion", "landmarks", "parsing")
_SERVED = re.compile(rf"({'|'.join(SERVED_OUTPUTS)})(_iter\d+)?")
_WARMUP = os.path.join("assets.extra", "tf_serving_warmup_requests")
_TRAINED = os.path.join("assets.extra", "trained", "trained")  # prefix of a checkpoint
_BACKGROUND = 0
# What is read of a record; one without a crop is used as a whole.
_FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/crop": tf.io.FixedLenFeature([4], tf.float32, WHOLE),
}
_FLAT_LABELS = tf.RaggedTensorSpec([None], tf.uint8, ragged_rank=0)


def served_network(network: keras.Model) -> keras.Model:
    """The part of a network that leads to SERVED_OUTPUTS, without branches that only its training needs.

    Args:
        network: functional, image -> dict of outputs.

    Returns:
        keras.Model: image -> those of its outputs that are served, "<output>_iter<I>" among them; it shares the layers
            of `network`.
    """
    outputs = {name: output for name, output in network.output.items() if _SERVED.fullmatch(name)}
    return keras.Model(network.input, outputs, name=network.name)


class Served(tf.Module, abc.ABC):
    """A trained network behind its decoding. What it answers with is for each kind to say, in `answers`.

    Args:
        network: image [batch, H, W, 3] in [0, 255] -> dict of outputs; those that are not served are not kept.
        image_size: (H, W).
    """

    def __init__(self, network: keras.Model, image_size: tuple[int, int]):
        super().__init__()
        self.network = served_network(network)
        self._image_size = tuple(image_size)

    @abc.abstractmethod
    def answers(self, image_bytes: tf.Tensor, crops: tf.Tensor) -> dict[str, tf.Tensor]:
        """By name, each [batch, ...].

        Args:
            image_bytes: [batch] strings, JPEG or PNG files.
            crops: [batch, 4], the parts that the network is shown (components.images.crop). What is said of
                places is said of places in the whole pictures.
        """

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def from_images(self, image_bytes):
        """JPEG or PNG files -> `answers` for the whole pictures."""
        return self.answers(image_bytes, tf.repeat([WHOLE], tf.size(image_bytes), axis=0))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def from_examples(self, examples):
        """Serialized face records -> `answers` for their crops, which is what the network was trained on."""
        return self.answers(*pictures_and_crops(examples))

    def signatures(self):
        """By their served names."""
        return {"serving_default": self.from_images, "from_examples": self.from_examples}

    def by_picture(self, image_bytes: tf.Tensor, crops: tf.Tensor, outputs: Sequence[str]) -> dict[str, tf.Tensor]:
        """The network's outputs of these names, asked for one picture after the other.

        The logits of a batch, at the pictures' own sizes, would not fit into memory. And what a picture gets should not
        depend on its batch: where a network is fed its predictions back, a rounding error can move a pixel of a
        landmark's disc, which is no small difference any more.

        Args:
            image_bytes, crops: as of `answers`.

        Returns:
            As of the network, but of logits [batch, H, W, C] the labels, as `stacked` has them.
        """
        shapes = {name: self.network.output[name].shape[1:] for name in outputs}
        maps = [name for name, shape in shapes.items() if len(shape) == 3]

        def ask(picture):
            encoded, crop = picture
            pixels = decode(encoded)
            size = tf.shape(pixels)[:2]
            image = tf.cast(resize(crop_pixels(pixels, crop), self._image_size), tf.float32)
            said = self._ask(image[tf.newaxis])
            flat = {name: _labels_in_place(said[name], size, crop) for name in maps}
            return {name: said[name][0] for name in outputs} | flat, size

        specs = {name: _FLAT_LABELS if name in maps else tf.TensorSpec(shape) for name, shape in shapes.items()}
        said, sizes = tf.map_fn(
            ask,
            (image_bytes, crops),
            fn_output_signature=(specs, tf.TensorSpec([2], tf.int32)),
            parallel_iterations=1,
        )
        return said | {name: stacked(said[name], sizes) for name in maps}

    @tf.function
    def _ask(self, image):
        """A function of its own, so that all signatures share one graph of the network."""
        return self.network(image, training=False)


class ServedAttributes(Served):
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

    def answers(self, image_bytes, crops):
        """Attributes [batch, N], decisions [batch, N] 0/1, landmarks [batch, T, 2] in [0, 1] of the pictures."""
        image = decode_and_resize_batch(image_bytes, self._image_size, crops)
        outputs = self.network(tf.cast(image, tf.float32), training=False)
        scores = outputs["attributes"]
        answers = {"attributes": scores, "decisions": decisions(scores, self.thresholds)}
        if "landmarks" in outputs:
            answers["landmarks"] = points(outputs["landmarks"], crops)
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


class ServedParsing(Served):
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

    def answers(self, image_bytes, crops):
        """Parsing [batch, H', W'] uint8, of the size of the highest and the widest picture.

        A smaller picture's labels lie at the top left; the rest is 255. Around a crop is background.
        """
        return self.by_picture(image_bytes, crops, ["parsing"])

    @tf.function(input_signature=[])
    def class_names(self):
        """The C names in the order of the labels."""
        return {"class_names": tf.constant(self._names)}

    def signatures(self):
        """By their served names."""
        return {**super().signatures(), "class_names": self.class_names}


def pictures_and_crops(examples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """[batch] serialized face records -> their encoded pictures [batch], their crops [batch, 4]."""
    features = tf.io.parse_example(examples, _FEATURES)
    return features["image/encoded"], features["image/crop"]


def decisions(scores: tf.Tensor, thresholds: tf.Variable) -> tf.Tensor:
    """[batch, N] -> [batch, N] int64, 1 where a score is above its threshold and else 0."""
    return tf.cast(scores > thresholds, tf.int64)


def points(output: tf.Tensor, crops: tf.Tensor) -> tf.Tensor:
    """[batch, 2·L] x and y in turn, in [0, 1] of the crops -> [batch, L, 2] in [0, 1] of the pictures."""
    return to_picture(tf.reshape(output, [-1, output.shape[-1] // 2, 2]), crops)


def label_maps(logits: tf.Tensor, size: tuple[int, int] | tf.Tensor) -> tf.Tensor:
    """Logits [batch, H, W, C] -> labels [batch, H', W'] uint8 at `size` (H', W').

    The logits are resized as `resize` does it with pictures: bilinearly, with half-pixel centres.
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


def _labels_in_place(logits, size, crop):
    """Logits [1, H, W, C] of a picture's crop -> the labels of the picture of `size`, row by row."""
    around = tf.fill([size[0] * size[1]], tf.constant(_BACKGROUND, tf.uint8))
    # The numbers of the pixels that the network was shown.
    shown = crop_pixels(tf.reshape(tf.range(tf.size(around)), [size[0], size[1], 1]), crop)
    labels = label_maps(logits, tf.shape(shown)[:2])
    return tf.tensor_scatter_nd_update(around, tf.reshape(shown, [-1, 1]), tf.reshape(labels, [-1]))


def export(
    model: Served,
    folder: str,
    warmup_images: Sequence[bytes],
    trained: keras.Model | None = None,
    thresholds: tf.Variable | None = None,
) -> None:
    """Writes the SavedModel with requests that TensorFlow Serving replays when it loads it.

    Args:
        folder: of the SavedModel.
        warmup_images: encoded pictures; the requests hold one alone and all together.
        trained, thresholds: the network as it was trained and its thresholds, if those of `model` are others (batch
            norm may be folded): for `restore_trained`, which is to go on with what was trained.
    """
    tf.saved_model.save(model, folder, signatures=model.signatures())
    tf.io.gfile.makedirs(os.path.join(folder, os.path.dirname(_WARMUP)))
    with tf.io.TFRecordWriter(os.path.join(folder, _WARMUP)) as writer:
        for images in (warmup_images[:1], warmup_images):
            writer.write(_predict_request(images).SerializeToString())
    if trained is not None:
        _checkpoint(trained, thresholds).write(os.path.join(folder, _TRAINED))


def _checkpoint(network, thresholds):
    """Of a network's served part. In a SavedModel of Served it lies under the same names."""
    parts = {"network": served_network(network)} | ({} if thresholds is None else {"thresholds": thresholds})
    return tf.train.Checkpoint(**parts)


def _predict_request(images):
    request = predict_pb2.PredictRequest(
        model_spec=model_pb2.ModelSpec(name="facetfx", signature_name="serving_default"),
        inputs={"image_bytes": tf.make_tensor_proto(list(images), tf.string)},
    )
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))


def restore_trained(network: keras.Model, folder: str, thresholds: tf.Variable | None = None) -> None:
    """Loads the weights, and the thresholds if there are any, of an exported model of the same architecture.

    Where `export` was given the network as trained, that is what is loaded. What is not served was not exported: the
    branches of `network` that only training needs keep their weights.

    Raises:
        ValueError: if the exported network has other layers or shapes.
    """
    as_trained = tf.io.gfile.exists(os.path.join(folder, f"{_TRAINED}.index"))
    prefix = _TRAINED if as_trained else os.path.join("variables", "variables")
    try:
        status = _checkpoint(network, thresholds).read(os.path.join(folder, prefix))
        status.assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError) as error:
        raise ValueError(f"The model in {folder!r} has another architecture than the experiment's: {error}") from error
