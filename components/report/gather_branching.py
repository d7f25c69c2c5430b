"""From what a widening training left to what the report shows of it."""

from __future__ import annotations

import json

import numpy as np

from components.report.branching import Branching, Round
from keras_models.branch_tree import BranchTree


def branching(found: dict) -> Branching:
    """`found`: training.json's "branching", as components.trainer.widening leaves it."""
    return Branching(
        tuple(found["tasks"]),
        BranchTree.from_json(json.dumps(found["tree"])),
        tuple(map(_round, found["rounds"])),
    )


def _round(found):
    groups = [[task for number in group for task in found["above"][number]] for group in found["groups"]]
    return Round(
        layer=found["layer"],
        epoch=found["epoch"],
        affinity=np.array(found["affinity"]),
        groups=tuple(map(tuple, groups)),
        costs=tuple(found["costs"]),
        alpha=found["alpha"],
    )
