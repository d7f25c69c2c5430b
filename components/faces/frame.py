"""The frame in which a model's training images show a face, and other photographs brought to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from scipy import ndimage

from components.faces.detector import Face

_FEWEST = 5  # images with a face, without which there is no frame


@dataclasses.dataclass(frozen=True)
class Frame:
    """Where a data set's images have a face.

    Attributes:
        aspect: width by height of the images.
        points: [5][2], where the points of components.faces.detector.Face are, as shares of the image's sides.
    """

    aspect: float
    points: tuple[tuple[float, float], ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"aspect": self.aspect, "points": [list(point) for point in self.points]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Frame:
        """Inverse of `to_json`.

        Raises:
            ValueError: for a frame that nothing can be aligned to.
        """
        aspect, points = float(value["aspect"]), np.array(value["points"], float)
        if not 0.1 <= aspect <= 10:
            raise ValueError(f"a frame's aspect is from 0.1 to 10; received {aspect}")
        if points.shape != (5, 2) or not np.isfinite(points).all() or points.std(axis=0).max() < 0.01:
            raise ValueError(f"a frame's points are five that differ, x and y each; received {points.tolist()}")
        return cls(aspect, tuple(tuple(point) for point in points.tolist()))

    def size(self, height: int) -> tuple[int, int]:
        """(height, width) of an image in this frame."""
        return height, max(1, round(height * self.aspect))

    def pixels(self, height: int) -> np.ndarray:
        """[5, 2] x, y of the points in an image of a height."""
        rows, columns = self.size(height)
        return np.array(self.points) * (columns, rows)


def frame_of(shown: Iterable[tuple[np.ndarray, Face]]) -> Frame | None:
    """The frame of images [H, W, 3] with the main face of each: medians; None if there are too few."""
    sizes, points = [], []
    for image, face in shown:
        height, width = image.shape[:2]
        sizes.append(width / height)
        points.append(face.points / (width, height))
    if len(sizes) < _FEWEST:
        return None
    middle = np.median(points, axis=0).round(4).tolist()
    return Frame(round(float(np.median(sizes)), 4), tuple(tuple(point) for point in middle))


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The similarity transform that brings points nearest to others, by least squares.

    Args:
        source, target: [N, 2] x, y; two different points at least.

    Returns:
        [2, 3]: [x', y'] = A [x, y, 1], A = [[a, -b, s], [b, a, t]].
    """
    x, y = np.asarray(source, float).T
    one, zero = np.ones_like(x), np.zeros_like(x)
    rows = np.concatenate([np.stack([x, -y, one, zero], axis=1), np.stack([y, x, zero, one], axis=1)])
    a, b, s, t = np.linalg.lstsq(rows, np.asarray(target, float).T.ravel(), rcond=None)[0]
    return np.array([[a, -b, s], [b, a, t]])


def inverse(matrix: np.ndarray) -> np.ndarray:
    """[2, 3] of the map back."""
    return np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]


def moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """[N, 2] points where a map [2, 3] brings them."""
    return np.asarray(points, float) @ matrix[:, :2].T + matrix[:, 2]


def aligned(
    photograph: np.ndarray, face: Face, frame: Frame, smallest: int, largest: int
) -> tuple[np.ndarray, np.ndarray]:
    """The part of a photograph that shows a face as the frame has it; pixels at the edge go on beyond it.

    Args:
        photograph: [H, W, 3] uint8.
        smallest, largest: pixels, the height of the result: within these, its pixels are as large as the photograph's.

    Returns:
        [H', W', 3] uint8, and [2, 3], the map from the photograph's pixels to the result's (from their top left
        corners).
    """
    # How many pixels of the photograph the frame is high.
    height = 1000 / np.hypot(*similarity(face.points, frame.pixels(1000))[:, 0])
    rows = int(np.clip(round(height), smallest, largest))
    matrix = similarity(face.points, frame.pixels(rows))
    size = frame.size(rows)
    shrinks = max(1, int(height / rows))
    (left, top), part = _part_shown(photograph, matrix, size, margin=2 * shrinks)
    to_photograph = np.array([[shrinks, 0, left], [0, shrinks, top], [0, 0, 1]])
    return warped(box_filtered(part, shrinks), matrix @ to_photograph, size), matrix


def _part_shown(image, matrix, size, margin):
    """The part of an image that a map brings into a result of `size`, and its left and top pixel."""
    height, width = size
    corners = moved([(0, 0), (width, 0), (0, height), (width, height)], inverse(matrix))
    first = np.floor(corners.min(axis=0)).astype(int) - margin
    last = np.ceil(corners.max(axis=0)).astype(int) + margin
    sides = np.array(image.shape[1::-1])
    (left, top), (right, bottom) = np.clip(first, 0, sides - 1), np.clip(last, 1, sides)
    return (left, top), image[top : max(bottom, top + 1), left : max(right, left + 1)]


def box_filtered(photograph: np.ndarray, factor: int) -> np.ndarray:
    """[H, W, 3] uint8 shrunk by a whole number, so that what is warped to fewer pixels has no jagged edges."""
    if factor == 1:
        return photograph
    rows, columns = (-side % factor for side in photograph.shape[:2])
    padded = np.pad(photograph, [(0, rows), (0, columns), (0, 0)], mode="edge").astype(np.float32)
    height, width = (side // factor for side in padded.shape[:2])
    return padded.reshape(height, factor, width, factor, 3).mean(axis=(1, 3)).round().astype(np.uint8)


def warped(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int], order: int = 1, beyond: int | None = None):
    """An image moved by an affine map.

    Args:
        image: [H, W] or [H, W, C].
        matrix: [2, 3], from the image's x, y to the result's, both from the top left corner.
        size: (height, width) of the result.
        order: 1, bilinear, or 0, nearest.
        beyond: what stands where the image has nothing; None for the nearest pixel of its edge.

    Returns:
        Of the same type.
    """
    back = inverse(matrix)
    # ndimage has rows first and counts from the centres of pixels.
    linear = back[::-1, 1::-1]
    offset = back[::-1, 2] + linear @ (0.5, 0.5) - 0.5
    edge = {"mode": "nearest"} if beyond is None else {"mode": "constant", "cval": beyond}
    planes = image[..., np.newaxis] if image.ndim == 2 else image
    # Moved as float32: of uint8 ndimage would cut off what it should round.
    result = np.stack(
        [
            ndimage.affine_transform(plane.astype(np.float32), linear, offset, size, order=order, **edge)
            for plane in np.moveaxis(planes, -1, 0)
        ],
        axis=-1,
    )
    result = result.round().astype(image.dtype)
    return result[..., 0] if image.ndim == 2 else result
