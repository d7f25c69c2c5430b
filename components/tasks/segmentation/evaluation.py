"""How a class for each pixel is measured: F1, IoU and pixel accuracy.

Counts are a confusion matrix [C, C] int64 of pixels, summed over a whole split: the row is the true class, the column
the predicted one, and class 0 is background. A value that would be 0/0 is NaN and is left out of a mean over classes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tensorflow_model_analysis as tfma

from components.record import IGNORE_LABEL
from components.tasks.annotation import BoundTask
from components.tasks.figures import Figure
from components.tasks.ratios import accuracy, f1, mean_of_defined, ratio
from components.tasks.segmentation.label_maps import check_labels, decode_grey, size_text
from components.tasks.summed_metric import SummedMetric, metrics_spec

# Over the classes that occur. F1 leaves background out; IoU doesn't, as DML-CSR's released evaluation takes it.
MEANS = {"mean_f1": lambda values: values["f1"][1:], "mean_iou": lambda values: values["iou"]}
UNDEFINED = "no pixel that was counted is anything but background, in truth or by prediction"


def specs(task: BoundTask, iteration: int | None = None) -> list[tfma.MetricsSpec]:
    """What is measured of the task, where it is served or after an iteration of task interaction."""
    merged_parts = {part: list(classes) for part, classes in task.annotation.merged_parts.items()}
    return [metrics_spec(task, task.name, SegmentationMetrics, iteration, merged_parts=merged_parts)]


def figures(task: BoundTask, values: Mapping[str, float | np.ndarray]) -> list[Figure]:
    """The task's scalars, from what was measured of one slice; of merged parts, those of several classes."""
    found = [
        Figure(f"{task.name} mean F1", values["mean_f1"], headline=True, metric="mean_f1"),
        Figure(f"{task.name} mean IoU", values["mean_iou"], headline=True, metric="mean_iou"),
        Figure(f"{task.name} pixel accuracy", values["pixel_accuracy"], headline=True, metric="pixel_accuracy"),
    ]
    merged = task.annotation.merged_parts
    if merged:
        found.append(Figure(f"{task.name} overall F1", values["overall_f1"], headline=True, metric="overall_f1"))
        of_parts = zip(merged.items(), values["part_f1"], strict=True)
        found += [Figure(f"{task.name} {part} F1", float(f)) for (part, classes), f in of_parts if len(classes) > 1]
    return found


def confusion(truth: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts of one image.

    Args:
        truth: [H, W] integers, the true classes; pixels of 255 are left out.
        predicted: [H, W] integers.
        num_classes: C.

    Returns:
        [C, C] int64.

    Raises:
        ValueError: if a pixel that counts has a label that is none of the classes.
    """
    counted = truth != IGNORE_LABEL
    cells = np.ravel_multi_index((truth[counted], predicted[counted]), (num_classes, num_classes))
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def iou(counts: np.ndarray) -> np.ndarray:
    """[C] TP / (TP + FP + FN); NaN for a class that is neither in the truth nor predicted."""
    hits = counts.diagonal()
    return ratio(hits, counts.sum(axis=0) + counts.sum(axis=1) - hits)


def overall_f1(counts: np.ndarray, merged: Iterable[Sequence[int]]) -> float:
    """Helen's overall F1, 2 ΣTP / (2 ΣTP + ΣFP + ΣFN) over parts that are made of several classes.

    Args:
        counts: [C, C].
        merged: the classes of each part. Within a part one class taken for another is no error.

    Returns:
        The F1; NaN if no class of any part occurs.
    """
    hits = total = 0
    for part in map(list, merged):
        hits += counts[np.ix_(part, part)].sum()
        total += counts[part].sum() + counts[:, part].sum()
    return float(ratio(2 * hits, total))


def part_f1(counts: np.ndarray, merged: Iterable[Sequence[int]]) -> np.ndarray:
    """[P] F1 of each part of `overall_f1`; NaN where none of its classes occurs."""
    return np.array([overall_f1(counts, [part]) for part in merged])


def summarize(sums: np.ndarray, num_classes: int, merged: Sequence[Sequence[int]]) -> dict[str, float | np.ndarray]:
    """[C * C + 1] confusion matrix row by row, then annotated records -> values; those of parts if any are merged."""
    counts = sums[:-1].reshape(num_classes, num_classes)
    vectors = {"f1": f1(counts), "iou": iou(counts)}
    return {
        **{mean: mean_of_defined(part(vectors)) for mean, part in MEANS.items()},
        "pixel_accuracy": accuracy(counts),
        **({"overall_f1": overall_f1(counts, merged), "part_f1": part_f1(counts, merged)} if merged else {}),
        "annotated": float(sums[-1]),
        **vectors,
        "confusion": counts,
    }


class SegmentationMetrics(SummedMetric):
    """TFMA metric on an output of label maps [B, H, W] against PNGs; `summarize` says what it emits.

    A map is as large as its record's image. In a batch of images of several sizes it lies at the top left, and the rest
    is 255. Records without a PNG are left out.

    Args:
        names: of the C classes, in the order of the labels.
        merged_parts: for the overall F1, the names of the classes of each part; empty for none.
        **config: of SummedMetric.

    Raises:
        ValueError: if a part has an unknown class; when it runs, if a record's PNG or the prediction is no map of these
            classes, or their sizes differ.
    """

    def __init__(self, names: Sequence[str], merged_parts: Mapping[str, Sequence[str]], **config):
        if unknown := [c for classes in merged_parts.values() for c in classes if c not in names]:
            raise ValueError(f"Can't merge {', '.join(unknown)}. The classes are: {', '.join(names)}.")
        merged = [[names.index(c) for c in classes] for classes in merged_parts.values()]
        super().__init__(
            functools.partial(_measure, num_classes=len(names)),
            np.zeros(len(names) ** 2 + 1, np.int64),
            functools.partial(summarize, num_classes=len(names), merged=merged),
            names=names,
            merged_parts=merged_parts,
            **config,
        )


def _measure(encoded, predicted, features, num_classes):
    record = features["image/id"][0].decode()
    truth = decode_grey(encoded[0], f"label map of {record}")
    check_labels(truth, range(num_classes), f"label map of {record}")
    height, width = truth.shape
    expected = f"expected labels from 0 to {num_classes - 1} in {size_text(truth.shape)}, the size of its label map"
    if predicted.ndim != 2 or predicted.shape[0] < height or predicted.shape[1] < width:
        raise ValueError(f"Record {record!r}: the model gives an array of shape {predicted.shape}; {expected}.")
    inside = predicted[:height, :width]
    if inside.max() >= num_classes:
        raise ValueError(f"Record {record!r}: the model gives the label {inside.max()}; {expected}.")
    if np.count_nonzero(predicted != IGNORE_LABEL) > inside.size:
        received = f"labels beyond the image, in {size_text(predicted.shape)}"
        raise ValueError(f"Record {record!r}: the model gives {received}; {expected}, and {IGNORE_LABEL} beyond it.")
    return np.append(confusion(truth, inside, num_classes), 1)
