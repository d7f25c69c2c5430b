"""The tree of an exported network, beside the SavedModel's own files."""

from __future__ import annotations

import os

import tensorflow as tf

from keras_models.branch_tree import BranchTree

_TREE = os.path.join("assets.extra", "branch_tree.json")


def write_tree(tree: BranchTree, folder: str) -> None:
    """Leaves the tree in the SavedModel in `folder`."""
    tf.io.gfile.makedirs(os.path.join(folder, os.path.dirname(_TREE)))
    with tf.io.gfile.GFile(os.path.join(folder, _TREE), "w") as file:
        file.write(tree.to_json())


def read_tree(folder: str) -> BranchTree:
    """Inverse of `write_tree`; ValueError if the SavedModel's network is no BranchedNetwork."""
    path = os.path.join(folder, _TREE)
    if not tf.io.gfile.exists(path):
        raise ValueError(
            f"The model in {folder!r} has no {_TREE}, which tells its branches. Name in training.warm_start an "
            "experiment of a BranchedNetwork (branching/...)."
        )
    with tf.io.gfile.GFile(path) as file:
        return BranchTree.from_json(file.read())
