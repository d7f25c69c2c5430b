"""code_version: another value when the code changed, and only then."""

from __future__ import annotations

import subprocess
import sys

import pytest

from components import code_version as module
from components.code_version import code_version, commit


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_ROOT", tmp_path)
    for name, text in {"a/one.py": "x = 1\n", "a/b/two.py": "y = 2\n", "three.py": "z = 3\n"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", ["a/one.py", "a/b/two.py", "three.py"])
def test_changes_with_a_byte_of_a_file(root, name):
    before = code_version("a", "three.py")
    file = root / name
    file.write_bytes(file.read_bytes().replace(b"=", b"-"))
    assert code_version("a", "three.py") != before
    file.write_bytes(file.read_bytes().replace(b"-", b"="))
    assert code_version("a", "three.py") == before


def test_changes_with_a_file_s_name(root):
    before = code_version("a")
    (root / "a" / "one.py").rename(root / "a" / "uno.py")
    assert code_version("a") != before


def test_changes_with_a_new_file(root):
    before = code_version("a")
    (root / "a" / "b" / "new.py").write_text("")
    assert code_version("a") != before


def test_stays_with_what_is_no_code_or_lies_elsewhere(root):
    before = code_version("a")
    (root / "a" / "notes.txt").write_text("notes")
    (root / "a" / "__pycache__").mkdir()
    (root / "a" / "__pycache__" / "one.cpython-310.pyc").write_bytes(b"\0")
    (root / "three.py").write_text("z = 4\n")
    assert code_version("a") == before


def test_a_path_that_is_not_there_is_told(root):
    with pytest.raises(FileNotFoundError, match=r"four\.py"):
        code_version("a", "four.py")


def test_another_process_finds_the_same():
    paths = ["components/example_gen", "components/record.py"]
    command = f"from components.code_version import code_version; print(code_version(*{paths}))"
    said = subprocess.run([sys.executable, "-c", command], cwd=module._ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == code_version(*paths)


def test_of_a_pattern_all_that_match(root):
    for kind in ("x", "y"):
        (root / "a" / kind).mkdir()
        (root / "a" / kind / "labels.py").write_text("")
        (root / "a" / kind / "report.py").write_text("")
    before = code_version("a/*/labels.py")
    (root / "a" / "x" / "report.py").write_text("x = 1\n")
    assert code_version("a/*/labels.py") == before
    (root / "a" / "y" / "labels.py").write_text("y = 1\n")
    changed = code_version("a/*/labels.py")
    assert changed != before
    (root / "a" / "b" / "labels.py").write_text("")
    assert code_version("a/*/labels.py") != changed
    with pytest.raises(FileNotFoundError, match=r"a/\*/learning\.py"):
        code_version("a/*/learning.py")


def test_the_commit_and_whether_code_differs_from_it(root, monkeypatch):
    def git(*arguments):
        subprocess.run(["git", "-C", root, "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments], check=True)

    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(root.parent))
    assert commit() == "", "no repository"
    (root / "README.md").write_text("words")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "all")
    clean = commit()
    assert len(clean) == 7 and int(clean, 16)
    (root / "README.md").write_text("other words")
    assert commit() == clean
    (root / "new.py").write_text("")
    assert commit() == f"{clean}-dirty", "an experiment that nobody else has"
    (root / "new.py").unlink()
    (root / "three.py").write_text("z = 4")
    assert commit() == f"{clean}-dirty"
    monkeypatch.setenv("PATH", str(root / "a"))
    assert commit() == "", "no git"
