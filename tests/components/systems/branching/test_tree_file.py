"""The tree beside a SavedModel's own files."""

import json
import re

import pytest

from components.systems.branching.tree_file import read_tree, write_tree
from keras_models.branch_tree import BranchTree

TREE = BranchTree.unbranched(("conv", "fc"), 4).widened("fc", [[0, 2], [1], [3]])


def test_what_is_written_is_read(tmp_path):
    write_tree(TREE, str(tmp_path))
    assert read_tree(str(tmp_path)) == TREE
    other = TREE.with_halves_swapped()
    assert other != TREE
    write_tree(other, str(tmp_path))
    assert read_tree(str(tmp_path)) == other


def test_it_lies_where_tensorflow_serving_leaves_files_alone(tmp_path):
    """Beside the warm-up requests."""
    (tmp_path / "assets.extra").mkdir()
    write_tree(TREE, str(tmp_path))
    (file,) = tmp_path.rglob("*.json")
    assert file.parent == tmp_path / "assets.extra"
    assert json.loads(file.read_text())["branches"]["fc"] == [[0, 2], [1], [3]]


def test_a_model_without_a_tree(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(ValueError, match=f"'{re.escape(str(folder))}' has no .*, which tells its branches"):
            read_tree(str(folder))
