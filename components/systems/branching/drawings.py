"""Drawings of a network that widened itself: its tree, the affinities it was grown by, and what branches would cost."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from components.page.figures import INK, MUTED, NARROW, PAPER, SERIES, STYLE, WIDE
from components.page.formatting import readable
from keras_models.branch_tree import BranchTree

_ROW = 0.17  # inches a task
_PANELS = 4  # in a row
_COLUMN_LETTERS = 11  # of a layer's name above its column
_COLOURS = "viridis"


def levels(tree: BranchTree) -> list[tuple[str, tuple[tuple[int, ...], ...]]]:
    """(layers, branches) from the input up; layers next to each other with the same branches are one level."""
    found = []
    for branches, pairs in itertools.groupby(zip(tree.layers, tree.branches, strict=True), lambda pair: pair[1]):
        names = [layer for layer, _ in pairs]
        found.append((names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}", branches))
    return found


def from_the_left(tree: BranchTree, branches: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """Branches of a layer in the order in which the tree is drawn."""
    order = tree.order()
    return sorted(branches, key=lambda branch: min(map(order.index, branch)))


def tree_drawing(tree: BranchTree, tasks: Sequence[str]) -> Canvas:
    """The tree from the input, on the left, to the tasks' names, as the paper's Fig. 4.

    A column is a layer, or several with the same branches; a block in it is a branch, as high as it has tasks. What
    touches a block on its right hangs on it.
    """
    order, shown = tree.order(), levels(tree)
    row = {task: place for place, task in enumerate(order)}
    count = len(order)
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        canvas = Canvas(figsize=(WIDE, 0.75 + _ROW * count), layout="constrained", dpi=72)
        axes = canvas.add_subplot()
        for column, (name, branches) in enumerate(shown):
            for branch in branches:
                top = min(row[task] for task in branch)
                strength = 0.25 + 0.45 * column / max(len(shown) - 1, 1)
                axes.add_patch(
                    Rectangle((column, top), 1, len(branch), facecolor=(SERIES[0], strength), edgecolor=PAPER,
                              linewidth=1.5)
                )  # fmt: skip
                if len(branch) > 1:
                    axes.text(column + 0.5, top + len(branch) / 2, str(len(branch)), ha="center", va="center")
            words = f"{textwrap.fill(name, _COLUMN_LETTERS)}\n{len(branches)}"
            axes.text(column + 0.5, -0.4, words, ha="center", va="bottom", color=MUTED, fontsize=8)
        axes.set_xlim(0, len(shown))
        axes.set_ylim(count, 0)
        axes.yaxis.tick_right()
        axes.set_yticks(np.arange(count) + 0.5, [readable(tasks[task]) for task in order], color=INK)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return canvas


def common_bounds(affinities: Sequence[np.ndarray]) -> tuple[float, float]:
    """Smallest and largest affinity of two tasks in several [T, T]; a task's with itself is 1 and says nothing."""
    others = [affinity[~np.eye(len(affinity), dtype=bool)] for affinity in affinities]
    return float(min(map(np.min, others))), float(max(map(np.max, others)))


def affinity_map(
    affinity: np.ndarray,
    order: Sequence[int],
    groups: Sequence[Sequence[int]],
    bounds: tuple[float, float],
    names: Sequence[str] = (),
) -> Canvas:
    """Affinities of tasks as a heat map, with a frame around each group.

    Args:
        affinity: [T, T] in [0, 1].
        order: of the tasks from left to right; the tasks of a group stand side by side in it.
        groups: of task numbers.
        bounds: of the colour scale.
        names: of the tasks; they are written down if given.
    """
    matrix = np.asarray(affinity)[np.ix_(order, order)]
    row = {task: place for place, task in enumerate(order)}
    side = max(1.9 + _ROW * len(order), NARROW) if names else NARROW - 1
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        canvas = Canvas(figsize=(WIDE if names else side + 0.9, side), layout="constrained", dpi=72)
        axes = canvas.add_subplot()
        image = axes.imshow(matrix, cmap=_COLOURS, vmin=bounds[0], vmax=bounds[1], interpolation="nearest")
        for group in groups:
            first = min(row[task] for task in group) - 0.5
            axes.add_patch(
                Rectangle((first, first), len(group), len(group), fill=False, edgecolor="#ffffff", linewidth=1.6)
            )
        places = range(len(order)) if names else []
        labels = [readable(names[task]) for task in order] if names else []
        axes.set_yticks(places, labels, color=INK)
        axes.set_xticks(places, labels, color=INK, rotation=90)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        scale = canvas.colorbar(image, ax=axes, shrink=0.6, aspect=24)
        scale.outline.set_visible(False)
        scale.ax.set_title("affinity", fontsize=8, color=MUTED)
    return canvas


def costs_drawing(rounds: Sequence[tuple[str, Sequence[float], int]]) -> Canvas:
    """A panel a round: L(d) over the number of branches d, with the number that was chosen.

    Args:
        rounds: (layer, L(1), L(2), ..., the chosen d).
    """
    columns = min(len(rounds), _PANELS)
    rows = math.ceil(len(rounds) / columns)
    with matplotlib.rc_context(STYLE):
        width = WIDE if columns > 2 else NARROW
        canvas = Canvas(figsize=(width, 0.3 + 1.75 * rows), layout="constrained", dpi=72)
        panels = canvas.subplots(rows, columns, squeeze=False).ravel()
        for axes, (layer, costs, chosen) in zip(panels, rounds, strict=False):
            x = np.arange(1, len(costs) + 1)
            axes.plot(x, costs, color=SERIES[0], marker="o", markersize=2.6)
            axes.plot([chosen], [costs[chosen - 1]], color=SERIES[1], marker="o", markersize=7, linestyle="none")
            axes.set_title(f"{layer}: {chosen} of {len(costs)}", loc="left", fontsize=9, color=INK)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
            axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
            axes.margins(y=0.15)
            axes.set_xlim(0.5, len(costs) + 0.5)
        for axes in panels[len(rounds) :]:
            axes.set_visible(False)
        canvas.supxlabel("number of branches d", color=MUTED, fontsize=9)
        canvas.supylabel("L(d)", color=MUTED, fontsize=9)
    return canvas
