"""What a report shows. Whoever gathers it fills these; `None` means unknown, and what is unknown leaves no trace.

Shares and rates are in [0, 1], never in percent; the page multiplies. A rate that has no meaning (the F1 of an
attribute that nobody has) is NaN and is shown as a dash. N is the number of attributes, C of classes (of face parsing,
of emotions, of clothing), E of epochs, T and L of landmarks.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping

import numpy as np

IGNORED = 255  # in a label map: no class, the pixel doesn't count


def _expect_shape(owner: object, shape: tuple[int, ...], *fields: str) -> None:
    for field in fields:
        value = getattr(owner, field)
        if value is not None and np.shape(value) != shape:
            raise ValueError(
                f"{type(owner).__name__}.{field} should have shape {list(shape)}, got {list(np.shape(value))}."
            )


@dataclasses.dataclass(frozen=True)
class ComponentTime:
    """One pipeline component's run: wall time in minutes, and whether its result came from the cache."""

    minutes: float
    cached: bool = False


@dataclasses.dataclass(frozen=True)
class Run:
    """What ran, and where its results lie.

    Attributes:
        experiment: registered name, such as `dmm_cnn/celeb_a-tiny`.
        description: one paragraph on what it is.
        target: the paper's figure to hold the result against, as text.
        components: by component name, in the order in which they ran.
        parameters: number of the served model's weights.
        image_size: height, width in pixels of what the network sees.
        tensorboard_command, serving_commands: shell lines to copy, one or several.
    """

    experiment: str
    description: str
    created: datetime.datetime
    target: str | None = None
    seed: int | None = None
    components: Mapping[str, ComponentTime] | None = None
    parameters: int | None = None
    image_size: tuple[int, int] | None = None
    model_location: str | None = None
    log_location: str | None = None
    tensorboard_command: str | None = None
    serving_commands: str | None = None


@dataclasses.dataclass(frozen=True)
class SplitCount:
    """Records of a split: every one that was read is either kept or quarantined."""

    read: int
    kept: int
    quarantined: int


@dataclasses.dataclass(frozen=True)
class AnnotationCount:
    """Images of a split by where their landmarks come from.

    Attributes:
        annotated: the annotator found a face and marked it.
        had_landmarks: the data set brought them.
        not_found: the annotator found no face; the image trains without landmarks.
    """

    annotated: int
    had_landmarks: int
    not_found: int


@dataclasses.dataclass(frozen=True)
class SoftLabelCount:
    """Training images of a split by where one kind of label comes from.

    Attributes:
        annotated: the data set brought it.
        labelled: a trained network gave its scores instead.
    """

    annotated: int
    labelled: int


@dataclasses.dataclass(frozen=True, eq=False)
class DataSummary:
    """What went in.

    Attributes:
        splits: by split name.
        quarantine_reasons: reason -> number of records, over all splits.
        quarantine_samples: a few (image id, reason).
        annotations: by split name.
        soft_labels: by split name, then by label.
        attribute_names: [N]. positive_rate: [N] share of training images that have the attribute.
        anomalies: what ExampleValidator found; empty = it found nothing, None = it didn't run.
    """

    splits: Mapping[str, SplitCount]
    quarantine_reasons: Mapping[str, int] = dataclasses.field(default_factory=dict)
    quarantine_samples: tuple[tuple[str, str], ...] = ()
    annotations: Mapping[str, AnnotationCount] | None = None
    soft_labels: Mapping[str, Mapping[str, SoftLabelCount]] | None = None
    attribute_names: tuple[str, ...] | None = None
    positive_rate: np.ndarray | None = None
    anomalies: tuple[str, ...] | None = None

    def __post_init__(self):
        _expect_shape(self, (len(self.attribute_names or ()),), "positive_rate")


