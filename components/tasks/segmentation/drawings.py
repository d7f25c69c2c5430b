"""Drawings of label maps: in colours, and where they are wrong.

The report shows the images in its page, TensorBoard a panel of them as pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Patch
from PIL import Image, ImageOps

from components.page.figures import MUTED, PAPER, STYLE, WIDE
from components.page.formatting import readable
from components.record import IGNORE_LABEL

# A class has the colour of its number. Found by a search for colours that are far from each other in CIELAB; a test
# holds their distance. Dark grey for background, the second for skin.
PALETTE = np.array(
    [
        [0x45, 0x4B, 0x54], [0xF2, 0xC3, 0x9B], [0xFF, 0x5A, 0xA5], [0x00, 0x78, 0x00], [0xB4, 0x78, 0xF0],
        [0x00, 0xFF, 0xD2], [0xB4, 0x3C, 0x00], [0xF0, 0xE1, 0x5A], [0x2D, 0xB4, 0xFF], [0x00, 0x78, 0x5A],
        [0x87, 0x3C, 0x78], [0xFF, 0xB4, 0xF0], [0xFF, 0xA5, 0x3C], [0x78, 0x5A, 0x00], [0x96, 0xFF, 0x87],
        [0x1E, 0xD2, 0xE1], [0xB4, 0x5A, 0x5A], [0x00, 0x5A, 0xB4], [0x96, 0xB4, 0x69],
    ],
    np.uint8,
)  # fmt: skip
WRONG = np.array([255, 62, 48], np.uint8)
_HATCH = np.array([[112, 112, 112], [176, 176, 176]], np.uint8)  # stripes over pixels without a class
_STRIPE = 4  # pixels of a stripe's width
SIDE = 360  # pixels of a drawn image's longer side
_COLUMNS = ("image", "predicted", "truth", "errors")


# CelebAMask-HQ's names of its classes, which can be misread: l_lip is the lower lip, l_eye the left eye.
_SPELT_OUT = {
    "eye_g": "glasses",
    "l_eye": "left eye",
    "r_eye": "right eye",
    "l_brow": "left brow",
    "r_brow": "right brow",
    "l_ear": "left ear",
    "r_ear": "right ear",
    "u_lip": "upper lip",
    "l_lip": "lower lip",
    "ear_r": "earring",
    "neck_l": "necklace",
}


def class_name(name: str) -> str:
    """A class as a person reads it: `l_lip` -> `lower lip`."""
    return _SPELT_OUT.get(name, readable(name))


def css(colour: np.ndarray) -> str:
    """[3] uint8 as CSS has it."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def hatch_css() -> str:
    """The stripes over pixels without a class, as a CSS background."""
    one, other = map(css, _HATCH)
    return f"repeating-linear-gradient(135deg, {one} 0 3px, {other} 3px 6px)"


