"""One run at a time in a folder of output: two would write the same metadata and push the same model twice."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

_FILE = ".lock"


class InUseError(RuntimeError):
    """Another process works in the folder."""


@contextlib.contextmanager
def held(folder: str, said_by: str = "OUTPUT_DIR") -> Iterator[None]:
    """Holds a folder, which is made if it isn't there; a process that dies lets go of it.

    Args:
        said_by: what a person names the folder by.

    Raises:
        InUseError: if another process holds it.
    """
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, _FILE), "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _in_use(file, folder, said_by) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def check_free(folder: str) -> None:
    """InUseError as of `held`, without holding the folder."""
    if is_held(folder):
        with open(os.path.join(folder, _FILE)) as file:
            raise _in_use(file, folder, "OUTPUT_DIR")


def is_held(folder: str) -> bool:
    """Whether a process works in the folder."""
    path = os.path.join(folder, _FILE)
    if not os.path.exists(path):
        return False
    with open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _in_use(file, folder, said_by):
    file.seek(0)
    holder = file.read().strip() or "unknown"
    return InUseError(
        f"Another run (process {holder}) works in {folder!r}. Wait until it has ended, or give this one another "
        f"{said_by}."
    )