@dataclasses.dataclass(frozen=True, eq=False)
class AttributeResults:
    """How right the decisions are, on all test images or on a slice of them.

    Attributes:
        names: [N]. count: number of images.
        accuracy, balanced_accuracy, f1, positive_rate_true, positive_rate_predicted: [N] in [0, 1].
        majority_accuracy: [N] accuracy of always answering the commoner class of these images.
        thresholds: [N] a score above it is a yes.
        mean_accuracy, mean_balanced_accuracy, mean_f1: over attributes, as the evaluator states them.
        top_10_recall: share of all attributes that the images have that are among their image's ten highest scores.
        landmark_nme: mean landmark error, as a share of the distance between the eyes.
        failure_rate: share of images whose landmark error exceeds `failure_threshold` (same unit as the error).
    """

    names: tuple[str, ...]
    count: int
    accuracy: np.ndarray
    mean_accuracy: float
    balanced_accuracy: np.ndarray | None = None
    f1: np.ndarray | None = None
    positive_rate_true: np.ndarray | None = None
    positive_rate_predicted: np.ndarray | None = None
    majority_accuracy: np.ndarray | None = None
    thresholds: np.ndarray | None = None
    mean_balanced_accuracy: float | None = None
    mean_f1: float | None = None
    top_10_recall: float | None = None
    landmark_nme: float | None = None
    failure_rate: float | None = None
    failure_threshold: float | None = None

    def __post_init__(self):
        per_attribute = ["accuracy", "balanced_accuracy", "f1", "positive_rate_true", "positive_rate_predicted"]
        _expect_shape(self, (len(self.names),), *per_attribute, "majority_accuracy", "thresholds")


@dataclasses.dataclass(frozen=True)
class AttributeSlice:
    """Results on the images that have `attribute` by their label, and on those that have not."""

    attribute: str
    having: AttributeResults
    lacking: AttributeResults

    @property
    def gap(self) -> float:
        """Mean accuracy of those having it minus that of those lacking it, in [-1, 1]."""
        return self.having.mean_accuracy - self.lacking.mean_accuracy


@dataclasses.dataclass(frozen=True, eq=False)
class History:
    """How the training went, a row an epoch.

    Attributes:
        loss, val_loss, learning_rate: [E].
        names: [N] what is learnt as a yes or no: attributes, and after them categories of clothing.
        kind: what these are called together.
        attribute_losses: [E, N] on the validation split. weights, thresholds: [E, N].
        iterations: [E] optimiser steps taken at each epoch's end; without it the figures count epochs.
        loss_name: what the attribute losses are, with their unit; an axis label.
        terms: what the validation loss is made of: name -> [E], NaN in an epoch that has no such term.
        mean_f1: [E] of the parsed classes but background, on the validation split at the working size.
        ensemble_mean_f1: [E] the same of the ensembled model, NaN in an epoch that none was made after.
        classes: [C]. class_f1: [E, C], as `mean_f1`. class_pixels: [C] of the test split: the rare classes are shown.
        stages: (name, number of epochs) of each stage that the training went through, in order; empty for one alone.
    """

    loss: np.ndarray
    val_loss: np.ndarray | None = None
    learning_rate: np.ndarray | None = None
    names: tuple[str, ...] = ()
    kind: str = "attributes"
    attribute_losses: np.ndarray | None = None
    weights: np.ndarray | None = None
    thresholds: np.ndarray | None = None
    iterations: np.ndarray | None = None
    loss_name: str = "validation loss"
    terms: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    mean_f1: np.ndarray | None = None
    ensemble_mean_f1: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    class_f1: np.ndarray | None = None
    class_pixels: np.ndarray | None = None
    stages: tuple[tuple[str, int], ...] = ()

    def __post_init__(self):
        epochs = len(self.loss)
        taken = sum(count for _, count in self.stages)
        if self.stages and taken != epochs:
            raise ValueError(f"History.stages should have {epochs} epochs together, got {taken}.")
        _expect_shape(self, (epochs,), "val_loss", "learning_rate", "iterations", "mean_f1", "ensemble_mean_f1")
        _expect_shape(self, (epochs, len(self.names)), "attribute_losses", "weights", "thresholds")
        _expect_shape(self, (epochs, len(self.classes)), "class_f1")
        _expect_shape(self, (len(self.classes),), "class_pixels")


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """One image and what the model says of it.

    Attributes:
        image: [H, W, 3] uint8 RGB. id: the data set's.
        scores: [N] model outputs. decisions: [N] 0/1, what is served.
        attributes: [N] 0/1 labels, None if not annotated.
        landmarks, true_landmarks: [T, 2] x, y in [0, 1] of the image.
    """

    image: np.ndarray
    id: str
    scores: np.ndarray
    decisions: np.ndarray
    attributes: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    true_landmarks: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures:
    """The images to show: `names` [N] of the attributes, `thresholds` [N] that the decisions used, the images."""

    names: tuple[str, ...]
    thresholds: np.ndarray
    pictures: tuple[Picture, ...]

    def __post_init__(self):
        shape = (len(self.names),)
        _expect_shape(self, shape, "thresholds")
        for picture in self.pictures:
            _expect_shape(picture, shape, "scores", "decisions", "attributes")


