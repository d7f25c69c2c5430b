"""Drawings of what a network of groups attends to: masks over faces, and the groups' affinities.

The report shows them as SVG, TensorBoard as pixels.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Patch
from PIL import Image, ImageOps

from components.page.figures import GRID, MUTED, NARROW, PAPER, SERIES, STYLE, WIDE, draw_matrix
from components.page.formatting import readable

MASKS_SHOWN = 8  # of one tap: as many as the paper's groups; more would not be legible
NUMBERS_SHOWN = 8  # groups up to which an affinity has its number printed
_FULL_COLOUR = 99  # percentile: one bright place must not leave the others pale
_GLOW = np.array([255, 160, 30])  # of the masks: brighter than the grey face below
_FACE_PIXELS = 200  # of a image's longer side


def most_varied(masks: np.ndarray, count: int = MASKS_SHOWN) -> np.ndarray:
    """Indices, in order, of the `count` masks of [P, h, w, K] that differ most from place to place."""
    deviation = masks.std(axis=(1, 2)).mean(axis=0)
    return np.sort(np.argsort(-deviation, kind="stable")[:count])


def dead(masks: np.ndarray) -> np.ndarray:
    """Indices of the masks of [P, h, w, K] that are 0 everywhere on all P images, as ReLU lets them become."""
    return np.flatnonzero(~masks.any(axis=(0, 1, 2)))


def full_colour(masks: np.ndarray) -> float:
    """The value from which on a mask of [P, h, w, K] has its full colour: the scale of `mask_drawing`."""
    return float(np.percentile(masks, _FULL_COLOUR)) or float(masks.max())


def mask_drawing(images: Sequence[np.ndarray], masks: np.ndarray, groups: Sequence[str]) -> Canvas:
    """A row an image: the face, then each group's mask over it, all on one scale.

    Args:
        images: S of [H, W, 3] uint8 RGB, of any sizes.
        masks: [S, h, w, K]; 0 has no colour.
        groups: K names.
    """
    rows, columns = len(images), len(groups) + 1
    height, width = images[0].shape[:2]
    scale = _FACE_PIXELS / max(height, width)
    size = (round(width * scale), round(height * scale))
    top = full_colour(masks)
    grid = np.concatenate([_row(image, mask, top, size) for image, mask in zip(images, masks, strict=True)])

    side = min(WIDE / columns, 1.5)  # inches: width of a face
    faces = rows * side * size[1] / size[0]
    below, above = 0.55, 0.34
    total = below + faces + above
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        canvas = Canvas(figsize=(WIDE, total))
        axes = canvas.add_axes((0, below / total, columns * side / WIDE, faces / total))
        axes.imshow(grid, extent=(0, columns, rows, 0), aspect="auto")
        axes.set_axis_off()
        axes.vlines(range(1, columns), 0, rows, color=PAPER, linewidth=2)
        axes.hlines(range(1, rows), 0, columns, color=PAPER, linewidth=2)
        for column, name in enumerate(["image", *groups]):
            axes.text(column + 0.5, -0.03, textwrap.fill(readable(name), 14), ha="center", va="bottom")
        for row, column in np.argwhere(~masks.any(axis=(1, 2))):
            # On a photograph: the same in a light page and a dark one.
            axes.text(column + 1.5, row + 0.5, "all 0", ha="center", va="center", color="#ffffff",
                      bbox={"facecolor": "#000000", "edgecolor": "none", "alpha": 0.65, "pad": 2})  # fmt: skip
        _add_scale(canvas.add_axes((0.04 / WIDE, 0.26 / total, 2.4 / WIDE, 0.13 / total)), top)
    return canvas


def _row(image, masks, top, size):
    """[H, W, 3] and [h, w, K] -> the face and K times the face under a mask, side by side, each of `size`."""
    face = Image.fromarray(image)
    face = ImageOps.contain(face, size, Image.Resampling.BILINEAR)
    grey = np.asarray(face.convert("L"), np.float32)[..., None] * 0.45 + 20
    cells = [face]
    for mask in np.moveaxis(masks, -1, 0):
        smooth = Image.fromarray(mask.astype(np.float32)).resize(face.size, Image.Resampling.BILINEAR)
        cells.append(Image.fromarray(_coloured(grey, np.asarray(smooth), top)))
    return np.concatenate([np.asarray(ImageOps.pad(cell, size, color="#808080")) for cell in cells], axis=1)


def _coloured(grey, mask, top):
    """Grey [H, W, 1] under the colour of a mask [H, W], the more of it the larger the mask: [H, W, 3] uint8."""
    share = 0.75 * np.clip(np.nan_to_num(mask / (top or 1.0)), 0, 1)[..., None]
    return np.round(grey * (1 - share) + _GLOW * share).astype(np.uint8)


def _add_scale(axes, top):
    values = np.linspace(0, top, 100)[None]
    axes.imshow(_coloured(np.full((1, 100, 1), 75.0), values, top), extent=(0, 1, 0, 1), aspect="auto")
    axes.set_yticks([])
    axes.set_xticks([0, 0.5, 1], ["0", f"{top / 2:.2g}", f"{top:.2g} and more"])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8)
    axes.annotate("weight of a place in the mask", (1, 0.5), (34, 0), xycoords="axes fraction",
                  textcoords="offset points", va="center", color=MUTED)  # fmt: skip


def affinity_drawing(affinities: np.ndarray, groups: Sequence[str]) -> Canvas:
    """[K, K] as a matrix: row i has the source groups of target group i. More has more colour, and few have numbers."""
    count = len(groups)
    few = count <= NUMBERS_SHOWN
    size = (NARROW, 1.7 + 0.33 * count) if few else (WIDE, 1.9 + 0.22 * count)
    names = [readable(name) for name in groups]
    most = float(affinities.max())  # at least 1 / (K - 1), since rows add up to 1
    # Never full where there are numbers: they stay legible on the strongest cell. A diverged network has NaN.
    full = 0.55 if few else 1.0
    opacity = full * np.nan_to_num(affinities / most)
    np.fill_diagonal(opacity, np.nan)
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        canvas = Canvas(figsize=size, layout="constrained", dpi=72)
        axes = canvas.add_subplot()
        draw_matrix(axes, opacity, names, names)
        axes.plot([0, count], [0, count], color=GRID, linewidth=0.8)  # strikes out the diagonal
        for row, column in np.argwhere(np.isfinite(opacity)) if few else ():
            axes.text(column + 0.5, row + 0.5, f"{affinities[row, column]:.2f}", ha="center", va="center")
        for label in axes.get_xticklabels():
            label.set(**({"rotation": 40, "ha": "left"} if few else {"rotation": 90}))
        axes.set_xlabel("source group")
        axes.set_ylabel("target group")
        patches = [
            Patch(facecolor=(SERIES[0], full * float(np.nan_to_num(value / most))), edgecolor=GRID,
                  label=f"{value:.2g}: {words}")
            for value, words in ((1 / (count - 1), "all alike"), (most, "the most"))
        ]  # fmt: skip
        canvas.legend(handles=patches, loc="outside lower left", ncols=2, frameon=False, labelcolor=MUTED)
    return canvas
