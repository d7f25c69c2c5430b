"""Which code runs: a hash for cache keys, since TFX does not see a change behind a dotted path; git's commit."""

from __future__ import annotations

import hashlib
import pathlib
import subprocess

_ROOT = pathlib.Path(__file__).parent.parent


def code_version(*paths: str) -> str:
    """Hash of Python files.

    Args:
        *paths: files, folders (with what lies below) or patterns of such, relative to the project's root.

    Raises:
        FileNotFoundError: for a path that isn't there.
    """
    digest = hashlib.sha256()
    for path in paths:
        places = sorted(_ROOT.glob(path))
        if not places:
            raise FileNotFoundError(f"There is no {path!r} in {str(_ROOT)!r}.")
        for file in (file for place in places for file in (sorted(place.rglob("*.py")) if place.is_dir() else [place])):
            digest.update(f"{file.relative_to(_ROOT)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def commit() -> str:
    """The commit that this code is, with "-dirty" behind it where code differs or is new; "" where git doesn't know."""

    def git(*arguments):
        return subprocess.run(["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, check=False).stdout

    try:
        found = git("rev-parse", "--short=7", "HEAD").strip()
        changed = git("status", "--porcelain", "--", "*.py", "schemas", "requirements.lock")
    except FileNotFoundError:  # no git
        return ""
    return f"{found}-dirty" if changed.strip() else found
