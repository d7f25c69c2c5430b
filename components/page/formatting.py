"""How numbers and names are written."""

from __future__ import annotations

import math
from collections.abc import Iterable

from components.page.page import Cell, Meter

_DASH = "–"
_NBSP = "\u00a0"


def readable(name: str) -> str:
    """`Mouth_Slightly_Open` -> `Mouth Slightly Open`."""
    return name.replace("_", " ")


def percent(share: float | None, digits: int = 2) -> str:
    """A share in [0, 1] as `91.70 %`; a dash when it is unknown or undefined."""
    return _DASH if share is None or math.isnan(share) else f"{100 * share:.{digits}f}{_NBSP}%"


def bare_percent(share: float | None, digits: int = 2) -> str:
    """A share in percent without the sign, for a column whose heading has it."""
    return percent(share, digits).removesuffix("%").strip()


def percentage_points(difference: float | None, digits: int = 2) -> str:
    """A difference of shares as signed percentage points, `+11.66`."""
    return signed(None if difference is None else 100 * difference, digits)


def signed(difference: float | None, digits: int = 2) -> str:
    """A difference of plain numbers with its sign, `+5.20`, with a true minus sign; a dash when it is unknown."""
    if difference is None or math.isnan(difference):
        return _DASH
    return f"{_rounded(difference, digits):+.{digits}f}".replace("-", "−")


def decimal(value: float | None, digits: int = 3) -> str:
    """A plain number with a true minus sign; a dash when it is unknown or undefined."""
    return _DASH if value is None or math.isnan(value) else f"{_rounded(value, digits):.{digits}f}".replace("-", "−")


def figure_text(value: float | None, share: bool) -> str:
    """A figure for a column of figures of any kind: a share in percent without the sign, a count, or a plain number."""
    if isinstance(value, int):
        return format_int(value)
    return bare_percent(value) if share else decimal(value, 2)


def interval_text(interval: tuple[float, float] | None, share: bool) -> str:
    """`89.12 to 90.03`, as `figure_text` has its ends; empty if the interval isn't known."""
    return "" if interval is None else " to ".join(figure_text(end, share) for end in interval)


def change_text(difference: float | None, share: bool) -> str:
    """A signed difference of such figures, of shares in percentage points."""
    return percentage_points(difference) if share else signed(difference)


def _rounded(value: float, digits: int) -> float:
    """Adding 0 turns the -0.0 that rounding can leave, which would be written with its sign, into 0.0."""
    return round(value, digits) + 0.0


def format_int(count: float) -> str:
    """`19,962`."""
    return f"{int(count):,}"


def plural(count: float, noun: str) -> str:
    """`1 image`, `512 images`."""
    return f"{format_int(count)} {noun}{'s' * (count != 1)}"


def finite_or_none(value: float | None) -> float | None:
    """A figure for programs: None if it is unknown or undefined; a count stays a whole number."""
    if value is None or math.isnan(value):
        return None
    return value if isinstance(value, int) else float(value)


def by_name(names: Iterable[str], values: Iterable[float]) -> dict[str, float | None]:
    """Figures for programs, each under its name."""
    return {name: finite_or_none(value) for name, value in zip(names, values, strict=True)}


def count_cells(name: str, counts: Iterable[int]) -> tuple[Cell, ...]:
    """A table row of a name and whole numbers."""
    return (Cell(name), *(Cell(format_int(count), sort=count) for count in counts))


def percent_cell(share: float, meter: Meter | None = None, digits: int = 2, tone: str = "") -> Cell:
    """A share in percent; an undefined one has no meter."""
    return Cell(bare_percent(share, digits), float(share), None if math.isnan(share) else meter, tone)
