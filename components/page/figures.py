"""Figures as inline SVG, and images as data URIs.

Matplotlib draws with a palette of stand-in colours, which become CSS variables afterwards: one drawing then serves the
light page, the dark page and paper. Text stays text, in the page's own font. The stand-ins are all nearly black, so
that a drawing as pixels, for TensorBoard, is one in black on white.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import itertools
import re
import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator
from PIL import Image
from scipy.optimize import isotonic_regression

# Stand-in -> CSS variable of page.css. The values have to be unlikely colours that differ, and nearly black.
_PALETTE = {
    "#010203": "--ink",
    "#010204": "--muted",
    "#010205": "--grid",
    "#010206": "--paper",
    "#010211": "--s1",
    "#010212": "--s2",
    "#010213": "--s3",
    "#010214": "--s4",
    "#010215": "--s5",
}
INK, MUTED, GRID, PAPER, *SERIES = _PALETTE

STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a $ in a name is a $
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "lines.linewidth": 1.8,
    "hatch.linewidth": 0.8,
}
NARROW, WIDE = 5.3, 11.0  # widths in inches: of one of two figures in a row, of one that has the row
_LONGEST = 360  # pixels of an image's longer side
_PANE = 256  # pixels of a pane's width on the page, about
_FEW_POINTS = 20  # up to so many landmarks have large marks
_POINTS_AN_INCH = 72  # of SVG: a figure of 6 inches is 432 units wide, and its 9 point letters are 9 units high
_PIXELS_A_POINT = 1.5  # of a drawing as pixels, and at least of the photographs in an SVG


@dataclasses.dataclass(frozen=True, eq=False)
class Line:
    """A named curve: `y` [E]; with `marks` its points, unconnected."""

    name: str
    y: np.ndarray
    marks: bool = False


def svg(canvas: Canvas, description: str) -> Markup:
    """The drawing as an <svg> element in the page's colours and font; `description` is for who can't see it."""
    buffer = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": description}):
        canvas.savefig(buffer, format="svg", transparent=True, dpi=_PIXELS_A_POINT * _POINTS_AN_INCH)
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r"<!--.*?-->\s*", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r"data:image/png;base64,\s*([^\"]*)", lambda match: _smaller(match[1]), drawing)
    for stand_in, variable in _PALETTE.items():
        drawing = drawing.replace(stand_in, f"var({variable})")
    drawing = re.sub(r"'DejaVu Sans'(, sans-serif)?", "var(--sans)", drawing)
    # Every drawing has an "axes_1": on one page the names must differ.
    scope = re.sub(r"\W+", "-", description.lower()).strip("-")
    drawing = re.sub(r'\bid="|(?<=href=")#|(?<=url\()#', lambda match: f"{match[0]}{scope}-", drawing)
    view = re.search(r'viewBox="[^"]*"', drawing)[0]
    label = Markup.escape(description)
    body = drawing[drawing.index(">") + 1 :]
    return Markup(f'<svg {view} role="img" aria-label="{label}">{body}')


def _smaller(png: str) -> str:
    """A base64 PNG as the data URI of a JPEG: a fifth of the size, for photographs."""
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"))
    return image_uri(image, longest=max(image.shape))


def pixels(canvas: Canvas) -> np.ndarray:
    """The drawing as [H, W, 3] uint8, black on white."""
    canvas.set_dpi(_PIXELS_A_POINT * _POINTS_AN_INCH)
    agg = FigureCanvasAgg(canvas)
    with matplotlib.rc_context(STYLE):
        agg.draw()
    return np.array(agg.buffer_rgba())[..., :3]


def image_uri(image: np.ndarray, longest: int = _LONGEST, flat: bool = False) -> str:
    """[H, W, 3] uint8 -> the image as a data URI, its longer side at most `longest` pixels.

    JPEG, and no larger than it is shown: a page of a dozen faces stays below a megabyte or so. An image of a few `flat`
    colours is a PNG: sharp where a JPEG has a haze.
    """
    small, kind = Image.fromarray(image), "png" if flat else "jpeg"
    small.thumbnail((longest, longest), Image.Resampling.NEAREST if flat else Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    small.save(buffer, kind, quality=90, optimize=True)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def plain_image(image: np.ndarray, description: str, flat: bool = False, longest: int = _LONGEST) -> Markup:
    """An image as it is; arguments as of `image_uri`, and `description` for who can't see it.

    A flat one that the page enlarges keeps its pixels' edges.
    """
    sharp = Markup(' class="pixels"') if flat and max(image.shape) <= _PANE else ""
    return Markup('<img{} src="{}" alt="{}">').format(sharp, image_uri(image, longest, flat), description)


def annotated_image(
    image: np.ndarray,
    description: str,
    points: np.ndarray | None = None,
    true_points: np.ndarray | None = None,
    longest: int = _LONGEST,
) -> Markup:
    """An image with landmarks on top: dots where they are predicted, rings where they are given.

    Args:
        image: [H, W, 3] uint8 RGB.
        description: for who can't see it.
        points: [T, 2] predicted x, y in [0, 1] of the image.
        true_points: [T, 2] given ones.
        longest: pixels of the longer side that are kept; the marks stay sharp at any size.
    """
    height, width = image.shape[:2]
    unit = np.hypot(height, width) / 280  # marks keep their size on the page for images of any size
    if points is not None and len(points) <= _FEW_POINTS:
        unit *= 1.9
    marks = "".join(
        f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius * unit:.2f}"/>'
        for kind, radius, places in (("given", 2.2, true_points), ("predicted", 1.35, points))
        if places is not None
        for x, y in np.asarray(places) * (width, height)
    )
    overlay = f'<g class="overlay" stroke-width="{0.7 * unit:.2f}">{marks}</g>' if marks else ""
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{Markup.escape(description)}">'
        f'<image width="{width}" height="{height}" href="{image_uri(image, longest)}"/>{overlay}</svg>'
    )


def line_chart(
    description: str,
    x: np.ndarray,
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    size: tuple[float, float] = (NARROW, 2.8),
    levels: bool = False,
    bounds: Sequence[float] = (),
) -> Markup:
    """Curves over `x` [E], each named at its right end. NaN leaves a gap. Upright lines at `bounds`.

    With `levels` a value holds from the last x up to its own, and the axis is logarithmic with the values as its ticks.
    """
    with matplotlib.rc_context(STYLE):
        canvas = Canvas(figsize=size, layout="constrained", dpi=_POINTS_AN_INCH)
        axes = canvas.add_subplot()
        styles = itertools.cycle(itertools.product(("-", (0, (5, 2)), (0, (1.2, 1.4))), SERIES))
        marker = "o" if len(x) <= 30 else None
        for line, (dash, colour) in zip(lines, styles, strict=False):
            axes.plot(
                x, line.y, color=colour, linestyle="none" if line.marks else dash,
                marker="D" if line.marks else marker, markersize=5 if line.marks else 3.2,
                drawstyle="steps-pre" if levels else "default",
            )  # fmt: skip
        for bound in bounds:
            axes.axvline(bound, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        axes.set_xlabel(x_label)
        axes.set_ylabel(textwrap.fill(y_label, 32))
        axes.margins(x=0.015, y=0.06)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
        if len(x) == 1:
            axes.set_xticks(x)
        axes.ticklabel_format(axis="x", style="plain")
        axes.ticklabel_format(axis="y", useOffset=False)
        if levels:
            ticks = np.unique([line.y for line in lines])
            axes.set_yscale("log")
            axes.set_yticks(ticks, [f"{value:g}" for value in ticks])
            axes.minorticks_off()
        if len(lines) > 1:
            _name_ends(axes, lines)
    return svg(canvas, description)


def _name_ends(axes: Axes, lines: Sequence[Line]) -> None:
    """Writes each curve's name right of its last value, moved up or down so that no two names touch."""
    ends = [next((value for value in np.asarray(line.y)[::-1] if np.isfinite(value)), np.nan) for line in lines]
    shown = [index for index, end in enumerate(ends) if np.isfinite(end)]
    if not shown:
        return  # a training that diverged at once
    low, high = axes.get_ylim()
    height = axes.figure.get_size_inches()[1] * _POINTS_AN_INCH * 0.8  # of the axes, about: labels take the rest
    places = spread([(ends[index] - low) / (high - low) for index in shown], 11.5 / height)
    for index, place in zip(shown, places, strict=True):
        curve = axes.lines[index]
        axes.annotate(
            lines[index].name,
            xy=(axes.get_xlim()[1], ends[index]), xycoords="data",
            xytext=(1.05, place), textcoords="axes fraction",
            color=curve.get_color(), va="center", ha="left", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": curve.get_color(), "linewidth": 0.7, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip


def spread(places: Sequence[float], distance: float) -> np.ndarray:
    """Moves places on a line as little as it takes to be `distance` apart, keeping their order."""
    order = np.argsort(places, kind="stable")
    steps = distance * np.arange(len(order))
    moved = np.empty(len(order))
    moved[order] = isotonic_regression(np.asarray(places, float)[order] - steps).x + steps
    return moved


def draw_matrix(axes: Axes, opacity: np.ndarray, row_names: Sequence[str], column_names: Sequence[str]) -> None:
    """[R, C] opacities in [0, 1] as a grid of squares with the columns' names above; a NaN leaves its cell empty."""
    height, width = opacity.shape
    cells = np.argwhere(np.isfinite(opacity)).tolist()
    squares = [[(c, r), (c + 1, r), (c + 1, r + 1), (c, r + 1)] for r, c in cells]
    shades = [(SERIES[0], float(opacity[r, c])) for r, c in cells]
    axes.add_collection(PolyCollection(squares, facecolors=shades, linewidths=0, clip_on=False))
    axes.vlines(range(width + 1), 0, height, color=GRID, linewidth=0.5, clip_on=False)
    axes.hlines(range(height + 1), 0, width, color=GRID, linewidth=0.5, clip_on=False)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_yticks(np.arange(height) + 0.5, row_names, color=INK)
    axes.set_xticks(np.arange(width) + 0.5, column_names, color=INK)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
