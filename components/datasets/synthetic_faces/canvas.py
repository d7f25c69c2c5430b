"""An image and its label map, painted together from the same shapes, back to front."""

from __future__ import annotations

import contextlib
import functools

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from components.tasks.segmentation.label_maps import CELEBAMASK_PARTS

Colour = tuple[float, float, float]

_SUPERSAMPLING = 3


@functools.cache
def _bump(strength: int, size: int = 32) -> Image.Image:
    """A round, soft spot of that strength (0 to 255) in the middle: the mask of `Canvas.glow`."""
    axis = np.linspace(-1, 1, size)
    distance = np.hypot(axis[:, None], axis[None, :]).clip(0, 1)
    return Image.fromarray(np.round(strength * (1 - distance**2) ** 2).astype(np.uint8))


@functools.cache
def _catmull_rom(count: int, closed: bool, steps: int = 6) -> np.ndarray:
    """[m, count] weights of `count` points in each of the m points of the smooth curve through them."""
    t = np.arange(steps)[:, None] / steps
    weights = 0.5 * np.hstack([-(t**3) + 2 * t**2 - t, 3 * t**3 - 5 * t**2 + 2, -3 * t**3 + 4 * t**2 + t, t**3 - t**2])
    eye = np.eye(count)
    if closed:
        padded = np.concatenate([eye[-1:], eye, eye[:2]])
    else:  # beyond its ends the line goes on straight
        padded = np.concatenate([2 * eye[:1] - eye[1:2], eye, 2 * eye[-1:] - eye[-2:-1]])
    segments = [weights @ padded[i : i + 4] for i in range(len(padded) - 3)]
    return np.concatenate(segments if closed else [*segments, eye[-1:]])


def curve(points, closed: bool = False) -> np.ndarray:
    """[n, 2] points -> [m, 2] smooth curve through all of them."""
    return _catmull_rom(len(points), closed) @ np.asarray(points, float)


