"""Drawing of what images are predicted as: a confusion matrix as iFAN's Fig. 6."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Canvas

from components.page.figures import INK, MUTED, NARROW, STYLE, WIDE, draw_matrix
from components.page.formatting import readable

NARROW_UP_TO = 8  # classes of a matrix that shares its row with another figure
NUMBERS_SHOWN = 16  # classes up to which a share has its number printed


def confusion_drawing(confusion: np.ndarray, classes: Sequence[str]) -> Canvas:
    """[C, C] images as a matrix of shares in percent of a row: row = true class, column = predicted class.

    More has more colour, and the diagonal, which is right, bold numbers. A class without images has an empty row.
    """
    count = len(classes)
    size = (NARROW, 1.35 + 0.4 * count) if count <= NARROW_UP_TO else (WIDE, 1.7 + 0.32 * count)
    totals = confusion.sum(axis=1)
    shares = np.where(totals[:, None] > 0, confusion / np.maximum(totals, 1)[:, None], np.nan)
    numbers = count <= NUMBERS_SHOWN
    names = [readable(name) for name in classes]
    counted = [f"{name} ({total:,})" for name, total in zip(names, totals.tolist(), strict=True)]
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        canvas = Canvas(figsize=size, layout="constrained", dpi=72)
        axes = canvas.add_subplot()
        # Never full where there are numbers: they stay legible on the strongest cell, on a light page and a dark one.
        draw_matrix(axes, (0.55 if numbers else 1.0) * shares, counted, names)
        for row, column in np.argwhere(np.isfinite(shares)) if numbers else ():
            axes.text(
                column + 0.5, row + 0.5, f"{100 * shares[row, column]:.0f}", ha="center", va="center",
                color=INK if confusion[row, column] else MUTED, weight="bold" if row == column else "normal",
            )  # fmt: skip
        for label in axes.get_xticklabels():
            label.set(rotation=40, ha="left", rotation_mode="anchor")
        axes.set_xlabel("predicted as")
        axes.set_ylabel("label (test images)")
    return canvas
