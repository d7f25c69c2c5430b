"""Drawing of several tasks through the stages of one training, as iFAN's Fig. 7."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Collection, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from components.report.common import readable
from components.report.figures import INK, MUTED, SERIES, STYLE, WIDE, draw_bounds

_LOG_FROM = 10.0  # largest over smallest: from here on an error's scale is logarithmic, or its end could not be read
_LETTER = 0.072  # inches: width of one of a stage's name


def stage_bounds(stages: Sequence[tuple[str, int]]) -> list[float]:
    """Where one stage ends and the next begins, on an axis on which the first epoch is 1."""
    ends = list(itertools.accumulate(count for _, count in stages))
    return [end + 0.5 for end in ends[:-1]]


def stage_drawing(
    figures: Mapping[str, np.ndarray], stages: Sequence[tuple[str, int]], errors: Collection[str] = ()
) -> Canvas:
    """A panel a figure over all epochs, the panels below each other, with the stages' bounds drawn and named above.

    A stage that is too short for its name has its number.

    Args:
        figures: by name [E], shares; NaN leaves a gap.
        stages: (name, epochs).
        errors: names of the figures that are the better the lower.
    """
    epochs = sum(count for _, count in stages)
    x = np.arange(1, epochs + 1)
    with matplotlib.rc_context(STYLE):
        canvas = Canvas(figsize=(WIDE, 1.0 + 1.45 * len(figures)), layout="constrained", dpi=72)
        panels = canvas.subplots(len(figures), 1, sharex=True, squeeze=False)[:, 0]
        for index, (axes, (name, values)) in enumerate(zip(panels, figures.items(), strict=True)):
            shown = 100 * np.asarray(values, float)
            axes.plot(x, shown, color=SERIES[index % len(SERIES)], marker="o" if epochs <= 40 else None, markersize=3.2)
            known = shown[np.isfinite(shown)]
            words = f"{readable(name)} (%)"
            if name in errors:
                words += ", lower is better"
                if known.size and known.min() > 0 and known.max() / known.min() >= _LOG_FROM:
                    words += ", log scale"
                    _use_log(axes)
            axes.set_title(words, loc="left", fontsize=9, color=INK)
            axes.margins(x=0.01, y=0.09)
            draw_bounds(axes, stage_bounds(stages))
        panels[-1].set_xlabel("epochs")
        panels[-1].set_xlim(0.5, epochs + 0.5)
        panels[-1].xaxis.set_major_locator(MaxNLocator(nbins=14, integer=True, min_n_ticks=1))
        if len(stages) > 1:
            _name_stages(panels[0], stages, WIDE * 0.93 / epochs)
    return canvas


def _use_log(axes):
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _name_stages(axes, stages, inches_an_epoch):
    first = 0.5
    for index, (name, count) in enumerate(stages, start=1):
        lines = textwrap.wrap(f"{index} {readable(name)}", max(int(count * inches_an_epoch / _LETTER), 1))
        fits = len(lines) <= 2 and " ".join(lines) == f"{index} {readable(name)}"
        axes.annotate(
            "\n".join(lines) if fits else str(index), (first + count / 2, 1), (0, 22),
            xycoords=("data", "axes fraction"), textcoords="offset points", ha="center", va="bottom", color=MUTED,
            fontsize=8.5, annotation_clip=False,
        )  # fmt: skip
        first += count