def ribbon(spine: np.ndarray, widths) -> np.ndarray:
    """[n, 2] line and its [n] widths -> closed outline of a band that narrows and widens along it."""
    along = np.gradient(spine, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], 1) / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-9)
    half = np.broadcast_to(np.asarray(widths)[..., None] / 2, (len(spine), 1)) * normal
    return np.concatenate([spine + half, (spine - half)[::-1]])


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Colour between `a` and `b`; `share` is of `b`."""
    return tuple(p + (q - p) * share for p, q in zip(a, b, strict=True))


class Canvas:
    """Shapes are [n, 2] arrays of x, y and lengths are fractions, both in [0, 1] of the square image.

    Labels are named as in CELEBAMASK_PARTS: l_ is the person's left, but l_lip the lower lip; ear_r is an earring,
    neck_l a necklace, eye_g glasses.

    Args:
        size: of the finished image in pixels.
        light: what every colour is multiplied by.
    """

    def __init__(self, size: int, light: Colour = (1, 1, 1)):
        self._size, self._fine, self._light = size, size * _SUPERSAMPLING, light
        self._image = Image.new("RGB", (self._fine, self._fine))
        self._labels = Image.new("L", (size, size))
        self._draw = ImageDraw.Draw(self._image)
        self._draw_labels = ImageDraw.Draw(self._labels)

    def background(self, corners: list[Colour]) -> None:
        """A smooth gradient between the colours of the four corners."""
        tile = Image.new("RGB", (2, 2))
        tile.putdata([self._lit(colour) for colour in corners])
        # The box runs from the centre of the first pixel to that of the last: no flat margins.
        coarse = tile.resize((self._size, self._size), Image.Resampling.BILINEAR, box=(0.5, 0.5, 1.5, 1.5))
        self._image.paste(coarse.resize(self._image.size, Image.Resampling.NEAREST))

    def fill(self, shape: np.ndarray, colour: Colour | None, label: str | None = None) -> None:
        """Paints a polygon; without a colour on the label map alone, without a label on the image alone."""
        if colour is not None:
            self._draw.polygon(self._pixels(shape, self._fine), fill=self._lit(colour))
        if label is not None:
            self._draw_labels.polygon(self._pixels(shape, self._size), fill=CELEBAMASK_PARTS.index(label))

    def line(self, path: np.ndarray, width: float, colour: Colour, label: str | None = None) -> None:
        """Paints an open line."""
        thickness = max(1, round(width * self._fine))
        self._draw.line(self._pixels(path, self._fine), fill=self._lit(colour), width=thickness, joint="curve")
        if label is not None:
            index = CELEBAMASK_PARTS.index(label)
            thickness = max(1, round(width * self._size))
            self._draw_labels.line(self._pixels(path, self._size), fill=index, width=thickness)

    def disc(self, centre, radius: float, colour: Colour, label: str | None = None) -> None:
        """Paints a full circle."""
        index = None if label is None else CELEBAMASK_PARTS.index(label)
        for draw, size, value in (
            (self._draw, self._fine, self._lit(colour)),
            (self._draw_labels, self._size, index),
        ):
            if value is not None:
                x, y = np.asarray(centre) * size - 0.5
                r = radius * size
                draw.ellipse((x - r, y - r, x + r, y + r), fill=value)

    def tint(self, shape: np.ndarray, colour: Colour, strength: float) -> None:
        """Mixes a colour into a polygon of the image."""
        box, mask = self._mask(shape, round(255 * strength))
        self._image.paste(self._lit(colour), box, mask)

    def glow(self, centre, radii: tuple[float, float], colour: Colour, strength: float) -> None:
        """Mixes a colour into a soft ellipse of the image."""
        width, height = (max(2, round(2 * r * self._fine)) for r in radii)
        x, y = np.asarray(centre) * self._fine
        mask = _bump(round(255 * strength)).resize((width, height), Image.Resampling.BILINEAR)
        self._image.paste(self._lit(colour), (round(x - width / 2), round(y - height / 2)), mask)

    @contextlib.contextmanager
    def inside(self, shape: np.ndarray):
        """What is painted on the image within this context appears only inside the polygon."""
        box, mask = self._mask(shape, 255)
        before = self._image.copy()
        yield
        after = self._image.crop(box)
        self._image.paste(before)
        self._image.paste(after, box, mask)

    def finish(self, blur: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """[size, size, 3] uint8 image, blurred with a Gaussian of that radius, and [size, size] uint8 label map."""
        image = self._image.reduce(_SUPERSAMPLING)
        if blur:
            image = image.filter(ImageFilter.GaussianBlur(blur * self._size))
        return np.asarray(image), np.asarray(self._labels)

    def _mask(self, shape: np.ndarray, value: int) -> tuple[tuple[int, int, int, int], Image.Image]:
        """The polygon's bounding box within the fine image, and a mask of that size."""
        corners = np.stack([shape.min(0), shape.max(0)]) * self._fine
        (left, top), (right, bottom) = np.stack([corners[0] - 1, corners[1] + 2]).clip(0, self._fine).astype(int)
        right, bottom = max(right, left + 1), max(bottom, top + 1)
        mask = Image.new("L", (right - left, bottom - top))
        offset = np.array([left, top]) / self._fine
        ImageDraw.Draw(mask).polygon(self._pixels(shape - offset, self._fine), fill=value)
        return (left, top, right, bottom), mask

    def _lit(self, colour: Colour) -> tuple[int, ...]:
        return tuple(max(0, min(255, round(c * f))) for c, f in zip(colour, self._light, strict=True))

    @staticmethod
    def _pixels(shape: np.ndarray, size: int) -> list[float]:
        # Pillow's coordinate 0 is the centre of the first pixel.
        return (np.asarray(shape) * size - 0.5).ravel().tolist()
