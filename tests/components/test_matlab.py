"""MATLAB files that are damaged: whatever they do to their reader, nobody else ends."""

import io
import random

import numpy as np
import pytest
import scipy.io

from components import matlab
from components.matlab import read_matlab

NAMES = [f"P\\P_{i:04}.jpg" for i in range(300)]


@pytest.fixture(scope="module")
def content():
    file = io.BytesIO()
    scipy.io.savemat(file, {"name": np.array(NAMES, object), "label": np.ones((300, 2))})
    return file.getvalue()


def test_what_a_file_has(content):
    found = read_matlab(content, ("name",), ("label",))
    assert found["name"].tolist() == NAMES and found["label"].tolist() == [[1, 1]] * 300


def test_a_variable_that_is_missing(content):
    with pytest.raises(KeyError, match="other"):
        read_matlab(content, (), ("other",))


def test_bytes_that_were_changed(content):
    """Of these SciPy's process ended in the third, by a segmentation fault."""
    reasons = []
    for seed in range(8):
        chance, damaged = random.Random(seed), bytearray(content)
        for _ in range(40):
            damaged[chance.randrange(128, len(content))] = chance.randrange(256)
        try:
            read_matlab(bytes(damaged), ("name",), ("label",))
        except (KeyError, ValueError) as error:
            reasons.append(str(error))
    assert len(reasons) == 8 and all(reasons)


@pytest.mark.parametrize(
    ("does", "reason"),
    [("kill -SEGV $$", r"its reader ended with -11\."), ("exec sleep 60", r"not read in 0\.5 seconds")],
)
def test_a_reader_that_ends_or_takes_too_long(does, reason, content, monkeypatch, tmp_path):
    reader = tmp_path / "reader"
    reader.write_text(f"#!/bin/sh\n{does}\n")
    reader.chmod(0o755)
    monkeypatch.setattr(matlab.sys, "executable", str(reader))
    monkeypatch.setattr(matlab, "_LONGEST", 0.5)
    with pytest.raises(ValueError, match=reason):
        read_matlab(content + does.encode(), ("name",))
