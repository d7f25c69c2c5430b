"""code_files: a data set's records are made anew when their own code changes, and not when another's does."""

import pathlib
import shutil

import pytest

from components import code_version as versions
from components.config import DatasetConfig
from components.datasets import code_files, imports

PROJECT = pathlib.Path(__file__).parents[3]
FER2013, HELEN = DatasetConfig("fer2013"), DatasetConfig("faces", builder="helen")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A copy of the code that may be changed."""
    for folder in ("components/datasets", "components/tasks"):
        shutil.copytree(PROJECT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for module in (imports, versions):
        monkeypatch.setattr(module, "_ROOT", tmp_path)
    return tmp_path


def test_a_data_set_s_module_and_what_it_imports():
    assert code_files([FER2013]) == (
        "components/datasets/base.py",
        "components/datasets/class_folders.py",
        "components/datasets/fer2013.py",
        "components/datasets/holdout.py",
        "components/tasks/segmentation/label_maps.py",  # which class_folders imports
    )
    assert set(code_files([FER2013, HELEN])) == {*code_files([FER2013]), *code_files([HELEN])}


def test_a_package_is_read_as_a_whole():
    files = {
        path.relative_to(PROJECT).as_posix() for path in (PROJECT / "components/datasets").glob("synthetic_faces/*.py")
    }
    assert files < set(code_files([DatasetConfig("synthetic_faces")]))


def test_an_unknown_data_set():
    with pytest.raises(ValueError, match=r"No data set is called 'fer2012'\. There are: .*fer2013"):
        code_files([DatasetConfig("fer2012")])


@pytest.mark.parametrize("name", ["fer2013.py", "class_folders.py", "base.py", "../tasks/segmentation/label_maps.py"])
def test_a_change_of_what_is_imported_is_one(root, name):
    before = versions.code_version(*code_files([FER2013]))
    with (root / "components/datasets" / name).open("a") as file:
        file.write("# changed\n")
    assert versions.code_version(*code_files([FER2013])) != before


def test_another_data_set_is_none(root):
    before = versions.code_version(*code_files([FER2013]))
    (root / "components/datasets/new.py").write_text("from components.datasets.base import FaceDataset\n")
    for name in ("helen.py", "__init__.py"):
        (root / "components/datasets" / name).write_text("# changed\n")
    assert versions.code_version(*code_files([FER2013])) == before


@pytest.mark.parametrize(
    "line",
    [
        "from components.datasets.new import x",
        "from components.datasets import new",
        "import components.datasets.new",
        "def later():\n    from components.datasets.new import x",
    ],
)
def test_however_it_is_imported(root, line):
    (root / "components/datasets/new.py").write_text("")
    with (root / "components/datasets/holdout.py").open("a") as file:
        file.write(f"{line}\n")
    assert "components/datasets/new.py" in code_files([FER2013])
