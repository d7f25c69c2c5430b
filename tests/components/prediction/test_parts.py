"""What is done is kept, and the table is in the photographs' order."""

from __future__ import annotations

import csv

import pyarrow.parquet
import pytest

from components.prediction.parts import Answers, Parts, write_table
from components.prediction.photographs import Photograph

A, B, C = (Photograph(f"/photos/{name}.jpg", f"{name}.jpg", "1") for name in "abc")
COLUMNS = {"image": str, "face": int, "smile": bool, "age": float}


def row(photograph, **more):
    return {"image": photograph.name, **more}


def test_rows_in_the_order_that_is_asked_for(tmp_path):
    parts = Parts(str(tmp_path / "parts"), "key")
    assert parts.done() == set()
    parts.write([C, A], [Answers([row(C, face=0)]), Answers([row(A, face=0), row(A, face=1)])])
    parts.write([B], [Answers([row(B, problem="none")])])
    assert parts.done() == {(each.path, "1") for each in (A, B, C)}
    assert list(parts.rows([A, B, C])) == [[row(A, face=0), row(A, face=1)], [row(B, problem="none")], [row(C, face=0)]]


def test_other_settings_and_changed_photographs_are_not_done(tmp_path):
    Parts(str(tmp_path), "one").write([A], [Answers([row(A)])])
    other = Parts(str(tmp_path), "other")
    assert other.done() == set()
    other.write([B], [Answers([row(B)])])
    assert other.has_others
    other.remove_others()
    assert not other.has_others
    assert Parts(str(tmp_path), "one").done() == set()
    assert (B.path, "2") not in other.done() and (B.path, "1") in other.done()


def test_what_was_being_written_counts_for_nothing(tmp_path):
    (tmp_path / "key-0123.jsonl.tmp").write_text('{"path": "/photos/a.j')
    assert Parts(str(tmp_path), "key").done() == set()


@pytest.mark.parametrize("suffix", ["csv", "CSV", "parquet"])
def test_a_table(tmp_path, suffix):
    path = str(tmp_path / f"faces.{suffix}")
    rows = [row(A, face=0, smile=True, age=30.5), row(B, face=1, smile=False, age=1 / 3), row(C)]
    assert write_table(path, COLUMNS, iter(rows)) == 3
    if suffix.lower() == "csv":
        with open(path, newline="") as file:
            found = list(csv.reader(file))
        assert found[0] == list(COLUMNS)
        assert found[1:] == [["a.jpg", "0", "1", "30.5"], ["b.jpg", "1", "0", "0.333333"], ["c.jpg", "", "", ""]]
    else:
        found = pyarrow.parquet.read_table(path).to_pylist()
        assert found[0] == rows[0] and found[2] == {"image": "c.jpg", "face": None, "smile": None, "age": None}
    assert [each.name for each in tmp_path.iterdir()] == [f"faces.{suffix}"]


def test_a_table_of_nothing(tmp_path):
    assert write_table(str(tmp_path / "faces.parquet"), COLUMNS, iter([])) == 0
    assert pyarrow.parquet.read_table(tmp_path / "faces.parquet").column_names == list(COLUMNS)


def test_failures_are_tried_again_and_give_way_to_answers(tmp_path):
    parts = Parts(str(tmp_path / "with [brackets]"), "key")
    parts.write([A, B], [Answers([row(A, problem="network")], final=False), Answers([row(B, problem="no face")])])
    assert parts.done() == {(B.path, "1")}
    assert list(parts.rows([A])) == [[row(A, problem="network")]]
    parts.write([A], [Answers([row(A, face=0)])])
    assert parts.done() == {(A.path, "1"), (B.path, "1")}
    assert list(parts.rows([A])) == [[row(A, face=0)]]


def test_of_a_damaged_part_what_is_left_counts(tmp_path):
    parts = Parts(str(tmp_path), "key")
    parts.write([A, B], [Answers([row(A)]), Answers([row(B)])])
    (part,) = tmp_path.iterdir()
    part.write_text(part.read_text()[:-20])
    assert parts.done() == {(A.path, "1")}
