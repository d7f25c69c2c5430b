"""A user's own labels: a folder with images and a table that says what is on them."""

from __future__ import annotations

import collections
import csv
import functools
import hashlib
import io
import itertools
import math
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import tensorflow as tf

from components.datasets.base import FaceDataset, Reference, read_file, require
from components.record import RecordError
from components.tasks.annotation import Annotation

_SPLITS = ("train", "validation", "test")
_SPLIT_WORDS = {"train": "train", "validation": "validation", "val": "validation", "eval": "validation", "test": "test"}
_YES_NO_WORDS = {"": -1, "1": 1, "0": 0, "true": 1, "false": 0, "yes": 1, "no": 0}
_PARQUET_SUFFIXES = (".parquet", ".pq")
_RESERVED = ("id", "image", "dataset", "crop")  # what a record has beside its labels


class Table(FaceDataset):
    """Images with labels of any kind that is one value or a few: yes or no, a class, a number.

    `source` holds the table and the images. The table is CSV (UTF-8, with commas and a line of column names) or
    Parquet, a row an image, in which the options say what the columns are; others may be there. A row that can't be
    used goes to quarantine.

    A blank value is not annotated. Yes or no is 1, 0, true, false, yes or no, in any case.

    Args:
        table: the file's path in `source`; Parquet if it ends in .parquet or .pq.
        images: the folder in `source` that the images' paths start from; "" for `source` itself.
        image: the column with an image's path: no two rows have the same, and none leads out of the folder.
        yes_no: by label, the columns that it consists of (kind multi_label).
        classes: by label, which is the column as well, the names of the classes (kind classification). The values are
            names, or their numbers from 0 on unless a name is a number.
        numbers: labels that are columns of numbers (kind regression).
        split: the column with train, validation (or val, eval) or test, in any case; None to split by `shares`.
        group: of a split by shares, the column that all rows have to have in common which may not be parted, such as a
            person's id; None to part any.
        shares: of the groups, about how many go to train, validation and test. Which ones, their names decide alone:
            a row that is added or left out moves no other.

    Raises:
        ValueError: for options that contradict each other.
    """

    name = "table"
    TERMS = "A user's own images and labels: what may be done with them only the user knows."

    def __init__(
        self,
        source: str | None = None,
        table: str = "labels.csv",
        images: str = "",
        image: str = "image",
        yes_no: Mapping[str, Sequence[str]] = MappingProxyType({}),
        classes: Mapping[str, Sequence[str]] = MappingProxyType({}),
        numbers: Sequence[str] = (),
        split: str | None = "split",
        group: str | None = None,
        shares: Sequence[float] = (0.8, 0.1, 0.1),
        **options,
    ):
        for option, names in (
            ("numbers", numbers),
            *((f"yes_no[{label!r}]", each) for label, each in yes_no.items()),
            *((f"classes[{label!r}]", each) for label, each in classes.items()),
        ):
            if isinstance(names, str):
                raise ValueError(f'{option} is a list of names, such as ["{names}"]; received {names!r}.')
        self._table = table
        self._images = images
        self._image = image
        self._yes_no = yes_no
        self._classes = {label: _class_values(names) for label, names in classes.items()}
        self._numbers = numbers
        self._split = split
        self._group = group
        self._shares = shares
        self.ANNOTATIONS = {
            **{label: Annotation("multi_label", tuple(columns)) for label, columns in yes_no.items()},
            **{label: Annotation("classification", tuple(names)) for label, names in classes.items()},
            **{label: Annotation("regression") for label in numbers},
        }
        self._check_options(classes)
        if split is None:
            self.SPLITS = tuple(name for name, share in zip(_SPLITS, shares, strict=True) if share)
        super().__init__(source, **options)

    def paths(self) -> list[str]:
        """The table and the folder of the images."""
        return [
            require(
                self.path(self._table), "It should be the table of labels: put it there, or set the option `table`."
            ),
            require(self.path(self._images), "It should be the folder of the images: set the option `images`."),
        ]

    def check(self) -> None:
        """Raises FileNotFoundError for a missing table or folder, ValueError for a table that lacks a column."""
        super().check()
        there = self.columns()
        missing = [column for column in self._columns if column not in there]
        if missing:
            raise ValueError(
                f"{self.path(self._table)!r} has no column {', '.join(map(repr, missing))}. Its columns: "
                f"{', '.join(there) or 'none'}. Set the options of the data set to the names that are there."
            )
        if repeated := [column for column in self._columns if there.count(column) > 1]:
            raise ValueError(f"{self.path(self._table)!r} has several columns {repeated[0]!r}. Keep one.")

    def columns(self) -> list[str]:
        """The names of the table's columns, whatever the options make of them."""
        return self._reader.columns()

    def references(self) -> Iterator[Reference]:
        """A reference a row, in the table's order; its id is the image's path, of an unusable row its place."""
        self.check()
        counts = collections.Counter(_normal(row[self._image]) for _, row in self._rows() if isinstance(row, dict))
        for place, row in self._rows():
            yield self._reference(place, row, counts)

    def read(self, reference: Reference) -> tuple[bytes, Mapping[str, Any]]:
        """An image and its labels; RecordError if the image can't be read."""
        image = read_file(self.path(self._images, reference.id))
        return image, {
            name: np.array(value) if isinstance(value, list) else value for name, value in reference.payload.items()
        }

    @property
    def _columns(self) -> list[str]:
        """The columns that are read."""
        of_labels = [*itertools.chain(*self._yes_no.values()), *self._classes, *self._numbers]
        return list(dict.fromkeys(filter(None, [self._image, self._split, self._group, *of_labels])))

    @functools.cached_property
    def _reader(self) -> _Csv | _Parquet:
        path = self.path(self._table)
        return (_Parquet if path.lower().endswith(_PARQUET_SUFFIXES) else _Csv)(path)

    def _rows(self) -> Iterator[tuple[str, dict[str, str] | str]]:
        """(place, the row's values by column, without blanks around them, or why it has none)."""
        for number, row in self._reader.rows(self._columns):
            yield f"{self._table}:{number}", row

    def _reference(self, place: str, row: dict[str, str] | str, counts: Mapping[str, int]) -> Reference:
        try:
            if isinstance(row, str):
                raise RecordError(row)
            path = _inside(row[self._image], self._image)
            if counts[path] > 1:
                raise RecordError(f"{counts[path]} rows have the image {path!r}; expected one")
            return Reference(path, self._split_of(row, path), self._labels(row))
        except RecordError as error:
            return Reference(place, None, problem=f"{place}: {error}")

    def _labels(self, row: Mapping[str, str]) -> dict[str, list[int] | int | float]:
        labels: dict[str, Any] = {label: self._yes_no_value(row, columns) for label, columns in self._yes_no.items()}
        labels |= {label: _class_value(row[label], label, values) for label, values in self._classes.items()}
        labels |= {label: _number(row[label], label) for label in self._numbers}
        return {label: value for label, value in labels.items() if value is not None}

    def _yes_no_value(self, row, columns) -> list[int] | None:
        values = [_yes_or_no(row[column], column) for column in columns]
        return None if all(value < 0 for value in values) else values

    def _split_of(self, row: Mapping[str, str], path: str) -> str:
        if self._split is not None:
            word = row[self._split]
            if word.lower() not in _SPLIT_WORDS:
                raise RecordError(f"{self._split} {word!r}; expected {', '.join(_SPLIT_WORDS)}")
            return _SPLIT_WORDS[word.lower()]
        if self._group and not row[self._group]:
            raise RecordError(f"{self._group} is blank: it decides to which split the row belongs")
        return _drawn(row[self._group] if self._group else path, self._shares)

    def _check_options(self, classes: Mapping[str, Sequence[str]]) -> None:
        labels = [*self._yes_no, *classes, *self._numbers]
        for label in labels:
            if not label.isidentifier() or label in _RESERVED:
                raise ValueError(
                    f"A label's name is made of letters, digits and underscores and none of {', '.join(_RESERVED)}; "
                    f"received {label!r}. Call its column otherwise."
                )
            if labels.count(label) > 1:
                raise ValueError(f"Two labels are called {label!r}. Give each a name of its own.")
        for label, names in itertools.chain(self._yes_no.items(), classes.items()):
            if not names or len(set(names)) < len(names):
                raise ValueError(f"Label {label!r} needs names, each once; received {list(names)}.")
        for option, path in (("table", self._table), ("images", self._images)):
            if _leads_out(path):
                raise ValueError(f"Option {option!r} is a path in the data set's folder; received {path!r}.")
        if self._group and self._split is not None:
            raise ValueError(
                f"The column {self._split!r} says to which split a row belongs, so group={self._group!r} has no use: "
                "set split=None to split by groups, or leave `group` out."
            )
        shares = self._shares
        if len(shares) != len(_SPLITS) or min(shares) < 0 or not math.isclose(sum(shares), 1):
            raise ValueError(f"shares are those of {', '.join(_SPLITS)}, and add up to 1; received {list(shares)}.")