@dataclasses.dataclass(frozen=True, eq=False)
class Attention:
    """Where a network looks for each of K groups of attributes, and who listens to whom (MGG-Net), on P pictures.

    Attributes:
        groups: [K] names; with a group for every attribute, the attributes'.
        images: the first few of the P pictures, those to show, each [H, W, 3] uint8 RGB.
        masks: by block of the backbone ("block3"): [P, h, w, K], 0 where a place counts nothing.
        affinities: by block: [P, K, K], row i says whom group i listens to; empty if groups don't hear of each other.
    """

    groups: tuple[str, ...]
    images: tuple[np.ndarray, ...]
    masks: Mapping[str, np.ndarray]
    affinities: Mapping[str, np.ndarray]

    def __post_init__(self):
        count = len(self.groups)
        for name, maps, ends in (("masks", self.masks, (count,)), ("affinities", self.affinities, (count, count))):
            for block, values in maps.items():
                if len(values) < len(self.images) or np.shape(values)[-len(ends) :] != ends:
                    raise ValueError(
                        f"Attention.{name}[{block!r}] should have {len(self.images)} or more pictures and end with "
                        f"{list(ends)}, got shape {list(np.shape(values))}."
                    )


@dataclasses.dataclass(frozen=True, eq=False)
class ParsingResults:
    """How right the labels of the pixels are: counted over all pixels of the test pictures, at the pictures' own size.

    Attributes:
        classes: [C], background first. dataset: the name of the data set whose classes they are.
        count: number of pictures that have a label map.
        mean_f1: mean over the classes but background, mean_iou: over all classes; each over those that occur.
        pixel_accuracy: share of the labelled pixels that have the right class.
        f1, iou: [C], NaN for a class that does not occur.
        confusion: [C, C] pixels by their class (row) and by what they are taken for (column).
        overall_f1: one F1 over the pixels of all merged parts together (Helen's protocol).
        merged_parts: name -> the classes that `overall_f1` counts as one.
        part_f1: the F1 of each of these parts, by its name.
    """

    classes: tuple[str, ...]
    dataset: str
    count: int
    mean_f1: float
    mean_iou: float
    pixel_accuracy: float
    f1: np.ndarray
    iou: np.ndarray
    confusion: np.ndarray
    overall_f1: float | None = None
    merged_parts: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    part_f1: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        count = len(self.classes)
        _expect_shape(self, (count,), "f1", "iou")
        _expect_shape(self, (count, count), "confusion")
        if unknown := [part for part in self.part_f1 if part not in self.merged_parts]:
            raise ValueError(f"ParsingResults.part_f1 has {unknown}, which are not among the merged parts.")

    @property
    def shares(self) -> np.ndarray:
        """[C] share of the labelled pixels that belong to each class."""
        return self.confusion.sum(axis=1) / max(self.confusion.sum(), 1)


