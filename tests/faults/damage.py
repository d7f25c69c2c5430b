"""What happens to files: they are gone, emptied, cut or overwritten."""

from __future__ import annotations

import collections
import pathlib
import random


def damage(folder: pathlib.Path, chance: random.Random) -> str:
    """Damages a file below a folder, such as that of an ended run; says which and how."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.stat().st_size)
    # Folders have more or fewer files: first of which part, then which file.
    parts = collections.defaultdict(list)
    for file in files:
        parts[file.relative_to(folder).parts[:2]].append(file)
    file = chance.choice(parts[chance.choice(sorted(parts))])
    data = bytearray(file.read_bytes())
    how = chance.choice(("gone", "empty", "cut", "overwritten"))
    if how == "gone":
        file.unlink()
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "cut":
        file.write_bytes(data[: len(data) // 2])
    else:
        start = chance.randrange(len(data))
        data[start : start + 64] = bytes(255 - byte for byte in data[start : start + 64])
        file.write_bytes(data)
    return f"{file.relative_to(folder)} {how}"