class _Csv:
    """A table in CSV. A row's number is that of the line it ends in."""

    def __init__(self, path: str):
        self._path = path

    def columns(self) -> list[str]:
        return next(self._lines())[1]

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str] | str]]:
        lines = self._lines()
        _, names = next(lines)
        for number, values in lines:
            if len(values) != len(names):
                yield number, f"{len(values)} values; expected {len(names)}, as in line 1"
            else:
                found = dict(zip(names, values, strict=True))
                yield number, {column: found[column] for column in columns}

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        """The column names, then all rows that are not empty."""
        try:
            text = _contents(self._path).decode("utf-8-sig")
            reader = csv.reader(io.StringIO(text, newline=""))
            yield 1, [name.strip() for name in next(reader, [])]
            for values in filter(None, reader):
                yield reader.line_num, [value.strip() for value in values]
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{self._path!r} can't be read as CSV in UTF-8: {error}. Save it as such.") from error


class _Parquet:
    """A table in Parquet. A row's number counts from 1."""

    def __init__(self, path: str):
        self._path = path

    def columns(self) -> list[str]:
        return self._file().schema_arrow.names

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str] | str]]:
        number = 0
        for batch in self._file().iter_batches(columns=list(columns)):
            for row in batch.to_pylist():
                number += 1
                yield number, {column: _text(value) for column, value in row.items()}

    def _file(self) -> pa.parquet.ParquetFile:
        try:
            return pa.parquet.ParquetFile(pa.BufferReader(_contents(self._path)))
        except pa.ArrowInvalid as error:
            raise ValueError(f"{self._path!r} can't be read as Parquet: {error}") from error