@dataclasses.dataclass(frozen=True, eq=False)
class ParsingPicture:
    """One image and the class of each of its pixels.

    Attributes:
        image: [H, W, 3] uint8 RGB. id: the data set's.
        predicted: [H, W] uint8 classes, what is served.
        truth: [H, W] uint8 classes, IGNORED where a pixel has none; None if the image is not annotated.
        f1: [C] of this image alone, NaN for a class that is not in it. mean_f1: over its classes but background.
        pixel_accuracy: share of its labelled pixels that have the right class. None likewise, all three.
    """

    image: np.ndarray
    id: str
    predicted: np.ndarray
    truth: np.ndarray | None = None
    f1: np.ndarray | None = None
    mean_f1: float | None = None
    pixel_accuracy: float | None = None

    def __post_init__(self):
        _expect_shape(self, np.shape(self.image)[:2], "predicted", "truth")


@dataclasses.dataclass(frozen=True, eq=False)
class ParsingPictures:
    """The images to choose from: `classes` [C], background first, and the images."""

    classes: tuple[str, ...]
    pictures: tuple[ParsingPicture, ...]

    def __post_init__(self):
        for picture in self.pictures:
            _expect_shape(picture, (len(self.classes),), "f1")


@dataclasses.dataclass(frozen=True, eq=False)
class EdgeMaps:
    """What the edge branches of a network in training make of P validation pictures, at the working size.

    Attributes:
        classes: [C], background first.
        images: [P, H, W, 3] uint8 RGB.
        true_binary: [P, H, W] 0 or 1. binary: [P, H, W] probability of an edge.
        true_category, category: [P, H, W] uint8, the class whose inner boundary a pixel is on, 0 for none.
    """

    classes: tuple[str, ...]
    images: np.ndarray
    true_binary: np.ndarray
    binary: np.ndarray
    true_category: np.ndarray
    category: np.ndarray

    def __post_init__(self):
        _expect_shape(self, np.shape(self.images)[:3], "true_binary", "binary", "true_category", "category")


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkResults:
    """How far the landmarks are from their places. All errors are shares of the distance between the eyes.

    Attributes:
        dataset: the name of the data set whose landmarks they are.
        count: number of test pictures that have landmarks.
        nme: mean distance of a landmark from its place.
        failure_rate: share of the pictures whose own mean distance exceeds `failure_threshold`.
        point_names: [L] what each landmark is, or its number.
        point_nme: [L] mean distance of each from its place.
        point_failure_rate: [L] share of the pictures in which it is farther from its place than `failure_threshold`.
    """

    dataset: str
    count: int
    nme: float
    failure_rate: float
    failure_threshold: float
    point_names: tuple[str, ...]
    point_nme: np.ndarray
    point_failure_rate: np.ndarray

    def __post_init__(self):
        _expect_shape(self, (len(self.point_names),), "point_nme", "point_failure_rate")


