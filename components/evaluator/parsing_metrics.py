"""F1, IoU and pixel accuracy of face parsing: formulas on a confusion matrix, and the TFMA metric around them.

Counts are a confusion matrix [C, C] int64 of pixels, summed over a whole split: the row is the true class, the column
the predicted one, and class 0 is background. A value that would be 0/0 is NaN and is left out of a mean over classes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tensorflow_model_analysis as tfma

from components.tasks.segmentation.label_maps import check_labels, decode_grey, size_text
from components.evaluator.class_metrics import accuracy as pixel_accuracy
from components.evaluator.class_metrics import f1
from components.tasks.ratios import mean_of_defined, ratio
from components.tasks.summed_metric import summed_metric
from components.record import IGNORE_LABEL

MEANS = ("mean_f1", "mean_iou", "pixel_accuracy")


def confusion(truth: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts of one picture.

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


def mean_f1(counts: np.ndarray) -> float:
    """Mean F1 of the classes that occur, background left out."""
    return mean_of_defined(f1(counts)[1:])


def mean_iou(counts: np.ndarray) -> float:
    """Mean IoU of the classes that occur, background included, as DML-CSR's released evaluation takes it."""
    return mean_of_defined(iou(counts))


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
    return {
        "mean_f1": mean_f1(counts),
        "mean_iou": mean_iou(counts),
        "pixel_accuracy": pixel_accuracy(counts),
        **({"overall_f1": overall_f1(counts, merged), "part_f1": part_f1(counts, merged)} if merged else {}),
        "annotated": float(sums[-1]),
        "f1": f1(counts),
        "iou": iou(counts),
        "confusion": counts,
    }


class ParsingMetrics(tfma.metrics.Metric):
    """TFMA metric on an output of label maps [B, H, W] against PNGs; see `summarize` for what it emits.

    A map is as large as its record's picture. In a batch of pictures of several sizes it lies at the top left, and the
    rest is 255. Records without a PNG are left out.

    Args:
        classes: the C names in the order of the labels.
        merged_parts: for Helen's overall F1, the names of the classes of each part; empty for none. Both stay in the
            evaluation's configuration, where the results find them.
        name: the mean that thresholds apply to (TFMA matches a threshold with the metric's name).
        code: part of TFX's cache key only (see config.py).

    Raises:
        ValueError: if `name` is none of the means or a part has an unknown class; when it runs, if a record's PNG or
            the prediction is no map of these classes, or their sizes differ.
    """

    def __init__(
        self,
        classes: Sequence[str],
        merged_parts: Mapping[str, Sequence[str]],
        name: str = "mean_f1",
        code: str = "",
    ):
        if name not in MEANS:
            raise ValueError(f"A threshold can apply to {', '.join(MEANS)}; received {name!r}.")
        merged_parts = {part: list(names) for part, names in merged_parts.items()}
        if unknown := [c for names in merged_parts.values() for c in names if c not in classes]:
            raise ValueError(f"Can't merge {', '.join(unknown)}. The classes are: {', '.join(classes)}.")
        super().__init__(_computations, classes=list(classes), merged_parts=merged_parts, name=name, code=code)


def _computations(classes, merged_parts, name, code, model_names=("",), output_names=("",)):
    del name, code
    merged = [[classes.index(c) for c in names] for names in merged_parts.values()]
    return summed_metric(
        functools.partial(_measure, num_classes=len(classes)),
        np.zeros(len(classes) ** 2 + 1, np.int64),
        functools.partial(summarize, num_classes=len(classes), merged=merged),
        model_names,
        output_names,
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
        received = f"labels beyond the picture, in {size_text(predicted.shape)}"
        raise ValueError(f"Record {record!r}: the model gives {received}; {expected}, and {IGNORE_LABEL} beyond it.")
    return np.append(confusion(truth, inside, num_classes), 1)