def _contents(path: str) -> bytes:
    with tf.io.gfile.GFile(path, "rb") as file:
        return file.read()


def _text(value) -> str:
    """A value of a Parquet table as a CSV has it."""
    if value is None or value != value:  # NaN: how pandas writes what is missing
        return ""
    return value.decode("utf-8", "replace").strip() if isinstance(value, bytes) else str(value).strip()


def _normal(path: str) -> str:
    """One spelling for each path; a backslash separates, too, as tables made on Windows have it."""
    return posixpath.normpath(path.replace("\\", "/"))


def _leads_out(path: str) -> bool:
    parts = path.replace("\\", "/").split("/")
    return ".." in parts or "://" in path or (len(parts) > 1 and not parts[0]) or "\0" in path


def _inside(path: str, column: str) -> str:
    if not path:
        raise RecordError(f"{column} is blank; expected the path of an image")
    if _leads_out(path):
        raise RecordError(f"{column} {path!r} leads out of the folder of the images; expected a path in it")
    return _normal(path)


def _yes_or_no(text: str, column: str) -> int:
    word = _whole(text).lower()
    if word not in _YES_NO_WORDS:
        raise RecordError(f"{column} {text!r}; expected {', '.join(filter(None, _YES_NO_WORDS))}, or blank")
    return _YES_NO_WORDS[word]


def _class_values(names: Sequence[str]) -> dict[str, int]:
    """The values that a class column may have, with the classes' indices."""
    by_name = {name: index for index, name in enumerate(names)}
    if any(_parsed(name) is not None for name in names):
        return by_name
    return {str(index): index for index in by_name.values()} | by_name


def _class_value(text: str, column: str, values: Mapping[str, int]) -> int | None:
    if not text:
        return None
    index = values.get(text, values.get(_whole(text)))
    if index is None:
        raise RecordError(f"{column} {text!r}; expected {', '.join(values)}, or blank")
    return index


def _number(text: str, column: str) -> float | None:
    if not text:
        return None
    number = _parsed(text)
    # As a record holds it.
    if number is None or abs(number) > np.finfo(np.float32).max or not math.isfinite(number):
        raise RecordError(f"{column} {text!r}; expected a finite number, or blank")
    return number


def _parsed(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _whole(text: str) -> str:
    """ "1" for "1.0": pandas writes whole numbers so in a column where some are missing."""
    return text.removesuffix(".0")


def _drawn(name: str, shares: Sequence[float]) -> str:
    """The split of a group, always the same."""
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    for split, end in zip(_SPLITS, itertools.accumulate(shares), strict=True):
        if place < end:
            return split
    return next(split for split, share in zip(reversed(_SPLITS), reversed(shares), strict=True) if share)  # rounding


__all__ = ["Table"]