@dataclasses.dataclass(frozen=True, eq=False)
class ClassResults:
    """How right the one class is that each picture is given, such as its emotion.

    Attributes:
        title: what is told of a picture, in one word: "emotion".
        classes: [C]. dataset: the name of the data set whose classes they are.
        count: number of test pictures that have a class by their label.
        accuracy: share of them that are given it. top_3, top_5: share of them that have it among so many likeliest.
        recall, f1: [C], NaN for a class that does not occur.
        confusion: [C, C] pictures by their class (row) and by what they are taken for (column).
    """

    title: str
    classes: tuple[str, ...]
    dataset: str
    count: int
    accuracy: float
    recall: np.ndarray
    f1: np.ndarray
    confusion: np.ndarray
    top_3: float | None = None
    top_5: float | None = None

    def __post_init__(self):
        count = len(self.classes)
        _expect_shape(self, (count,), "recall", "f1")
        _expect_shape(self, (count, count), "confusion")

    @property
    def pictures(self) -> np.ndarray:
        """[C] number of the pictures of each class."""
        return self.confusion.sum(axis=1)

    @property
    def commonest(self) -> int:
        """Index of the class that most of the test pictures have."""
        return int(np.argmax(self.pictures))

    @property
    def commonest_accuracy(self) -> float:
        """Accuracy of always answering the commonest class; NaN without pictures."""
        total = self.confusion.sum()
        return float(self.pictures.max() / total) if total else float("nan")

    @property
    def mean_recall(self) -> float:
        """Mean over the classes that occur; NaN without any."""
        known = self.recall[np.isfinite(self.recall)]
        return float(known.mean()) if known.size else float("nan")


@dataclasses.dataclass(frozen=True)
class IterationRow:
    """The figures of every task after an iteration of task interaction, by the names that `make compare` has for them.

    `iteration` counts from 0, where no task has heard of another yet.
    """

    iteration: int
    figures: Mapping[str, float]


@dataclasses.dataclass(frozen=True, eq=False)
class TaskPicture:
    """One image and what each task says of it. What is None is not said, or not annotated.

    Attributes:
        image: [H, W, 3] uint8 RGB. id: the data set's. dataset: its name.
        landmarks, true_landmarks: [L, 2] x, y in [0, 1] of the image.
        parsing, true_parsing: [H, W] uint8 classes; IGNORED in the truth where a pixel has none.
        class_name: such as the emotion. class_probability: how sure of it the model is. true_class_name: by the label.
    """

    image: np.ndarray
    id: str
    dataset: str
    landmarks: np.ndarray | None = None
    true_landmarks: np.ndarray | None = None
    parsing: np.ndarray | None = None
    true_parsing: np.ndarray | None = None
    class_name: str | None = None
    class_probability: float | None = None
    true_class_name: str | None = None

    def __post_init__(self):
        _expect_shape(self, np.shape(self.image)[:2], "parsing", "true_parsing")
        given = [points for points in (self.landmarks, self.true_landmarks) if points is not None]
        if given:
            _expect_shape(self, (len(given[0]), 2), "landmarks", "true_landmarks")


@dataclasses.dataclass(frozen=True, eq=False)
class TaskPictures:
    """The images to show.

    Attributes:
        classes: [C] of face parsing, background first; empty if nothing is parsed.
        title: what `class_name` tells of a picture, in one word: "emotion".
    """

    classes: tuple[str, ...]
    pictures: tuple[TaskPicture, ...]
    title: str = "emotion"


@dataclasses.dataclass(frozen=True, eq=False)
class StageHistory:
    """How the tasks fared on validation, a row an epoch, through the stages of a training on several data sets.

    Attributes:
        figures: by the names that `make compare` has for them, [E], NaN where an epoch lacks one.
        stages: (name, number of epochs), in order; together they have E epochs.
    """

    figures: Mapping[str, np.ndarray]
    stages: tuple[tuple[str, int], ...]

    def __post_init__(self):
        epochs = sum(count for _, count in self.stages)
        for name, values in self.figures.items():
            if np.shape(values) != (epochs,):
                raise ValueError(
                    f"StageHistory.figures[{name!r}] should have shape [{epochs}], the epochs of all stages, got "
                    f"{list(np.shape(values))}."
                )


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether the model may be used.

    Attributes:
        blessed: the evaluator's answer; None = it wasn't asked. reasons: why, in sentences.
        serving_ok: the exported model answered like the trained one; None = not tried. serving_message: in words.
        pushed_path: where it was pushed to, None if it wasn't.
    """

    blessed: bool | None
    reasons: tuple[str, ...] = ()
    serving_ok: bool | None = None
    serving_message: str = ""
    pushed_path: str | None = None
