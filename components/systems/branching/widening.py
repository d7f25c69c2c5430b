"""A network gets the branches of another tree, and goes on as the function that it was."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_models.branch_tree import BranchTree
from keras_models.branched_network import BranchedNetwork


def widen(model: BranchedNetwork, tree: BranchTree) -> BranchedNetwork:
    """The network with the branches of `tree`, which computes what `model` computes (Eqs. 4, 5).

    Every new branch starts as a copy of the one that its tasks come from, batch-norm statistics among its weights.

    Args:
        tree: with the branches of `model.tree`, or parts of them.

    Raises:
        ValueError: if a branch of `tree` has tasks of several branches of the model.
    """
    wider = model.rebuilt(tree=tree)
    copy_branches(model.weights, wider.weights, model.tree, tree)
    return wider


def copy_branches(
    source: Sequence[tf.Variable], target: Sequence[tf.Variable], old_tree: BranchTree, new_tree: BranchTree
) -> None:
    """Copies variables of a network, or an optimizer's moments of them, to those of the widened network.

    Args:
        source, target: of the same names, in any order.
    """
    values = {variable.name: variable.numpy() for variable in source}
    for variable in target:
        layer = next((layer for layer in new_tree.layers if f"/{layer}_" in f"/{variable.name}"), None)
        value = values[variable.name]
        if layer is not None:
            old = old_tree.of(layer)
            origins = [_origin(branch, old, layer) for branch in new_tree.of(layer)]
            axis = 0 if value.ndim == 3 else value.ndim - 1  # BranchedDense has its branches in front
            parts = np.split(value, len(old), axis)
            value = np.concatenate([parts[origin] for origin in origins], axis)
        variable.assign(value)


def _origin(branch, old_branches, layer):
    """Number of the old branch that a branch is part of."""
    for number, old in enumerate(old_branches):
        if set(branch) <= set(old):
            return number
    raise ValueError(
        f"The branch {branch} of {layer} has tasks of several branches of the network, {old_branches}: a network can "
        "be widened, not made thinner."
    )
