"""What an experiment says, as frozen values that travel as JSON: into cache keys, to Kubeflow, beside the model.

Nothing here imports TensorFlow or TFX: listing experiments stays light.
"""

from __future__ import annotations

import dataclasses
import json
import pkgutil
from typing import Any


@dataclasses.dataclass(frozen=True)
class Factory:
    """A class or function by dotted path with the arguments to call it with, built where it is needed.

    Attributes:
        path: "module.name", or "module:name" for what only an attribute of the module leads to.
        kwargs: arguments that the experiment sets.
    """

    path: str
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)

    def build(self, *args, **more):
        """Calls it; arguments given here add to the experiment's, which win."""
        return pkgutil.resolve_name(self.path)(*args, **{**more, **self.kwargs})


def factory(path: str, **kwargs) -> Factory:
    """`Factory` in the form in which experiments are written."""
    return Factory(path, kwargs)


@dataclasses.dataclass(frozen=True)
class Data:
    """The records and how they reach the network.

    Attributes:
        dataset: a builder's name (components.datasets).
        options: the builder's arguments.
        image_size: (height, width) that Transform and serving resize to.
        attributes: whether the records' attributes are used.
        num_landmarks: points of a record's mark-up; 0 if none are used.
        annotate_landmarks: have dlib annotate the records that lack landmarks.
        parsing: whether the records' label maps are used.
    """

    dataset: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    image_size: tuple[int, int] = (224, 224)
    attributes: bool = True
    num_landmarks: int = 68
    annotate_landmarks: bool = False
    parsing: bool = False


@dataclasses.dataclass(frozen=True)
class Training:
    """How the network is trained.

    Attributes:
        epochs, batch_size: as in the paper's table of settings.
        optimizer: a Keras optimizer.
        learning_rate: a float, or a Factory of a Keras schedule, which gets `steps`, the number of steps of the run.
        loss: a loss of components.trainer.objectives.
        callbacks: Keras callbacks, in order.
        flip: mirror half of the training images, with their landmarks and label maps.
        max_shift: largest translation of a training image, as a share of its sides.
        max_rotation: largest rotation of a training image, in degrees, to either side.
        scale: smallest and largest factor that a training image is enlarged by.
        precision: Keras mixed-precision policy.
        strategy: what gives the tf.distribute strategy to train under: one device, or tf.distribute.MirroredStrategy
            for the devices of a machine. The batch is shared out among them.
        validation_split: what the callbacks look at; "train" where a data set has no split for it.
        warm_start: the experiment whose latest blessed model training starts from.
        seed: of weights, order and augmentation.
    """

    epochs: int
    batch_size: int
    optimizer: Factory
    loss: Factory
    learning_rate: float | Factory = 0.001
    callbacks: tuple[Factory, ...] = ()
    flip: bool = True
    max_shift: float = 0.0
    max_rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    precision: str = "float32"
    strategy: Factory = Factory("tensorflow:distribute.get_strategy")
    validation_split: str = "eval"
    warm_start: str | None = None
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What is measured and what it takes to be blessed.

    Attributes:
        min_balanced_accuracy: the bar for the attributes' mean balanced accuracy; None without attributes.
        min_mean_f1: the bar for the mean F1 of the parsed classes, background left out; None without parsing.
        split: what TFMA evaluates and the blessing rests on.
        slice_by: attributes whose two sides are compared.
    """

    min_balanced_accuracy: float | None = None
    min_mean_f1: float | None = None
    split: str = "test"
    slice_by: tuple[str, ...] = ("Male", "Young")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One run: data, network, training, evaluation.

    Attributes:
        summary: one line for `make experiments`.
        target: what the paper reports for it, for the report.
        model: a function of keras_models, called with input_shape.
        evaluation: None only where nothing but training looks at the experiment.
    """

    summary: str
    target: str
    data: Data
    model: Factory
    training: Training
    evaluation: Evaluation | None


_TYPES = {cls.__name__: cls for cls in (Factory, Data, Training, Evaluation, Experiment)}


def to_json(value) -> str:
    """An experiment, or a part of one, as JSON with its types named."""

    def encode(item):
        fields = {f.name: getattr(item, f.name) for f in dataclasses.fields(item)}
        return {"type": type(item).__name__, **fields}

    return json.dumps(value, default=encode, sort_keys=True)


def from_json(text: str):
    """Inverse of `to_json`."""

    def decode(item):
        cls = _TYPES.get(item.get("type"))
        if cls is None:
            return item
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in item.items() if k != "type"})

    return json.loads(text, object_hook=decode)
