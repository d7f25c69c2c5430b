"""Where experiments are entered."""

from __future__ import annotations

from components.config import Experiment

REGISTERED: dict[str, Experiment] = {}


def register(name: str, experiment: Experiment) -> None:
    """Enters an experiment; ValueError if the name is taken by another."""
    if REGISTERED.setdefault(name, experiment) != experiment:
        raise ValueError(f"Two experiments are called {name!r}.")
