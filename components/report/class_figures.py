"""Drawings of what pictures are taken for: a confusion matrix as iFAN's Fig. 6."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure as Canvas

from components.report.common import readable
from components.report.figures import GRID, INK, MUTED, NARROW, SERIES, STYLE, WIDE

NARROW_UP_TO = 8  # classes of a matrix that shares its row with another figure
NUMBERS_SHOWN = 16  # classes up to which a share has its number printed


def confusion_drawing(confusion: np.ndarray, classes: Sequence[str]) -> Canvas:
    """[C, C] pictures as a matrix of shares in percent of a row: row = true class, column = what it is taken for.

    More has more colour. The cells of the diagonal, which are right, are framed. A class without pictures has an empty
    row.
    """
    count = len(classes)
    size = (NARROW, 1.35 + 0.4 * count) if count <= NARROW_UP_TO else (WIDE, 1.7 + 0.32 * count)
    totals = confusion.sum(axis=1)
    shares = confusion / np.maximum(totals, 1)[:, None]
    cells = [(row, column) for row in np.flatnonzero(totals).tolist() for column in range(count)]
    squares = [[(c, r), (c + 1, r), (c + 1, r + 1), (c, r + 1)] for r, c in cells]
    numbers = count <= NUMBERS_SHOWN
    # Never full where there are numbers: they stay legible on the strongest cell, in a light page and in a dark one.
    shades = [(SERIES[0], (0.55 if numbers else 1.0) * shares[cell]) for cell in cells]

    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        canvas = Canvas(figsize=size, layout="constrained", dpi=72)
        axes = canvas.add_subplot()
        axes.add_collection(PolyCollection(squares, facecolors=shades, linewidths=0, clip_on=False))
        axes.vlines(range(count + 1), 0, count, color=GRID, linewidth=0.5, clip_on=False)
        axes.hlines(range(count + 1), 0, count, color=GRID, linewidth=0.5, clip_on=False)
        frames = [[(i, i), (i + 1, i), (i + 1, i + 1), (i, i + 1)] for i in range(count)]
        axes.add_collection(
            PolyCollection(frames, facecolors="none", edgecolors=MUTED, linewidths=1, zorder=2, clip_on=False)
        )
        for row, column in cells if numbers else ():
            axes.text(
                column + 0.5, row + 0.5, share_text(shares[row, column]), ha="center", va="center",
                color=INK if confusion[row, column] else MUTED, weight="bold" if row == column else "normal",
            )  # fmt: skip
        axes.set_xlim(0, count)
        axes.set_ylim(count, 0)
        names = [readable(name) for name in classes]
        places = np.arange(count) + 0.5
        counted = [f"{name} ({total:,})" for name, total in zip(names, totals.tolist(), strict=True)]
        axes.set_yticks(places, counted, color=INK)
        axes.set_xticks(places, names, color=INK, rotation=40, ha="left", rotation_mode="anchor")
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.set_xlabel("taken for")
        axes.set_ylabel("label (test pictures)")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return canvas


def share_text(share: float) -> str:
    """A share in whole percent, which is 0 only if it is nothing, and 100 only if it is all."""
    percent = round(100 * share)
    if percent == 0 and share > 0:
        return "<1"
    if percent == 100 and share < 1:
        return ">99"
    return str(percent)
