"""What has been answered, on disk by photograph: a stopped prediction goes on, and the table is made of it."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow
import pyarrow.parquet
import tensorflow as tf

from components.prediction.photographs import Photograph

FILE_COLUMNS = (".labels", ".overlay")  # at the end of a column's name: a file's path
_SUFFIX = ".jsonl"
_ROWS_AT_ONCE = 10_000
_ARROW = {str: pyarrow.string(), float: pyarrow.float64(), int: pyarrow.int64(), bool: pyarrow.bool_()}


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a photograph was answered.

    Attributes:
        rows: of the table.
        final: False for a failure that another start may mend.
    """

    rows: list[dict[str, Any]]
    final: bool = True


@dataclasses.dataclass(frozen=True)
class _Place:
    """A line of a part."""

    part: str
    line: int
    final: bool


class Parts:
    """A folder of files with the rows of some photographs each.

    Args:
        folder: of the parts.
        key: of model and settings: parts of others are not used.
    """

    def __init__(self, folder: str, key: str):
        self._folder = folder
        self._key = key

    def write(self, photographs: Sequence[Photograph], answers: Sequence[Answers]) -> None:
        """Keeps the rows of each photograph; a part is there as a whole or not at all."""
        lines = [
            json.dumps({"path": photograph.path, "version": photograph.version, **dataclasses.asdict(each)})
            for photograph, each in zip(photographs, answers, strict=True)
        ]
        names = hashlib.sha256(
            "\0".join(photograph.path for photograph in photographs).encode(errors="surrogatepass")
        ).hexdigest()[:16]
        path = os.path.join(self._folder, f"{self._key}-{names}{_SUFFIX}")
        tf.io.gfile.makedirs(self._folder)
        with tf.io.gfile.GFile(f"{path}.tmp", "w") as file:
            file.write("\n".join(lines) + "\n")
        tf.io.gfile.rename(f"{path}.tmp", path, overwrite=True)

    def done(self) -> set[tuple[str, str]]:
        """Path and version of the photographs that were answered or have no face; others are tried again."""
        return {key for key, place in self._places().items() if place.final}

    def _places(self) -> dict[tuple[str, str], _Place]:
        """By path and version of a photograph, where its rows are; those of an answer before those of a failure."""
        places: dict[tuple[str, str], _Place] = {}
        for part in self._files(f"{self._key}-"):
            for number, line in enumerate(_lines(part)):
                key = line["path"], line["version"]
                if key not in places or not places[key].final:
                    places[key] = _Place(part, number, line["final"] and all(map(_files_are_there, line["rows"])))
        return places

    def _files(self, prefix=""):
        """By name, not by pattern: a folder's name may have brackets."""
        names = tf.io.gfile.listdir(self._folder) if tf.io.gfile.isdir(self._folder) else []
        found = (name for name in names if name.startswith(prefix) and name.endswith(_SUFFIX))
        return [os.path.join(self._folder, name) for name in sorted(found)]

    def rows(self, photographs: Sequence[Photograph]) -> Iterator[list[dict[str, Any]]]:
        """The rows of each photograph under the name that it has now, in order; all of them have to be done."""
        places = self._places()
        open_part, lines = None, []
        for photograph in photographs:
            place = places[photograph.path, photograph.version]
            if place.part != open_part:
                open_part, lines = place.part, list(_lines(place.part))
            yield [{**row, "image": photograph.name} for row in lines[place.line]["rows"]]

    @property
    def has_others(self) -> bool:
        """Whether there are parts of other models and settings."""
        return any(not self._is_own(part) for part in self._files())

    def _is_own(self, part):
        return os.path.basename(part).startswith(f"{self._key}-")

    def remove_others(self) -> None:
        """Removes the parts of other models and settings."""
        for part in self._files():
            if not self._is_own(part):
                tf.io.gfile.remove(part)


def _files_are_there(row):
    """Whether the label maps of a row are still where it says."""
    return all(tf.io.gfile.exists(path) for name, path in row.items() if name.endswith(FILE_COLUMNS))


def _lines(part):
    """What can be read of a part; photographs of one that is damaged, or of an earlier facetfx, are answered again."""
    with tf.io.gfile.GFile(part) as file:
        lines = file.read().splitlines()
    try:
        for line in map(json.loads, lines):
            if not {"path", "version", "rows", "final"} <= set(line):
                return
            yield line
    except (ValueError, TypeError):
        return


def write_table(path: str, columns: Mapping[str, type], rows: Iterator[dict[str, Any]]) -> int:
    """Writes rows as CSV or Parquet, by the path's suffix, a few thousand at a time; returns how many.

    Args:
        columns: with their types; what a row lacks is empty.
    """
    write = _write_csv if path.lower().endswith(".csv") else _write_parquet
    with tempfile.TemporaryDirectory() as folder:
        written = os.path.join(folder, os.path.basename(path))
        count = write(written, columns, rows)
        tf.io.gfile.copy(written, f"{path}.tmp", overwrite=True)
    tf.io.gfile.rename(f"{path}.tmp", path, overwrite=True)
    return count


def _write_csv(path, columns, rows):
    count = 0
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _as_text(row.get(name)) for name in columns})
            count += 1
    return count


def _as_text(value):
    if isinstance(value, bool):
        return int(value)
    return round(value, 6) if isinstance(value, float) else value


def _write_parquet(path, columns, rows):
    schema = pyarrow.schema([(name, _ARROW[kind]) for name, kind in columns.items()])
    count, batch = 0, []
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for row in rows:
            batch.append({name: row.get(name) for name in columns})
            count += 1
            if len(batch) == _ROWS_AT_ONCE:
                writer.write_table(pyarrow.Table.from_pylist(batch, schema))
                batch = []
        writer.write_table(pyarrow.Table.from_pylist(batch, schema))
    return count
