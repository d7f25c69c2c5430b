"""A network that widened itself: its tree, and how it came by it (Lu et al. 2017)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from components.page import figures
from components.page.formatting import plural, readable
from components.page.page import Block, Cell, Column, Figure, Figures, Heading, Headline, Note, Part, Section, Table
from components.systems.branching import drawings
from components.systems.branching.drawings import from_the_left, levels
from keras_models.branch_tree import BranchTree

if TYPE_CHECKING:
    from components.report.collect import RunArtifacts


@dataclasses.dataclass(frozen=True, eq=False)
class Round:
    """A round's decision.

    Attributes:
        layer: that was widened.
        epoch: after which.
        affinity: [T, T] of the tasks.
        groups: of task numbers, the branches that the layer got.
        costs: L(d) for d = 1, 2, ... branches.
        alpha: the branching factor.
    """

    layer: str
    epoch: int
    affinity: np.ndarray
    groups: tuple[tuple[int, ...], ...]
    costs: tuple[float, ...]
    alpha: float


@dataclasses.dataclass(frozen=True, eq=False)
class Branching:
    """What a widened network is and how it came about.

    Attributes:
        tasks: T names.
        tree: of the trained network.
        rounds: in order; none if the tree was fixed.
    """

    tasks: tuple[str, ...]
    tree: BranchTree
    rounds: tuple[Round, ...] = ()

    @classmethod
    def from_training(cls, found: Mapping[str, Any]) -> Branching:
        """Of training.json's "branching"."""
        tree = BranchTree.from_json(json.dumps(found["tree"]))
        return cls(tuple(found["tasks"]), tree, tuple(map(_round, found["rounds"])))


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


def branching_parts(artifacts: RunArtifacts) -> Sequence[Part]:
    """The tree, and the rounds if there were any."""
    found = artifacts.training.get("branching")
    return () if found is None else (branching_part(Branching.from_training(found)),)


def branching_part(branching: Branching) -> Part:
    """What a run shows of its tree."""
    widest = max(len(branches) for branches in branching.tree.branches)
    meaning = "at the layer that has most; all tasks share every layer below the lowest that branches."
    sections = [tree_section(branching)]
    if branching.rounds:
        sections.append(rounds_section(branching))
    return Part(
        headlines=(Headline(str(widest), "Branches", meaning),) if widest > 1 else (),
        sections=tuple(sections),
        metrics={"branches": widest},
        compared=("branches",),
    )


def tree_section(branching: Branching) -> Section:
    """The tree as a figure and as a table."""
    tree, tasks = branching.tree, branching.tasks
    branched = [(name, branches) for name, branches in reversed(levels(tree)) if len(branches) > 1]
    if not branched:
        lead = f"All {tree.num_tasks} tasks share every layer: the network was not widened."
        return Section("Tree", "tree", (), lead)
    drawing = figures.svg(drawings.tree_drawing(tree, tasks), "tree of the network")
    caption = (
        "From the input on the left to the tasks on the right, the branches in the order of the table. A column is a "
        "layer, or several with the same branches; its last line is how many they are. A block is a branch, with its "
        "number of tasks; what touches it on the right hangs on it. Tasks that stand close share much. As Fig. 4 of "
        "the paper."
    )
    rows = tuple(
        (Cell(name), Cell(str(number)), Cell(str(len(branch))), Cell(", ".join(readable(tasks[t]) for t in branch)))
        for name, branches in branched
        for number, branch in enumerate(from_the_left(tree, branches), start=1)
    )
    columns = (Column("Layers", number=False), Column("Branch"), Column("Tasks"), Column("Names", number=False))
    blocks: list[Block] = [
        Figures((Figure(drawing, "Which tasks share which layer", caption, wide=True),)),
        Heading("Every branch, from the output down"),
        Table(columns, rows),
    ]
    lead = (
        "Which tasks share which layers is what this network found out while it was trained."
        if branching.rounds
        else "The tree was fixed; the network was trained in it from the start."
    )
    return Section("Tree", "tree", tuple(blocks), lead)


def rounds_section(branching: Branching) -> Section:
    """What each number of branches would have cost and, if one was widened, the affinities of every round."""
    rounds = branching.rounds
    blocks: list[Block] = []
    if any(len(each.groups) > 1 for each in rounds):
        blocks += _affinity_blocks(branching)
    drawing = drawings.costs_drawing([(each.layer, each.costs, len(each.groups)) for each in rounds])
    caption = (
        f"L(d) of Eq. 9 with a branching factor of {rounds[0].alpha:g}: what d branches cost, and how dissimilar tasks "
        "are that share one. The large dot is the smallest, which was taken."
    )
    figure = Figure(figures.svg(drawing, "cost of branches"), "How many branches", caption, wide=len(rounds) > 2)
    return Section("Rounds", "rounds", (*blocks, Figures((figure,))), _told(rounds))


def _affinity_blocks(branching):
    rounds, order = branching.rounds, branching.tree.order()
    bounds = drawings.common_bounds([each.affinity for each in rounds])
    note = (
        "Two tasks have an affinity of 1 if they find the same images difficult and the same ones easy (Eq. 6). "
        "Unrelated tasks, too, are above one half, the more the fewer images they find difficult: compare a pair with "
        "the rest of its row. All maps have one scale. White frames: the groups that were chosen."
    )
    maps = tuple(_affinity_figure(branching, each, order, each is rounds[0], bounds) for each in rounds)
    return [Note(note), Figures(maps)]


def _affinity_figure(branching, found, order, first, bounds):
    """The first round's with the tasks' names."""
    names = branching.tasks if first else ()
    drawing = drawings.affinity_map(found.affinity, order, found.groups, bounds, names)
    markup = figures.svg(drawing, f"affinities before {found.layer} was widened")
    count = len(found.groups)
    branches = "one branch" if count == 1 else f"{count} branches"
    caption = f"After {plural(found.epoch, 'epoch')}: {branches} for {found.layer}."
    return Figure(markup, f"Affinities, round of {found.layer}", caption, wide=first)


def _told(rounds):
    last = rounds[-1]
    end = (
        f"The round of {last.layer} found that one branch is cheapest, and the tree stayed as it was."
        if len(last.groups) == 1
        else f"The last round was that of {last.layer}."
    )
    return f"From the output down, each round groups the branches of the layer above by their affinity. {end}"
