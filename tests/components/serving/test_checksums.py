"""A model's checksums: what is gone, changed or cut is named, and sha256sum reads them."""

import shutil
import subprocess

import pytest

from components.serving.checksums import CHECKSUMS, checksums, damaged_files, write_checksums


@pytest.fixture
def model(tmp_path):
    (tmp_path / "model" / "variables").mkdir(parents=True)
    (tmp_path / "model" / "assets.extra").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"abc")
    (tmp_path / "model" / "variables" / "variables.index").write_bytes(b"")
    write_checksums(str(tmp_path / "model"))
    return tmp_path / "model"


def test_the_published_checksums(model):
    """Of "abc" (FIPS 180-2, B.1) and of nothing."""
    assert (model / CHECKSUMS).read_text() == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  saved_model.pb\n"
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  variables/variables.index\n"
    )


def test_what_is_damaged_is_named(model):
    assert damaged_files(str(model)) == []
    (model / "assets.extra" / "model_card.md").write_text("laid beside later")
    assert damaged_files(str(model)) == []
    (model / "saved_model.pb").write_bytes(b"abd")
    assert damaged_files(str(model)) == ["saved_model.pb"]
    (model / "variables" / "variables.index").unlink()
    assert damaged_files(str(model)) == ["saved_model.pb", "variables/variables.index"]


def test_written_twice_they_are_the_same(model):
    once = checksums(str(model))
    write_checksums(str(model))
    assert checksums(str(model)) == once and damaged_files(str(model)) == []


@pytest.mark.parametrize("text", [b"", b"nonsense", b"\xff\xfe", b"ba78  \n", b"ba78  saved_mod"])
def test_checksums_that_are_damaged_themselves(model, text):
    (model / CHECKSUMS).write_bytes(text)
    assert damaged_files(str(model)) == [CHECKSUMS]


def test_a_model_without(tmp_path):
    assert damaged_files(str(tmp_path)) == [] and checksums(str(tmp_path)) is None


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="there is no sha256sum here")
def test_sha256sum_reads_them(model):
    command = ["sha256sum", "--check", "--quiet", CHECKSUMS]
    assert subprocess.run(command, cwd=model, check=False).returncode == 0
    (model / "saved_model.pb").write_bytes(b"abd")
    assert subprocess.run(command, cwd=model, check=False, capture_output=True).returncode == 1
