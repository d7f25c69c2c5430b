"""What a data set's code imports, found without importing it."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterable, Iterator

_ROOT = pathlib.Path(__file__).parents[2]


def imported_files(modules: Iterable[str]) -> tuple[str, ...]:
    """The files of modules and of what they import, directly or not, of data sets and of kinds of tasks.

    Args:
        modules: dotted names, below components.datasets or components.tasks.<kind>.

    Returns:
        Paths relative to the project's root, sorted; of a package, all its modules.
    """
    found: set[pathlib.Path] = set()
    left = list(modules)
    while left:
        for file in set(_files(left.pop())) - found:
            found.add(file)
            left += filter(_is_followed, _imported(file))
    return tuple(sorted(file.relative_to(_ROOT).as_posix() for file in found))


def _is_followed(module: str) -> bool:
    # Not this package itself, which names every data set, nor what every record rests on: contracts, annotations.
    match module.split("."):
        case ["components", "datasets", _, *_] | ["components", "tasks", _, _, *_]:
            return True
    return False


def _files(module: str) -> list[pathlib.Path]:
    """Of a package all its modules; none for what is no module but a name in one."""
    path = _ROOT.joinpath(*module.split("."))
    if path.is_dir():
        return list(path.rglob("*.py"))
    file = path.with_suffix(".py")
    return [file] if file.is_file() else []


def _imported(file: pathlib.Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
