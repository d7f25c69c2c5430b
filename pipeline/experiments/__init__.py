"""The experiments by name: one file per paper. Light: nothing here imports TensorFlow or TFX."""

from __future__ import annotations

import difflib
import importlib
import pkgutil

from components.config import Experiment
from pipeline.experiments.registry import REGISTERED, register

__all__ = ["get", "names", "register"]


def names() -> list[str]:
    """All names, sorted."""
    _load()
    return sorted(REGISTERED)


def get(name: str) -> Experiment:
    """The experiment registered as `name`; ValueError with the nearest names if there is none."""
    _load()
    if name not in REGISTERED:
        near = difflib.get_close_matches(name, REGISTERED, n=3, cutoff=0.3)
        raise ValueError(f"No experiment is called {name!r}. Near: {', '.join(near) or 'none'}. All: make experiments")
    return REGISTERED[name]


def _load():
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)
