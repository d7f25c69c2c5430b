"""A hash of code, for cache keys: TFX does not see a change behind a dotted path."""

from __future__ import annotations

import hashlib
import pathlib

_ROOT = pathlib.Path(__file__).parent.parent


def code_version(*paths: str) -> str:
    """Hash of Python files.

    Args:
        *paths: files or folders (with what lies below) relative to the project's root.

    Raises:
        FileNotFoundError: for a path that isn't there.
    """
    digest = hashlib.sha256()
    for path in paths:
        place = _ROOT / path
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        for file in files:
            digest.update(f"{file.relative_to(_ROOT)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]
