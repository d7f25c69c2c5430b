"""Where experiments are entered."""

from __future__ import annotations

from components.config import Experiment

REGISTERED: dict[str, Experiment] = {}


def register(name: str, experiment: Experiment) -> None:
    """Enters an experiment.

    Raises:
        ValueError: if the name is taken by another, or the experiment can't run; the message says what to change.
    """
    try:
        experiment.validate()
    except ValueError as error:
        raise ValueError(f"Experiment {name!r}: {error}") from error
    if REGISTERED.setdefault(name, experiment) != experiment:
        raise ValueError(f"Two experiments are called {name!r}.")
