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


# What a record may be annotated with and a network learns.
LABELS = ("attributes", "landmarks", "parsing", "emotion", "clothing")
BINARY_LABELS = ("attributes", "clothing")  # those that are yes-or-no tasks, in the order in which these stand


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set of a run.

    Attributes:
        name: what its records and its splits are called.
        options: the builder's arguments.
        builder: the builder's name (components.datasets); None if it is the data set's own.
        labels: which of LABELS its records keep; None for all that they have. Of several data sets, each has to say.
    """

    name: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    builder: str | None = None
    labels: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A trained network that answers for the training records which lack a label (soft labels).

    Attributes:
        label: "attributes" or "clothing".
        experiment: whose latest blessed model answers.
    """

    label: str
    experiment: str


@dataclasses.dataclass(frozen=True)
class Data:
    """The records and how they reach the network.

    Attributes:
        sources: the data sets. The records of one have the splits train, eval and test, those of several
            <source>_train and so on.
        image_size: (height, width) that Transform and serving resize to.
        attributes: whether the records' attributes are used.
        num_landmarks: points of a record's mark-up; 0 if none are used.
        annotate_landmarks: have dlib annotate the records that lack landmarks.
        parsing: whether the records' label maps are used.
        emotion: whether the records' emotions are used.
        clothing: whether the records' clothing categories are used.
        teachers: what fills in the labels that training records lack, at most one a label; the loss TaskCrossEntropy
            learns from them.
    """

    sources: tuple[Source, ...]
    image_size: tuple[int, int] = (224, 224)
    attributes: bool = True
    num_landmarks: int = 68
    annotate_landmarks: bool = False
    parsing: bool = False
    emotion: bool = False
    clothing: bool = False
    teachers: tuple[Teacher, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of LABELS that are used."""
        used = {
            "attributes": self.attributes,
            "landmarks": self.num_landmarks > 0,
            "parsing": self.parsing,
            "emotion": self.emotion,
            "clothing": self.clothing,
        }
        return tuple(label for label in LABELS if used[label])

    def only(self, label: str) -> Data:
        """The same with one of the labels alone."""
        return dataclasses.replace(
            self,
            attributes=self.attributes and label == "attributes",
            num_landmarks=self.num_landmarks if label == "landmarks" else 0,
            parsing=self.parsing and label == "parsing",
            emotion=self.emotion and label == "emotion",
            clothing=self.clothing and label == "clothing",
            teachers=tuple(teacher for teacher in self.teachers if teacher.label == label),
        )

    def source_of(self, label: str) -> Source:
        """The data set that has a label; ValueError if several data sets don't say, or not one alone does."""
        if len(self.sources) == 1:
            return self.sources[0]
        having = [source for source in self.sources if label in (source.labels or ())]
        if len(having) != 1:
            names, all_names = (", ".join(source.name for source in sources) for sources in (having, self.sources))
            raise ValueError(
                f"Of the data sets {all_names}, {names or 'none'} give {label!r}; expected one that has it among its "
                "`labels`."
            )
        return having[0]

    def splits(self, split: str) -> dict[str, str]:
        """The name of a split ("train", "eval", "test") of each data set, by the data set's name."""
        if len(self.sources) == 1:
            return {self.sources[0].name: split}
        return {source.name: f"{source.name}_{split}" for source in self.sources}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batches:
    """What a training batch is made of.

    Attributes:
        batch_size: images.
        flip: mirror half of the training images, with their landmarks and label maps.
        max_shift: largest translation of a training image, as a share of its sides.
        max_rotation: largest rotation of a training image, in degrees, to either side.
        scale: smallest and largest factor that a training image is enlarged by.
    """

    batch_size: int
    flip: bool = True
    max_shift: float = 0.0
    max_rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training(Batches):
    """How a network is trained: the plain recipe, components.trainer.supervised.

    Attributes:
        epochs: passes over the training split.
        optimizer: a Keras optimizer.
        learning_rate: a float, or a Factory of a Keras schedule, which gets `steps`, the number of steps of the run.
        loss: a loss of components.trainer.objectives.
        callbacks: Keras callbacks, in order.
        precision: Keras mixed-precision policy.
        strategy: what gives the tf.distribute strategy to train under: one device, or tf.distribute.MirroredStrategy
            for the devices of a machine. The batch is shared out among them.
        validation_split: what the callbacks look at; "train" where a data set has no split for it.
        warm_start: the experiment whose latest blessed model training starts from.
        start: how: a function of the network, that model's folder and the decision thresholds (None without
            attributes). By default they take the weights and thresholds of a model of the same architecture.
        seed: of weights, order and augmentation.
    """

    epochs: int
    optimizer: Factory
    loss: Factory
    learning_rate: float | Factory = 0.001
    callbacks: tuple[Factory, ...] = ()
    precision: str = "float32"
    strategy: Factory = Factory("tensorflow:distribute.get_strategy")
    validation_split: str = "eval"
    warm_start: str | None = None
    start: Factory = Factory("components.serving.signatures.restore_trained")
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class WideningTraining(Training):
    """Training with adaptive widening (Lu et al. 2017, Algorithm 1): the recipe components.trainer.widening.

    The model is a function of keras_models that makes a thin BranchedNetwork. Here an epoch is a round: so many
    `steps`, not a pass over the training split.

    Attributes:
        steps: batches of a round. After each round the next layer is widened, from the top down, until a round chooses
            a single branch or the lowest layer is reached; the rounds that are left train the tree.
        alpha: α of Eq. 9, the branching factor. 0 never branches.
        precision: float32 or mixed_bfloat16.
        given_tree: train the tree of `warm_start` from the start on and don't widen it: "found" as it is, "shuffled"
            with the left half of its tasks in the places of the right half (Section 4.4). Its weights are not taken.
    """

    steps: int
    alpha: float
    given_tree: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskTraining(Batches):
    """How one task of several is trained, on its own data set.

    Attributes:
        label: what is learnt, one of LABELS.
        pretraining_epochs: EP of iFAN's Algorithm 1, passes over the task's training split before the tasks take turns.
    """

    label: str
    pretraining_epochs: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class HybridTraining:
    """Cross-dataset hybrid training (iFAN, Algorithm 1): the recipe components.trainer.hybrid.

    Attributes:
        tasks: in their order. First each is trained alone, then they take turns, a batch each.
        epochs: of the turns.
        steps: batches that each task gets in such an epoch, however large its data set.
        optimizer: a Keras optimizer.
        pretraining_rate, learning_rate: of a task alone and in its turns: Keras schedules, which get `steps`, the
            number of the task's updates there.
        initial_feedback: what stands for the predictions that iteration 0 has not got: "mean", the training splits'
            mean label, or "zeros".
        precision, strategy, validation_split, warm_start, seed: as of Training.
    """

    tasks: tuple[TaskTraining, ...]
    epochs: int
    steps: int
    optimizer: Factory
    pretraining_rate: Factory
    learning_rate: Factory
    initial_feedback: str = "mean"
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
        max_nme: the bar for the landmarks' normalised mean error, a fraction; None for no bar.
        min_emotion_accuracy: the bar for the share of emotions that are recognised; None without emotions.
        min_clothing_top3: the bar for the share of clothing whose category is among the three likeliest; None without
            clothing.
        split: what TFMA evaluates and the blessing rests on.
        slice_by: attributes whose two sides are compared.
    """

    min_balanced_accuracy: float | None = None
    min_mean_f1: float | None = None
    max_nme: float | None = None
    min_emotion_accuracy: float | None = None
    min_clothing_top3: float | None = None
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
    training: Training | WideningTraining | HybridTraining
    evaluation: Evaluation | None


_TYPES = {
    cls.__name__: cls
    for cls in (
        Factory,
        Source,
        Teacher,
        Data,
        TaskTraining,
        Training,
        WideningTraining,
        HybridTraining,
        Evaluation,
        Experiment,
    )
}


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
