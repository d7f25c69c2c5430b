"""The exported model: image files or face records in, the tasks' outputs out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import tensorflow as tf
from tensorflow import keras

from components.images.crop import WHOLE
from components.images.limits import MAX_BYTES, MAX_PIXELS, MAX_SIDE
from components.images.status import STATUS, WORDS, Status
from components.serving.bfloat16 import FasterInBFloat16
from components.serving.reception import admitted, receive, whole
from components.tasks.base import Serving
from keras_models.folding import fold_batch_norm

MAX_MAP_PIXELS = 2**27  # of a request's label maps together: 134 million
# As the contract states them: what is beyond isn't answered, and its status says so.
LIMITS = {"bytes": MAX_BYTES, "pixels": MAX_PIXELS, "side": MAX_SIDE, "label_map_pixels_of_a_request": MAX_MAP_PIXELS}
_ITERATION = r"_iter\d+"  # behind a task's name: what its output was at an iteration
_TOGETHER = 64  # images that the network is asked about at once

# What is read of a record; one without a crop is used as a whole.
_FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/crop": tf.io.FixedLenFeature([4], tf.float32, WHOLE),
}


def served_part(network: keras.Model, tasks: Iterable[str]) -> keras.Model:
    """The part of a network that leads to the tasks' outputs, without branches that only its training needs.

    Args:
        network: functional, image -> dict of outputs.
        tasks: names of outputs.

    Returns:
        keras.Model: image -> those outputs and what they were at each iteration, "<task>_iter<I>"; it shares the layers
            of `network`.
    """
    served = re.compile(rf"({'|'.join(map(re.escape, tasks))})({_ITERATION})?")
    outputs = {name: output for name, output in network.output.items() if served.fullmatch(name)}
    return keras.Model(network.input, outputs, name=network.name)


def served_network(network: keras.Model, tasks: Iterable[str]) -> keras.Model:
    """`served_part` with its batch norm folded: what is exported."""
    return fold_batch_norm(served_part(network, tasks))


def weights_by_place(network: keras.Model) -> dict[str, tf.Variable]:
    """A network's weights by their place and what they are, "12.kernel": another build's layers have other names."""
    return {f"{place}.{w.name.split('/')[-1].split(':')[0]}": w for place, w in enumerate(network.weights)}


class ServingModule(tf.Module):
    """A trained network behind its decoding, and its tasks in front of it.

    Args:
        network: image [batch, H, W, 3] in [0, 255] -> dict of outputs; those that are no task's are not kept.
        image_size: (H, W).
        servings: of the tasks, in their order.
        one_by_one: ask for one image after the other, whatever the tasks.
        fast: the network in bfloat16, which answers where that is faster; None to answer in float32 everywhere.
        flip_average: answer by the mean of the outputs for an image and for the image in a mirror.
    """

    def __init__(
        self,
        network: keras.Model,
        image_size: tuple[int, int],
        servings: Sequence[Serving],
        one_by_one: bool = False,
        fast: keras.Model | None = None,
        flip_average: bool = False,
    ):
        super().__init__()
        self.servings = {serving.task.name: serving for serving in servings}
        served = served_part(network, self.servings)
        # Of the network its weights are saved and the one function below, whose graph all signatures share. As an
        # attribute it would be saved as Keras saves it, with every layer traced once more: that takes longer than all
        # the rest, to write and to load.
        self.weights = weights_by_place(served)
        self._forward = self._exact = tf.function(lambda image: served(image, training=False))
        if fast is not None:
            self.fast_weights = weights_by_place(fast)
            self._fast = tf.function(lambda image: fast(image, training=False))
            self._fast_here = FasterInBFloat16()
            self._forward = self._faster
        self._ask = self._with_mirror if flip_average else self._forward
        self._network = lambda: served
        self._image_size = tuple(image_size)
        self._one_by_one = one_by_one or any(serving.ONE_BY_ONE for serving in servings)

    @property
    def network(self) -> keras.Model:
        """The served part of the network."""
        return self._network()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def from_images(self, image_bytes):
        """JPEG or PNG files -> what is served, of the whole images."""
        return self.predict(image_bytes, whole(image_bytes))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def from_examples(self, examples):
        """Serialized face records -> what is served, of their crops, which is what the network was trained on."""
        return self.predict(*images_and_crops(examples))

    def predict(
        self, image_bytes: tf.Tensor, crops: tf.Tensor, suffixes: Sequence[str] = ("",)
    ) -> dict[str, tf.Tensor]:
        """What is served by name, each [batch, ...], and `STATUS`: [batch] whether an image was answered, or why not.

        What is no image, or too large, changes nothing for the others; its answers are 0, its label maps 255.

        Args:
            image_bytes: [batch] strings, JPEG or PNG files; none are answered with no answers.
            crops: [batch, 4], the parts that the network is shown (components.images.crop); coordinates and label maps
                are those of the uncropped images.
            suffixes: of the network's outputs to serve: "_iter<I>" for what they were at an iteration. The names have
                them, too.
        """
        names = {f"{task}{suffix}": serving for suffix in suffixes for task, serving in self.servings.items()}
        images, sizes, crops, status = self._received(image_bytes, crops)
        ask = self._ask_each if self._one_by_one else self._ask_together
        outputs = ask(images, sizes, crops, names)
        answers = {
            f"{name}{suffix}": blanked(value, status, serving.BLANK)
            for suffix in suffixes
            for task, serving in self.servings.items()
            for name, value in serving.outputs(outputs[f"{task}{suffix}"], crops, sizes).items()
        }
        return {name: value[: tf.size(image_bytes)] for name, value in {**answers, STATUS: status}.items()}

    def shown(self, image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """[batch] image files -> [batch, H, W, 3] float32, which the network takes, and [batch] `Status`; 1 or more."""
        images, _, _, status = self._received(image_bytes, whole(image_bytes))
        return tf.cast(images, tf.float32), status

    def signatures(self) -> dict[str, Callable]:
        """By their served names."""
        return {"serving_default": self.from_images, "from_examples": self.from_examples}

    def contract(self) -> dict[str, dict]:
        """What the answers keep to, by signature and output: see components.tasks.base.Serving.contract."""
        outputs = {name: each for serving in self.servings.values() for name, each in serving.contract().items()}
        codes = {str(int(status)): words for status, words in WORDS.items()}
        outputs[STATUS] = {"kind": "status", "dtype": "int64", "shape": [None], "codes": codes}
        return {"serving_default": outputs, "from_examples": outputs}

    def _faster(self, image):
        """The network's outputs, in the precision that is faster here."""
        return tf.cond(self._fast_here(), lambda: self._fast(image), lambda: self._exact(image))

    def _with_mirror(self, image):
        """The mean of the network's outputs for the images and, turned back, for what a mirror shows of them.

        In a loop, so that one pass's features are not kept while the other is made.
        """
        outputs = tf.map_fn(
            self._forward,
            tf.stack([image, tf.reverse(image, [2])]),
            fn_output_signature={k: tf.TensorSpec(v.shape, v.dtype) for k, v in self.network.output.items()},
            parallel_iterations=1,
        )
        names = {name: name if name in self.servings else re.sub(f"{_ITERATION}$", "", name) for name in outputs}
        return {name: (both[0] + self.servings[names[name]].mirrored(both[1])) / 2 for name, both in outputs.items()}

    def _received(self, image_bytes, crops):
        """Images, sizes, crops and status, of one image at least, since networks can't be asked about none.

        Whole and 1 × 1 is what isn't answered.
        """
        crops = _one_at_least(crops, WHOLE)
        images, sizes, status = receive(_one_at_least(image_bytes, ""), crops, self._image_size)
        if any(serving.ONE_BY_ONE for serving in self.servings.values()):
            status = admitted(sizes, status, MAX_MAP_PIXELS)
        answered = (status == Status.ANSWERED)[:, tf.newaxis]
        return images, tf.where(answered, sizes, 1), tf.where(answered, crops, tf.constant(WHOLE)), status

    def _ask_together(self, images, sizes, crops, names):
        """The network's outputs of `names`, asked for a few images at a time."""

        def ask(first):
            outputs = self._ask(tf.cast(images[first : first + _TOGETHER], tf.float32))
            return {name: outputs[name] for name in names}

        shapes = {name: [None, *self.network.output[name].shape[1:]] for name in names}
        outputs = tf.map_fn(
            ask,
            tf.range(0, tf.shape(images)[0], _TOGETHER),
            fn_output_signature={name: tf.RaggedTensorSpec(each, ragged_rank=0) for name, each in shapes.items()},
            parallel_iterations=1,
        )
        return {name: tf.ensure_shape(output.values, shapes[name]) for name, output in outputs.items()}

    def _ask_each(self, images, sizes, crops, names):
        """The same, asked for one image after the other."""

        def ask(of_image):
            image, size, crop = of_image
            outputs = self._ask(tf.cast(image[tf.newaxis], tf.float32))
            return {name: serving.one(outputs[name], size, crop) for name, serving in names.items()}

        specs = {name: serving.spec(self.network.output[name].shape[1:]) for name, serving in names.items()}
        return tf.map_fn(ask, (images, sizes, crops), fn_output_signature=specs, parallel_iterations=1)


def blanked(values: tf.Tensor, status: tf.Tensor, blank: float = 0) -> tf.Tensor:
    """[batch, ...] with `blank` where an image wasn't answered."""
    answered = tf.reshape(status == Status.ANSWERED, [-1, *[1] * (len(values.shape) - 1)])
    return tf.where(answered, values, tf.cast(blank, values.dtype))


def _one_at_least(rows, row):
    """The rows; if there is none, `row` alone."""
    return tf.cond(tf.shape(rows)[0] > 0, lambda: rows, lambda: tf.constant([row], rows.dtype))


def images_and_crops(examples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """[batch] serialized face records -> their encoded images [batch], their crops [batch, 4]."""
    features = tf.io.parse_example(examples, _FEATURES)
    return features["image/encoded"], features["image/crop"]
