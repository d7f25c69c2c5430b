"""Checksums of a model's files, in the form that sha256sum writes.

    cd out/serving/<experiment>/<version> && sha256sum --check --quiet assets.extra/SHA256SUMS

Two copies of a model have the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from tfx.dsl.io import fileio

CHECKSUMS = os.path.join("assets.extra", "SHA256SUMS")
_CHUNK = 2**20


def write_checksums(folder: str) -> None:
    """Leaves the checksums of all files in the folder of a model, which is then complete."""
    names = sorted(set(_files(folder)) - {CHECKSUMS})
    lines = [f"{_checksum(os.path.join(folder, name))}  {name}\n" for name in names]
    with fileio.open(os.path.join(folder, CHECKSUMS), "w") as file:
        file.write("".join(lines))


def checksums(folder: str) -> str | None:
    """What `write_checksums` left in the folder of a model; None where it left nothing."""
    path = os.path.join(folder, CHECKSUMS)
    if not fileio.exists(path):
        return None
    with fileio.open(path, "rb") as file:
        return file.read().decode(errors="replace")


def damaged_files(folder: str) -> list[str]:
    """Names of the files in the folder of a model that are gone or not what they were, in order.

    None of a model without checksums, as an earlier facetfx left it. What was laid beside later isn't looked at.
    """
    text = checksums(folder)
    if text is None:
        return []
    if not text.endswith("\n"):
        return [CHECKSUMS]
    sums = (line.partition("  ") for line in text[:-1].split("\n"))
    return [name or CHECKSUMS for checksum, _, name in sums if not _is_intact(os.path.join(folder, name), checksum)]


def _is_intact(path, checksum):
    return fileio.exists(path) and not fileio.isdir(path) and _checksum(path) == checksum


def _files(folder) -> Iterator[str]:
    for at, _, names in fileio.walk(folder):
        yield from (os.path.relpath(os.path.join(at, name), folder) for name in names)


def _checksum(path):
    digest = hashlib.sha256()
    with fileio.open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
