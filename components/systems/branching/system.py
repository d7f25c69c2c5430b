"""Hooks of fully-adaptive feature sharing."""

from __future__ import annotations

from components.systems.base import System


class BranchingSystem(System):
    """The network's tree is kept beside it and drawn in the report."""

    def write_assets(self, network, folder):
        from components.systems.branching.tree_file import write_tree

        write_tree(network.tree, folder)

    def parts(self, artifacts):
        from components.systems.branching.report import branching_parts

        return branching_parts(artifacts)
