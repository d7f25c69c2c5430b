"""The exported model: image files or face records in; what each task makes of the network's output, out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import tensorflow as tf
from tensorflow import keras

from components.images.crop import WHOLE, crop_pixels
from components.images.decoding import decode, decode_and_resize_batch, resize
from components.tasks.base import Serving

# What is read of a record; one without a crop is used as a whole.
_FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/crop": tf.io.FixedLenFeature([4], tf.float32, WHOLE),
}


class ServingModule(tf.Module):
    """A trained network between its decoding and what is served of its tasks.

    Args:
        network: image [batch, H, W, 3] in [0, 255] -> dict of outputs; only those of tasks are kept.
        image_size: (H, W).
        servings: by the tasks' names, what is made of their outputs.
        one_by_one: ask the network for one image after the other, which is also done where a kind needs it.

    Raises:
        ValueError: if the network lacks an output, or has another number of channels than its task's names ask for.
    """

    def __init__(
        self,
        network: keras.Model,
        image_size: tuple[int, int],
        servings: Mapping[str, Serving],
        one_by_one: bool = False,
    ):
        super().__init__()
        self.network = served_network(network, servings)
        self.image_size = tuple(image_size)
        self.servings = dict(servings)
        self._one_by_one = one_by_one or any(serving.ONE_BY_ONE for serving in servings.values())
        for name, serving in servings.items():
            channels = self.network.output[name].shape[-1]
            if channels != serving.channels:
                raise ValueError(
                    f"The network has {channels} channels for {name}, expected {serving.channels}: the names are "
                    f"{len(serving.task.names)}, {tuple(serving.task.names)}."
                )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def from_images(self, image_bytes):
        """JPEG or PNG files -> `predict` for the whole images."""
        return self.predict(image_bytes, tf.repeat([WHOLE], tf.size(image_bytes), axis=0))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def from_examples(self, examples):
        """Serialized face records -> `predict` for their crops, which is what the network was trained on."""
        return self.predict(*images_and_crops(examples))

    def signatures(self) -> dict[str, Callable]:
        """By their served names; `<task>_names` for each task whose names say something."""
        names = {f"{task}_names": _constant(f"{task}_names", names) for task, names in self.names().items()}
        return {"serving_default": self.from_images, "from_examples": self.from_examples, **names}

    def contract(self) -> dict[str, dict[str, dict]]:
        """What the outputs of the signatures keep to, by signature and output."""
        outputs = {name: output for serving in self.servings.values() for name, output in serving.contract().items()}
        return {
            "serving_default": outputs,
            "from_examples": {name: {**outputs[name], "equals": ["serving_default", name]} for name in outputs},
            **{f"{task}_names": {f"{task}_names": names_contract(names)} for task, names in self.names().items()},
        }

    def names(self) -> dict[str, Sequence[str]]:
        """By task, the names that its output is served with."""
        contracts = {task: serving.contract()[task] for task, serving in self.servings.items()}
        return {task: contract["names"] for task, contract in contracts.items() if "names" in contract}

    def predict(
        self, image_bytes: tf.Tensor, crops: tf.Tensor, suffixes: Sequence[str] = ("",)
    ) -> dict[str, tf.Tensor]:
        """What is served, by name, each [batch, ...].

        Args:
            image_bytes: [batch] strings, JPEG or PNG files.
            crops: [batch, 4], the parts that the network is shown (components.images.crop); coordinates refer to the
                uncropped image.
            suffixes: of the network's outputs to use, which the served names get, too: "_iter0" and so on.
        """
        servings = {f"{task}{suffix}": each for task, each in self.servings.items() for suffix in suffixes}
        if self._one_by_one:
            outputs, sizes = self.predict_each(image_bytes, crops, servings)
        else:
            images = decode_and_resize_batch(image_bytes, self.image_size, crops)
            outputs, sizes = self._forward(tf.cast(images, tf.float32)), None
        return {
            f"{name}{output.removeprefix(serving.task.name)}": value
            for output, serving in servings.items()
            for name, value in serving.outputs(outputs[output], crops, sizes).items()
        }

    def predict_each(
        self, image_bytes: tf.Tensor, crops: tf.Tensor, servings: Mapping[str, Serving]
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """The network's outputs as `Serving.one` takes them, and the images' sizes [batch, 2]: one by one.

        Args:
            image_bytes, crops: [batch] strings, [batch, 4].
            servings: by the names of the network's outputs.
        """

        def predict_one(image_and_crop):
            encoded, crop = image_and_crop
            pixels = decode(encoded)
            size = tf.shape(pixels)[:2]
            image = tf.cast(resize(crop_pixels(pixels, crop), self.image_size), tf.float32)
            outputs = self._forward(image[tf.newaxis])
            return {name: serving.one(outputs[name], size, crop) for name, serving in servings.items()}, size

        specs = {name: serving.spec(self.network.output[name].shape[1:]) for name, serving in servings.items()}
        return tf.map_fn(
            predict_one,
            (image_bytes, crops),
            fn_output_signature=(specs, tf.TensorSpec([2], tf.int32)),
            parallel_iterations=1,
        )

    @tf.function
    def _forward(self, images):
        """A function of its own, so that all signatures share one graph of the network."""
        return self.network(images, training=False)


def served_network(network: keras.Model, tasks: Iterable[str]) -> keras.Model:
    """The part of a network that leads to its tasks' outputs, without branches that only its training needs.

    Args:
        network: functional, image -> dict of outputs.
        tasks: their names.

    Returns:
        keras.Model: image -> those of its outputs that are a task's, "<task>_iter<I>" among them; it shares the layers
            of `network`.

    Raises:
        ValueError: if the network has no output for a task.
    """
    if missing := [task for task in tasks if task not in network.output]:
        raise ValueError(f"The network has no output for {', '.join(missing)}, only {', '.join(network.output)}.")
    served = re.compile(rf"({'|'.join(map(re.escape, tasks))})(_iter\d+)?")
    outputs = {name: output for name, output in network.output.items() if served.fullmatch(name)}
    return keras.Model(network.input, outputs, name=network.name)


def images_and_crops(examples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """[batch] serialized face records -> their encoded images [batch], their crops [batch, 4]."""
    features = tf.io.parse_example(examples, _FEATURES)
    return features["image/encoded"], features["image/crop"]


def names_contract(names: Sequence[str]) -> dict:
    """The contract of an output that gives names."""
    return {"kind": "names", "dtype": "string", "shape": [len(names)], "names": list(names)}


def _constant(name, values):
    """A function of nothing that gives `values` under `name`."""

    @tf.function(input_signature=[])
    def constant():
        return {name: tf.constant(values)}

    return constant