def shown_image(image: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8, smoothly resized to the size of a drawn image."""
    return _resized(image, Image.Resampling.LANCZOS)


def shown_labels(labels: np.ndarray) -> np.ndarray:
    """[H, W] uint8 at the size of a drawn image, where each pixel keeps a class that was there."""
    return _resized(labels, Image.Resampling.NEAREST)


def _resized(array: np.ndarray, method: Image.Resampling) -> np.ndarray:
    height, width = array.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(Image.fromarray(array).resize(size, method))


def label_colours(labels: np.ndarray) -> np.ndarray:
    """[H, W] uint8 classes -> [H, W, 3] uint8: each class in its colour, IGNORE_LABEL in stripes."""
    coloured = PALETTE[np.where(labels == IGNORE_LABEL, 0, labels)]
    coloured[labels == IGNORE_LABEL] = _stripes(labels.shape)[labels == IGNORE_LABEL]
    return coloured


def overlay(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The image in grey under its classes' colours: what is where, and the face it is of.

    Args:
        image: [H, W, 3] uint8 RGB.
        labels: [H, W] uint8; IGNORE_LABEL is striped.

    Returns:
        [h, w, 3] uint8 of the size of a drawn image.
    """
    grey = shown_image(np.asarray(Image.fromarray(image).convert("L").convert("RGB"))).astype(np.float32)
    return np.round(0.4 * grey + 0.6 * label_colours(shown_labels(labels))).astype(np.uint8)


def error_map(image: np.ndarray, predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The image in dim grey with its wrong pixels in one strong colour; those without a class are striped.

    Args:
        image: [H, W, 3] uint8 RGB.
        predicted, truth: [H, W] uint8.

    Returns:
        [H, W, 3] uint8.
    """
    grey = np.asarray(Image.fromarray(image).convert("L"), np.float32) * 0.4 + 16
    drawn = np.repeat(np.round(grey).astype(np.uint8)[..., None], 3, axis=-1)
    unknown = truth == IGNORE_LABEL
    drawn[unknown] = _stripes(truth.shape)[unknown] // 2
    drawn[(predicted != truth) & ~unknown] = WRONG
    return drawn


def _stripes(shape: tuple[int, int]) -> np.ndarray:
    """[H, W, 3] uint8."""
    rows, columns = np.indices(shape)
    return _HATCH[(rows + columns) // _STRIPE % 2]


def parsing_panel(
    images: Sequence[np.ndarray], predicted: Sequence[np.ndarray], truth: Sequence[np.ndarray], classes: Sequence[str]
) -> Canvas:
    """A row an image: the image, what is predicted, the truth, and the wrong pixels; below, the classes' colours.

    Args:
        images: P of [H, W, 3] uint8 RGB, of any sizes.
        predicted, truth: P of [H, W] uint8; IGNORE_LABEL in the truth where a pixel has no class.
        classes: C names, background first.
    """
    rows = [_row(*each) for each in zip(images, predicted, truth, strict=True)]
    height = max(len(row[0]) for row in rows)
    width = max(row[0].shape[1] for row in rows)
    grid = np.concatenate([np.concatenate([_padded(cell, width, height) for cell in row], axis=1) for row in rows])

    legend_columns = 7
    side = WIDE / len(_COLUMNS)  # inches: width of an image
    heights = len(rows) * side * height / width
    above, below = 0.3, 0.15 + 0.2 * -(-(len(classes) + 2) // legend_columns)
    total = below + heights + above
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        canvas = Canvas(figsize=(WIDE, total))
        axes = canvas.add_axes((0, below / total, 1, heights / total))
        axes.imshow(grid, extent=(0, len(_COLUMNS), len(rows), 0), aspect="auto")
        axes.set_axis_off()
        axes.vlines(range(1, len(_COLUMNS)), 0, len(rows), color=PAPER, linewidth=2)
        axes.hlines(range(1, len(rows)), 0, len(_COLUMNS), color=PAPER, linewidth=2)
        for column, name in enumerate(_COLUMNS):
            axes.text(column + 0.5, -0.02, name, ha="center", va="bottom")
        patches = [
            Patch(facecolor=css(colour), label=class_name(name))
            for name, colour in zip(classes, PALETTE[: len(classes)], strict=True)
        ]
        patches.append(Patch(facecolor=css(_HATCH[0]), edgecolor=css(_HATCH[1]), hatch="////", label="not labelled"))
        patches.append(Patch(facecolor=css(WRONG), label="wrong"))
        canvas.legend(
            handles=patches, loc="lower left", ncols=legend_columns, frameon=False, labelcolor=MUTED, fontsize=8,
            borderaxespad=0.2,
        )  # fmt: skip
    return canvas


def _row(image, predicted, truth):
    """The four cells of a row, each [h, w, 3] uint8."""
    errors = shown_image(error_map(image, predicted, truth))
    return shown_image(image), *(label_colours(shown_labels(labels)) for labels in (predicted, truth)), errors


def _padded(cell, width, height):
    return np.asarray(ImageOps.pad(Image.fromarray(cell), (width, height), Image.Resampling.NEAREST, color="#808080"))
