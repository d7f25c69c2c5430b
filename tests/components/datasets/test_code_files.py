"""code_files: a data set's records are made anew when their own code changes, and not when another's does."""

import pathlib
import shutil

import pytest
import tomli

from components import code_version as versions
from components import datasets
from components.config import DatasetConfig
from components.datasets import builder_class, code_files

PROJECT = pathlib.Path(__file__).parents[3]
FER2013, HELEN = DatasetConfig("fer2013"), DatasetConfig("faces", builder="helen")
SHARED = {f"components/datasets/{name}.py" for name in ("base", "binding", "class_folders", "garments")}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A copy of the code that may be changed."""
    for name in datasets._BUILDERS:
        builder_class(name)  # imported from here, not from the copy
    folder = "components/datasets"
    shutil.copytree(PROJECT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(versions, "_ROOT", tmp_path)
    monkeypatch.setattr(datasets, "__path__", [str(tmp_path / folder)])
    return tmp_path


def test_a_data_set_s_own_module_and_what_all_share():
    assert set(code_files([FER2013])) == {*SHARED, "components/datasets/fer2013.py"}
    assert set(code_files([HELEN])) == {*SHARED, "components/datasets/helen.py"}
    assert set(code_files([FER2013, HELEN])) == {*code_files([FER2013]), *code_files([HELEN])}


def test_a_package_is_read_as_a_whole(root):
    drawn = DatasetConfig("synthetic_faces")
    assert set(code_files([drawn])) == {*SHARED, "components/datasets/synthetic_faces"}
    before = versions.code_version(*code_files([drawn]))
    (root / "components/datasets/synthetic_faces/hair.py").write_text("# changed\n")
    assert versions.code_version(*code_files([drawn])) != before


def test_an_unknown_data_set():
    with pytest.raises(ValueError, match=r"No data set is called 'fer2012'\. There are: .*fer2013"):
        code_files([DatasetConfig("fer2012")])


@pytest.mark.parametrize("name", ["fer2013", "class_folders", "base", "new"])
def test_a_change_of_its_own_or_of_a_shared_module_is_one(root, name):
    before = versions.code_version(*code_files([FER2013]))
    with (root / f"components/datasets/{name}.py").open("a") as file:
        file.write("# changed\n")
    assert versions.code_version(*code_files([FER2013])) != before


def test_a_change_of_another_data_set_is_none(root):
    before = versions.code_version(*code_files([FER2013]))
    for name in ("helen.py", "synthetic_faces/hair.py", "__init__.py"):
        (root / "components/datasets" / name).write_text("# changed\n")
    assert versions.code_version(*code_files([FER2013])) == before


def test_every_builder_s_module_is_kept_independent():
    contracts = tomli.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (kept,) = (contract["modules"] for contract in contracts if contract["type"] == "independence")
    assert {*kept} == {name.rpartition(".")[0] for name in datasets._BUILDERS.values()}
