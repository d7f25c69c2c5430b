"""Where experiments are entered."""

from __future__ import annotations

from components.config import Experiment

REGISTERED: dict[str, Experiment] = {}
ALIASES: dict[str, str] = {}  # names of before -> names of now


def register(name: str, experiment: Experiment, formerly: str | None = None) -> None:
    """Enters an experiment, under its former name too, which is told when it is used.

    Raises:
        ValueError: if the name is taken by another, or the experiment can't run; the message says what to change.
    """
    try:
        experiment.validate()
    except ValueError as error:
        raise ValueError(f"Experiment {name!r}: {error}") from error
    if REGISTERED.setdefault(name, experiment) != experiment:
        raise ValueError(f"Two experiments are called {name!r}.")
    if formerly:
        ALIASES[formerly] = name
