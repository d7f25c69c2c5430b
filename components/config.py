"""What an experiment says, as frozen values that travel as JSON: into cache keys, to Kubeflow, beside the model.

Nothing here imports TensorFlow or TFX: listing experiments stays light.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import math
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from components import tasks as task_kinds


@dataclasses.dataclass(frozen=True)
class ObjectConfig:
    """A class or function by dotted path with the arguments to call it with, built where it is needed.

    Attributes:
        path: "module.name", or "module:name" for what only an attribute of the module leads to.
        kwargs: arguments that the experiment sets.
    """

    path: str
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)

    def build(self, *args: Any, **more: Any) -> Any:
        """Calls it with the experiment's arguments and those given here.

        Raises:
            TypeError: if the experiment sets an argument that is given here.
        """
        if both := sorted(self.kwargs.keys() & more.keys()):
            raise TypeError(
                f"{self.path} is given {', '.join(both)} by the framework: leave {', '.join(both)} out of the "
                f"experiment, which has {', '.join(f'{name}={self.kwargs[name]!r}' for name in both)}."
            )
        return pkgutil.resolve_name(self.path)(*args, **more, **self.kwargs)


def configured(path: str, **kwargs: Any) -> ObjectConfig:
    """`ObjectConfig` in the form in which experiments are written."""
    return ObjectConfig(path, kwargs)


@dataclasses.dataclass(frozen=True)
class DatasetConfig:
    """A data set of a run.

    Attributes:
        name: what its records and its splits are called.
        options: the builder's arguments.
        builder: the builder's name (components.datasets); None if it is the data set's own.
        labels: which labels its records keep; None for all that they have. Of several data sets, each has to say.
        max_quarantined: the share of its records that may be put aside; with more of them a run stops and says why.
    """

    name: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    builder: str | None = None
    labels: tuple[str, ...] | None = None
    max_quarantined: float = 0.5


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A trained network that answers for the training records which lack a label (soft labels).

    Attributes:
        task: the name of the task that it answers.
        experiment: whose latest blessed model answers.
    """

    task: str
    experiment: str


@dataclasses.dataclass(frozen=True)
class Data:
    """The records and how they reach the network.

    Attributes:
        datasets: the data sets. The records of one have the splits train, validation and test, those of several
            <data set>_train and so on.
        image_size: (height, width) that Transform and serving resize to.
        annotate_landmarks: the name of the label that dlib's 68 landmarks become, for records that lack it; "" to
            leave the records as they are.
        teachers: what fills in the labels that training records lack, at most one a task.
    """

    datasets: tuple[DatasetConfig, ...]
    image_size: tuple[int, int] = (224, 224)
    annotate_landmarks: str = ""
    teachers: tuple[Teacher, ...] = ()

    def dataset_of(self, label: str) -> DatasetConfig:
        """The data set that has a label; ValueError if several data sets don't say, or not one alone does."""
        if len(self.datasets) == 1:
            return self.datasets[0]
        having = [dataset for dataset in self.datasets if label in (dataset.labels or ())]
        if len(having) != 1:
            names, all_names = (", ".join(each.name for each in datasets) for datasets in (having, self.datasets))
            raise ValueError(
                f"Of the data sets {all_names}, {names or 'none'} give {label!r}; expected one that has it among its "
                "`labels`."
            )
        return having[0]

    def splits(self, split: str) -> dict[str, str]:
        """The name of a split ("train", "validation", "test") of each data set, by the data set's name."""
        if len(self.datasets) == 1:
            return {self.datasets[0].name: split}
        return {dataset.name: f"{dataset.name}_{split}" for dataset in self.datasets}


