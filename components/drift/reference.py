"""How images look to a network and what it answers, in numbers; those of validation images lie beside the model.

New images are held against them (comparison.py).
"""

from __future__ import annotations

import collections
import functools
import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.images.status import STATUS, WORDS, Status
from components.serving.reception import receive, whole
from components.tasks.base import Labels

REFERENCE = os.path.join("assets.extra", "reference.npz")
NUM_IMAGES = 300  # of a data set
NOT_FINITE = "the answer is not finite"
LABEL = "label "  # ahead of what an image is annotated with
IMAGE = "image "  # ahead of how it looks
_TOGETHER = 16
_DECISIONS = "_decisions"  # behind a task's name
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601

Values = dict[str, np.ndarray]  # a number for each image that has it, by what it is of


def measured(
    answer: Callable[[list[bytes]], Mapping[str, np.ndarray]],
    outputs: Mapping[str, Mapping[str, Any]],
    image_size: tuple[int, int],
    images: Sequence[bytes],
) -> tuple[Values, collections.Counter]:
    """`image_statistics` and `answer_statistics` of image files.

    Args:
        answer: image files -> outputs by name, as `serving_default`.
        outputs: of them, those to measure, with their contract (components.tasks.base.Serving.contract).
        image_size: (H, W) that the network takes.
        images: JPEG or PNG files.

    Returns:
        By name: [N] float32, of the N images that were answered; and why the others were not, with how many.
    """
    # Label maps are as large as their images: together they might be more than a request may have.
    together = 1 if any(each["kind"] == "label_map" for each in outputs.values()) else _TOGETHER
    parts, left_out = [], collections.Counter()
    for first in range(0, len(images), together):
        files = list(images[first : first + together])
        encoded = tf.constant(files, tf.string)
        shown = _shown(tuple(image_size))(encoded)
        answers = answer(files)
        status = np.asarray(answers[STATUS])
        answered = status == Status.ANSWERED
        finite = np.all([_finite(answers[output]) for output in outputs], axis=0)
        left_out.update(WORDS[Status(int(code))] for code in status[~answered])
        left_out.update({NOT_FINITE: int((answered & ~finite).sum())})
        values = image_statistics(shown.numpy()) | answer_statistics(outputs, answers)
        parts.append({name: of_images[answered & finite] for name, of_images in values.items()})
    return concatenated(parts), +left_out


@functools.cache
def _shown(image_size):
    """What the network is shown of image files, [N] strings -> [N, H, W, 3]; traced once, not for each few images."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def shown(encoded):
        return receive(encoded, whole(encoded), image_size)[0]

    return shown


def concatenated(parts: Iterable[Values]) -> Values:
    """Values of several groups of images as those of all."""
    parts = list(parts)
    return {name: np.concatenate([part[name] for part in parts]).astype(np.float32) for name in (parts or [{}])[0]}


def _finite(values):
    """[N]: whether all that was answered for an image is."""
    return np.isfinite(values).reshape(len(values), -1).all(axis=1)


def image_statistics(images: np.ndarray) -> Values:
    """[N, H, W, 3] in [0, 255] -> [N] each.

    "image brightness" and "image contrast" are mean and standard deviation of the luma (ITU-R BT.601) in [0, 1], "image
    chroma" is the mean of largest less smallest channel in [0, 1], "image sharpness" the standard deviation of the
    luma's Laplacian, whose variance Pech-Pacheco et al. 2000 take for focus.
    """
    pixels = np.asarray(images, np.float32) / 255
    luma = pixels @ np.array(_LUMA, np.float32)
    middle = luma[:, 1:-1, 1:-1]
    laplacian = luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1] + luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:] - 4 * middle
    return {
        f"{IMAGE}brightness": luma.mean(axis=(1, 2)),
        f"{IMAGE}contrast": luma.std(axis=(1, 2)),
        f"{IMAGE}chroma": np.ptp(pixels, axis=-1).mean(axis=(1, 2)),
        f"{IMAGE}sharpness": laplacian.std(axis=(1, 2)),
    }


def answer_statistics(outputs: Mapping[str, Mapping[str, Any]], answers: Mapping[str, np.ndarray]) -> Values:
    """What was answered, in numbers that can be compared from image to image, [N] each.

    A decision is 0 or 1 as `attributes.Smiling`; of classes the likeliest one's index as `emotion`; of a label map each
    class' share of the pixels as `parsing.hair`; of landmarks their mean and extent (root mean square distance from it)
    as `landmarks.x`, `landmarks.y` and `landmarks.extent`, in shares of the image's sides; a number as `age`.

    Args:
        outputs: with their contract.
        answers: [N, ...] by output.
    """
    values: Values = {}
    for output, each in outputs.items():
        of_images, kind = np.asarray(answers[output]), each["kind"]
        if kind == "number":
            values[output] = of_images
        elif kind == "decisions":
            task = output.removesuffix(_DECISIONS)
            values |= {f"{task}.{name}": of_images[:, place] for place, name in enumerate(each["names"])}
        elif kind == "points":
            values |= {f"{output}.{axis}": of_images[..., place].mean(axis=1) for place, axis in enumerate("xy")}
            values[f"{output}.extent"] = np.sqrt(of_images.var(axis=1).sum(axis=-1))
        elif kind == "label_map":
            pixels = np.maximum((of_images != each["padding"]).sum(axis=(1, 2)), 1)
            for place, name in enumerate(each["names"]):
                values[f"{output}.{name}"] = (of_images == place).sum(axis=(1, 2)) / pixels
        elif kind in ("scores", "probabilities") and f"{output}{_DECISIONS}" not in outputs:
            values[output] = of_images.argmax(axis=-1)
    return values


def label_statistics(labels: Labels, of_images: np.ndarray) -> Values:
    """What images are annotated with, as `label attributes.Smiling`, `label emotion` or `label age`.

    Args:
        of_images: [N, ...], as records have them.

    Returns:
        By name the values of those of the N that are annotated; no name that none is annotated with.
    """
    found = {f"{LABEL}{name}": values[np.isfinite(values)] for name, values in labels.in_numbers(of_images).items()}
    return {name: values.astype(np.float32) for name, values in found.items() if len(values)}


def outputs_of(outputs: Mapping[str, Mapping[str, Any]], tasks: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """The outputs of some tasks, with their decisions."""
    tasks = set(tasks)
    return {name: each for name, each in outputs.items() if name.removesuffix(_DECISIONS) in tasks}


def write_reference(folder: str, datasets: Mapping[str, Values]) -> None:
    """Keeps values, by data set, beside the SavedModel in `folder`."""
    file = io.BytesIO()
    np.savez_compressed(
        file, **{f"{dataset}/{name}": of for dataset, values in datasets.items() for name, of in values.items()}
    )
    with tf.io.gfile.GFile(os.path.join(folder, REFERENCE), "wb") as written:
        written.write(file.getvalue())


def read_reference(folder: str) -> dict[str, Values]:
    """What `write_reference` kept beside the model, by data set; ValueError if there is none, or a damaged one."""
    path = os.path.join(folder, REFERENCE)
    if not tf.io.gfile.exists(path):
        raise ValueError(f"The model in {folder!r} is of an earlier facetfx, without {REFERENCE}: train it again.")
    found: dict[str, Values] = {}
    try:
        with tf.io.gfile.GFile(path, "rb") as file, np.load(io.BytesIO(file.read())) as arrays:
            for key in arrays.files:
                dataset, _, name = key.partition("/")
                found.setdefault(dataset, {})[name] = arrays[key]
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path!r} is damaged ({error}): push the model again.") from error
    return found
