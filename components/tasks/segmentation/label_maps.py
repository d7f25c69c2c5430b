"""What the data sets for face parsing share: from the grey images of a release to a record's label map."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from components.folders import listed
from components.images.decoding import image_size
from components.record import IGNORE_LABEL, RecordError

# The eleven classes of Helen (Smith et al. 2013), which LaPa has taken over in the same order.
FACE_PARTS = (
    "background",
    "skin",
    "left_eyebrow",
    "right_eyebrow",
    "left_eye",
    "right_eye",
    "nose",
    "upper_lip",
    "inner_mouth",
    "lower_lip",
    "hair",
)
# Helen's classes with left and right as one: those of iFAN's Table 2 (Li et al. 2017).
FACE_PARTS_WITHOUT_SIDES = (
    "background",
    "skin",
    "eyebrows",
    "eyes",
    "nose",
    "upper_lip",
    "inner_mouth",
    "lower_lip",
    "hair",
)
# In the order in which CelebAMask-HQ (Lee et al. 2020) merges its masks; l_ is the person's left.
CELEBAMASK_PARTS = (
    "background",
    "skin",
    "nose",
    "eye_g",
    "l_eye",
    "r_eye",
    "l_brow",
    "r_brow",
    "l_ear",
    "r_ear",
    "mouth",
    "u_lip",
    "l_lip",
    "hair",
    "hat",
    "ear_r",
    "neck_l",
    "neck",
    "cloth",
)
# The classes that change names in a mirror. l_lip is the lower lip, ear_r an earring and neck_l a necklace.
_SIDES = (
    ("left_eyebrow", "right_eyebrow"),
    ("left_eye", "right_eye"),
    ("l_eye", "r_eye"),
    ("l_brow", "r_brow"),
    ("l_ear", "r_ear"),
)
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")

_UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def names_in(folder: str, suffixes: Collection[str]) -> list[str]:
    """The names in a folder that end in one of `suffixes`, in whatever case, sorted; RecordError without the folder.

    Hidden files are left out: unpacked on a Mac, an archive may bring a ._0.jpg beside each 0.jpg.
    """
    try:
        names = listed(folder)
    except (tf.errors.NotFoundError, tf.errors.FailedPreconditionError) as error:
        raise RecordError(f"The folder {folder!r} can't be listed: {error.message}") from error
    return sorted(name for name in names if name.lower().endswith(tuple(suffixes)) and name[0] != ".")


def decode_grey(encoded: bytes, path: str) -> np.ndarray:
    """[H, W] uint8 of an 8-bit grey PNG; RecordError that names its `path` if it is unreadable or of another kind."""
    image = _decoded(encoded, path)
    # Of another kind, the numbers are no labels or probabilities: a palette's are places in it.
    if image.mode != "L":
        raise RecordError(f"{path!r} is a PNG of the kind {image.mode!r}; expected 8-bit grey ('L').")
    return np.asarray(image)


def encode_grey(pixels: np.ndarray) -> bytes:
    """The 8-bit grey PNG of [H, W] uint8, such as a record's label map."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def decode_mask(encoded: bytes, path: str) -> np.ndarray:
    """[H, W] booleans: where a PNG, grey or in colours, is not black; RecordError that names its `path`."""
    image = _decoded(encoded, path)
    if image.mode in ("1", "L"):
        return np.asarray(image) != 0
    try:
        red, green, blue = image.convert("RGB").split()
    except ValueError as error:
        raise RecordError(f"{path!r} is a PNG of the kind {image.mode!r}; expected grey or RGB.") from error
    return (np.asarray(red) | np.asarray(green) | np.asarray(blue)) != 0


def encoded_size(encoded: bytes, path: str) -> tuple[int, int]:
    """(height, width) of an upright image, of which only the headers are read; RecordError that names its `path`."""
    try:
        return image_size(encoded)
    except RecordError as error:
        raise RecordError(f"The size of the image {path!r} can't be read: {error}") from error


def check_labels(labels: np.ndarray, classes: Collection[str], path: str) -> None:
    """RecordError that names the map's `path` if a label is neither one of `classes` nor "ignore"."""
    wrong = labels[(labels >= len(classes)) & (labels != IGNORE_LABEL)]
    if wrong.size:
        raise RecordError(
            f"{path!r} has the label {wrong[0]}; expected 0 to {len(classes) - 1}, or {IGNORE_LABEL} for a pixel "
            "to ignore."
        )


def mirrored_labels(classes: Sequence[str]) -> tuple[int, ...]:
    """The label that each of `classes` gets when an image is flipped left to right: left and right change places.

    Raises:
        ValueError: for a class that is in none of the lists above, or has a side that the other lacks.
    """
    partners = {**dict(_SIDES), **{right: left for left, right in _SIDES}}
    mirrored = [partners.get(name, name) for name in classes]
    known = {*FACE_PARTS, *FACE_PARTS_WITHOUT_SIDES, *CELEBAMASK_PARTS}
    wrong = [name for name, other in zip(classes, mirrored, strict=True) if name not in known or other not in classes]
    if wrong:
        raise ValueError(
            f"It is not known which class {wrong[0]!r} becomes in a mirror. Add it to the pairs of "
            "components/tasks/segmentation/label_maps.py, or train with flip=False and export without flip_average."
        )
    return tuple(classes.index(name) for name in mirrored)


def size_text(size: tuple[int, ...]) -> str:
    """(height, width) as people write it."""
    return f"{size[1]}x{size[0]}"


def _decoded(encoded: bytes, path: str) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(encoded), formats=("PNG",))
        image.load()
    except _UNREADABLE as error:
        raise RecordError(f"{path!r} can't be read as a PNG: {error}") from error
    return image