@dataclasses.dataclass(frozen=True)
class Bar:
    """What a metric must reach for a model to be blessed: one of the two bounds, above 0.

    Attributes:
        metric: of the task's kind.
        at_least: for what is the better the higher.
        at_most: for errors.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def bound(self) -> float | None:
        """Whichever is set."""
        return self.at_least if self.at_most is None else self.at_most


@dataclasses.dataclass(frozen=True)
class Task:
    """What a network learns of an image.

    Attributes:
        name: of the record's feature, the network's output and what is served; metrics are named by it.
        kind: a folder of components.tasks.
        options: what the kind lets an experiment choose.
        bar: what a model must reach here to be blessed; None for no bar.
        weight: of its loss, where the training's objective adds up the tasks' losses.
    """

    name: str
    kind: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    bar: Bar | None = None
    weight: float = 1.0

    def validate(self) -> None:
        """Raises ValueError, saying what to change, for what can't be such a task."""
        kind = task_kinds.kind(self.kind)
        if not self.name.isidentifier():
            raise ValueError(f"A task's name is made of letters, digits and underscores; received {self.name!r}.")
        for option, value in self.options.items():
            if option not in kind.options:
                there = ", ".join(kind.options) or "none"
                raise ValueError(f"Task {self.name!r} ({self.kind}) has no option {option!r}. There are: {there}.")
            allowed = kind.options[option]
            types = (int, float) if allowed is float else allowed
            if value not in allowed if isinstance(allowed, tuple) else not isinstance(value, types):
                expected = f"one of {allowed}" if isinstance(allowed, tuple) else f"a value of type {allowed.__name__}"
                raise ValueError(f"Option {option!r} of task {self.name!r} is {expected}; received {value!r}.")
            if allowed is float and not 0 < value < math.inf:
                raise ValueError(f"Option {option!r} of task {self.name!r} is above 0; received {value!r}.")
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"The weight of task {self.name!r} is 0 or more; received {self.weight}.")
        if self.bar is not None:
            self._validate_bar(self.bar, kind.metrics)

    def _validate_bar(self, bar: Bar, metrics: Mapping[str, bool]) -> None:
        if bar.metric not in metrics:
            raise ValueError(
                f"The bar of task {self.name!r} applies to {bar.metric!r}; a task of kind {self.kind} has "
                f"{', '.join(metrics)}."
            )
        needed, other = ("at_least", "at_most") if metrics[bar.metric] else ("at_most", "at_least")
        if getattr(bar, needed) is None or getattr(bar, other) is not None:
            what = f"{bar.metric} of task {self.name!r}"
            raise ValueError(f"The bar for {what} needs {needed} and not {other}; received {bar}.")
        # Where the last blessed model scored 0, TFMA divides by it and finds every other model worse.
        if bar.bound is None or bar.bound <= 0:
            raise ValueError(f"A bar is above 0; received {bar} for task {self.name!r}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputConfig:
    """What a training batch is made of.

    Attributes:
        batch_size: images.
        flip: mirror half of the training images, with their landmarks and label maps.
        max_shift: largest translation of a training image, as a share of its sides.
        max_rotation: largest rotation of a training image, in degrees, to either side.
        scale: smallest and largest factor that a training image is enlarged by.
        fill_mode: what comes into view at the border: "nearest", its pixels, or "constant", black.
        repeat_threshold: images are drawn more often that show a class or attribute which less than this share of the
            training images of their data set show (components/trainer/sampling.py); 0 to draw all alike.
    """

    batch_size: int
    flip: bool = True
    max_shift: float = 0.0
    max_rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    fill_mode: str = "nearest"
    repeat_threshold: float = 0.0

    def validate_input(self) -> None:
        """Raises ValueError, saying what to change, for batches that can't be made."""
        if self.batch_size < 1:
            raise ValueError(f"batch_size is 1 or more; received {self.batch_size}.")
        if not 0 <= self.max_shift < 1:
            raise ValueError(
                f"max_shift is a share of the image's sides, from 0 to below 1; received {self.max_shift}."
            )
        if not 0 <= self.max_rotation <= 180:
            raise ValueError(f"max_rotation is from 0 to 180 degrees; received {self.max_rotation}.")
        if not (len(self.scale) == 2 and 0 < self.scale[0] <= self.scale[1] < math.inf):
            raise ValueError(f"scale is (smallest, largest) factor, above 0; received {self.scale}.")
        if not 0 <= self.repeat_threshold <= 1:
            raise ValueError(f"repeat_threshold is a share from 0 to 1; received {self.repeat_threshold}.")
        if self.fill_mode not in ("nearest", "constant"):
            raise ValueError(f"fill_mode is 'nearest' or 'constant'; received {self.fill_mode!r}.")


MAX_SEED = 2**32 - 1  # NumPy's
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")  # Keras policies under which variables are float32


@dataclasses.dataclass(frozen=True, kw_only=True)
class BaseTraining:
    """What every training has. `RECIPE` is the dotted path of the components.trainer.recipe.Recipe that carries it out.

    Attributes:
        epochs: of the run, as the recipe counts them.
        optimizer: a Keras optimizer, which gets `learning_rate`.
        precision: Keras policy, one of PRECISIONS; float32 takes the place of mixed_bfloat16 on machines that are
            slower in it (components/trainer/precision.py).
        jit_compile: whether XLA compiles the training step: for accelerators; on processors it mostly costs.
        strategy: what gives the tf.distribute strategy to train under: one device, or tf.distribute.MirroredStrategy
            for the devices of a machine. The batch is shared out among them.
        validation_split: what the callbacks look at; "train" where a data set has no split for it.
        warm_start: the experiment whose latest blessed model training starts from.
        seed: of weights, order and augmentation.
    """

    RECIPE: ClassVar[str]

    epochs: int
    optimizer: ObjectConfig
    precision: str = "float32"
    jit_compile: bool = False
    strategy: ObjectConfig = ObjectConfig("tensorflow:distribute.get_strategy")
    validation_split: str = "validation"
    warm_start: str | None = None
    seed: int = 0

    def validate(self, tasks: tuple[Task, ...]) -> None:
        """Raises ValueError, saying what to change, for what such a training can't do."""
        if self.epochs < 1:
            raise ValueError(f"training.epochs is 1 or more; received {self.epochs}.")
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"training.seed is from 0 to {MAX_SEED}; received {self.seed}.")
        if self.precision not in PRECISIONS:
            raise ValueError(f"training.precision is {', '.join(PRECISIONS)}; received {self.precision!r}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training(InputConfig, BaseTraining):
    """How a network is trained: passes over the training split.

    Attributes:
        learning_rate: a float, or an ObjectConfig of a Keras schedule, which gets `steps`, the number of steps of the
            run.
        loss: a components.trainer.objectives.Objective; by default the tasks' own losses, weighted.
        callbacks: Keras callbacks, in order.
        half_size_epochs: the first epochs, in which images and label maps have half their sides: a quarter of the cost.
            For networks that take images of any size.
        accumulate: parts of a device's share of a batch that go through the network one after the other, with one
            update for all: for batches that don't fit. Batch norm sees the images of a part; a loss is the mean over
            the parts, which is the whole's where all is annotated and the loss a mean over images.
        initializer: what the network starts from: a function of the network, the folder of the model that `warm_start`
            names (None without one) and the tasks as they are learnt. By default they take weights and state of
            `warm_start`, a model of the same architecture, if there is one.
    """

    RECIPE = "components.trainer.supervised.Supervised"

    loss: ObjectConfig = ObjectConfig("components.trainer.objectives.TaskLosses")
    learning_rate: float | ObjectConfig = 0.001
    callbacks: tuple[ObjectConfig, ...] = ()
    half_size_epochs: int = 0
    accumulate: int = 1
    initializer: ObjectConfig | None = None

    def validate(self, tasks: tuple[Task, ...]) -> None:
        super().validate(tasks)
        self.validate_input()
        if not isinstance(self.learning_rate, ObjectConfig) and not 0 <= self.learning_rate < math.inf:
            raise ValueError(f"training.learning_rate is a number from 0 on; received {self.learning_rate}.")
        if not 0 <= self.half_size_epochs <= self.epochs:
            raise ValueError(
                f"training.half_size_epochs is from 0 to {self.epochs}, the training's epochs; received "
                f"{self.half_size_epochs}."
            )
        if self.accumulate < 1 or self.batch_size % self.accumulate:
            raise ValueError(
                f"training.accumulate divides training.batch_size, {self.batch_size}: parts are of one size; received "
                f"{self.accumulate}."
            )


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What is measured beside the tasks' own metrics.

    Attributes:
        split: what TFMA evaluates and the blessing rests on.
        slice_by: attributes whose two sides are compared, or tasks of one class an image, whose classes are; several
            of them at once joined by ":", such as "Male:Young".
        max_gaps: a model is not blessed whose mean over yes-or-no labels differs by more between the two sides of a
            label in `slice_by`; shares, by what differs: "accuracy", "false_positive_rate", "false_negative_rate".
    """

    split: str = "test"
    slice_by: tuple[str, ...] = ()
    max_gaps: dict[str, float] = dataclasses.field(default_factory=dict)

    def validate(self) -> None:
        """Raises ValueError, saying what to change, for a gap that no model has or that nothing is measured by."""
        for of, most in self.max_gaps.items():
            if not isinstance(most, int | float) or not 0 < most < 1:
                raise ValueError(f"evaluation.max_gaps.{of} is a share above 0 and below 1; received {most!r}.")
        if self.max_gaps and not self.slice_by:
            raise ValueError(
                "evaluation.max_gaps are between the sides of evaluation.slice_by, which is empty: set both."
            )


_LEAST_SIDE = 8  # pixels; nothing is seen of a face in fewer
LITE_PRECISIONS = ("float32", "float16", "int8")  # of the weights in a file of TensorFlow Lite


@dataclasses.dataclass(frozen=True)
class Export:
    """How a model is served.

    Attributes:
        precision: "float32", or "bfloat16": where the processor that loads the model is faster in it, if the tasks'
            figures on the validation split are those of float32 (components/serving/precision.py).
        lite: the network as TensorFlow Lite has it as well, with weights in "float32", "float16" or "int8"; "" without.
            It is evaluated as the served model is (components/lite_evaluator.py); the report has both.
        flip_average: whether an image is answered by the mean of the network's outputs for it and, turned back, for the
            image flipped left to right: better answers for twice the work. The network for TensorFlow Lite, and the
            Keras model beside, are as they were trained.
    """

    precision: str = "float32"
    lite: str = ""
    flip_average: bool = False

    def validate(self) -> None:
        """Raises ValueError for a precision that nothing is served in."""
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"export.precision is float32 or bfloat16; received {self.precision!r}.")
        if self.lite not in ("", *LITE_PRECISIONS):
            raise ValueError(f"export.lite is {', '.join(LITE_PRECISIONS)}, or empty; received {self.lite!r}.")


@dataclasses.dataclass(frozen=True)
class Resources:
    """What a step of a pipeline has on Kubeflow.

    Attributes:
        name: the component's, such as "Trainer" or "Transform".
        cpu: cores, and `memory` gigabytes; 0 for what the cluster gives.
        accelerator: as the cluster calls it: NVIDIA_TESLA_T4 (Vertex AI), nvidia.com/gpu (Kubernetes); "" for none.
        accelerators: how many of them.
    """

    name: str
    cpu: float = 0.0
    memory: float = 0.0
    accelerator: str = ""
    accelerators: int = 1

    def validate(self) -> None:
        """Raises ValueError, saying what to change, for what no cluster has."""
        for what in ("cpu", "memory"):
            if not 0 <= getattr(self, what) < math.inf:
                raise ValueError(f"resources.{self.name}.{what} is 0 or more; received {getattr(self, what)}.")
        if self.accelerators < 1:
            raise ValueError(f"resources.{self.name}.accelerators is 1 or more; received {self.accelerators}.")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One run: data, tasks, network, training, evaluation, export.

    Attributes:
        summary: one line for `make experiments`.
        target: what the paper reports for it, for the report.
        tasks: what is learnt; the network's outputs, what is served, measured and reported follow from it.
        model: a function of keras_models, called with input_shape.
        system: the module with the components.systems.base.System of what only this network needs; "" for none.
        resources: of its steps on Kubeflow.
    """

    summary: str
    target: str
    data: Data
    tasks: tuple[Task, ...]
    model: ObjectConfig
    training: BaseTraining
    evaluation: Evaluation = Evaluation()
    export: Export = Export()
    system: str = ""
    resources: tuple[Resources, ...] = ()

    def task(self, name: str) -> Task:
        """One of the tasks; KeyError if there is none of that name."""
        return {task.name: task for task in self.tasks}[name]

    def validate(self) -> None:
        """Raises ValueError, saying what to change, for what would fail later. Looks at no data and at no network."""
        if not self.tasks:
            raise ValueError("An experiment learns one task or more; its `tasks` are empty.")
        _distinct((task.name for task in self.tasks), "tasks")
        for task in self.tasks:
            task.validate()
        self._validate_data()
        self.training.validate(self.tasks)
        self.evaluation.validate()
        self.export.validate()
        _distinct((step.name for step in self.resources), "resources")
        for step in self.resources:
            step.validate()

    def _validate_data(self):
        data = self.data
        if not data.datasets:
            raise ValueError("An experiment needs one data set or more; its data.datasets are empty.")
        _distinct((dataset.name for dataset in data.datasets), "data sets")
        if len(data.image_size) != 2 or min(data.image_size) < _LEAST_SIDE:
            raise ValueError(
                f"data.image_size is (height, width) in pixels, {_LEAST_SIDE} or more; received {data.image_size}."
            )
        for dataset in data.datasets:
            if not 0 <= dataset.max_quarantined <= 1:
                raise ValueError(
                    f"max_quarantined of data set {dataset.name!r} is a share from 0 to 1; received "
                    f"{dataset.max_quarantined}."
                )
            if dataset.labels is None and len(data.datasets) > 1:
                raise ValueError(
                    f"Data set {dataset.name!r} is one of several and doesn't say which labels it gives: set its "
                    "`labels`."
                )
        names = [task.name for task in self.tasks]
        for name in names:
            data.dataset_of(name)
        _distinct((teacher.task for teacher in data.teachers), "teachers of one task: data.teachers")
        for teacher in data.teachers:
            if teacher.task not in names:
                raise ValueError(
                    f"{teacher.experiment!r} should teach {teacher.task!r}, which is none of the tasks "
                    f"{', '.join(names)}. Drop it from data.teachers, or add the task."
                )
            if not task_kinds.kind(self.task(teacher.task).kind).answers_yes_or_no:
                raise ValueError(
                    f"{teacher.experiment!r} can't teach {teacher.task!r}, a task of kind "
                    f"{self.task(teacher.task).kind}: soft labels are probabilities of yes or no."
                )


def _distinct(names: Iterable[str], what: str) -> None:
    for name, count in collections.Counter(names).items():
        if count > 1:
            raise ValueError(f"{count} {what} are called {name!r}. Give each a name of its own.")


def to_json(value: Any) -> str:
    """An experiment, or a part of one, as JSON with its types named by their dotted paths."""

    def encode(item):
        fields = {f.name: getattr(item, f.name) for f in dataclasses.fields(item)}
        return {"type": f"{type(item).__module__}:{type(item).__qualname__}", **fields}

    return json.dumps(value, default=encode, sort_keys=True)


def form(experiment: Experiment) -> str:
    """A short hash of what an experiment is, whatever its seed and what is said of it.

    Of what it sets: an option that comes later, with a default that leaves all as it was, changes no hash.
    """
    training = dataclasses.replace(experiment.training, seed=0)
    alike = dataclasses.replace(experiment, summary="", target="", training=training)
    return hashlib.sha256(json.dumps(alike, default=_set, sort_keys=True).encode()).hexdigest()[:12]


def _set(item):
    """The fields of a dataclass that don't have their defaults, and its type."""
    values = {}
    for field in dataclasses.fields(item):
        value = getattr(item, field.name)
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if value != default:
            values[field.name] = value
    return {"type": f"{type(item).__module__}:{type(item).__qualname__}", **values}


def from_json(text: str) -> Any:
    """Inverse of `to_json`; ValueError for a type that is no dataclass of this project."""

    def decode(item):
        if "type" not in item:
            return item
        path = item["type"]
        cls = pkgutil.resolve_name(path) if path.startswith("components.") else None
        if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
            raise ValueError(f"{path!r} is no part of an experiment.")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in item.items() if k != "type"})

    return json.loads(text, object_hook=decode)
