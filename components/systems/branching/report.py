"""A network that widened itself: its tree, and how it came by it (Lu et al. 2017)."""

from __future__ import annotations

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


def branching_parts(artifacts: RunArtifacts) -> Sequence[Part]:
    """The tree, and the rounds if there were any."""
    found = artifacts.training.get("branching")
    return () if found is None else (branching_part(found),)


def branching_part(branching: Mapping[str, Any]) -> Part:
    """What a run shows of its tree.

    Args:
        branching: as components.systems.branching.training.Rounds records it, with the "tree" of the trained network.
    """
    tree = BranchTree.from_json(json.dumps(branching["tree"]))
    widest = max(len(branches) for branches in tree.branches)
    meaning = "at the layer that has most; all tasks share every layer below the lowest that branches."
    sections = [_tree_section(branching, tree)]
    if branching["rounds"]:
        sections.append(_rounds_section(branching, tree))
    return Part(
        headlines=(Headline(str(widest), "Branches", meaning),) if widest > 1 else (),
        sections=tuple(sections),
        metrics={"branches": widest},
        compared=("branches",),
    )


def _tree_section(branching, tree):
    """The tree as a figure and as a table."""
    tasks = branching["tasks"]
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
        if branching["rounds"]
        else "The tree was fixed; the network was trained in it from the start."
    )
    return Section("Tree", "tree", tuple(blocks), lead)


def _rounds_section(branching, tree):
    """What each number of branches would have cost and, if one was widened, the affinities of every round."""
    rounds = branching["rounds"]
    blocks: list[Block] = []
    if any(len(each["groups"]) > 1 for each in rounds):
        blocks += _affinity_blocks(branching, tree.order())
    drawing = drawings.costs_drawing([(each["layer"], each["costs"], len(each["groups"])) for each in rounds])
    caption = (
        f"L(d) of Eq. 9 with a branching factor of {rounds[0]['alpha']:g}: what d branches cost, and how dissimilar "
        "tasks are that share one. The large dot is the smallest, which was taken."
    )
    figure = Figure(figures.svg(drawing, "cost of branches"), "How many branches", caption, wide=len(rounds) > 2)
    return Section("Rounds", "rounds", (*blocks, Figures((figure,))), _told(rounds))


def _affinity_blocks(branching, order):
    rounds = branching["rounds"]
    bounds = drawings.common_bounds([np.array(each["affinity"]) for each in rounds])
    note = (
        "Two tasks have an affinity of 1 if they find the same images difficult and the same ones easy (Eq. 6). "
        "Unrelated tasks, too, are above one half, the more the fewer images they find difficult: compare a pair with "
        "the rest of its row. All maps have one scale. White frames: the groups that were chosen."
    )
    tasks = branching["tasks"]
    maps = tuple(_affinity_figure(each, tasks if each is rounds[0] else (), order, bounds) for each in rounds)
    return [Note(note), Figures(maps)]


def _affinity_figure(found, names, order, bounds):
    """With the names of the tasks if they are given."""
    layer, groups = found["layer"], task_groups(found)
    drawing = drawings.affinity_map(found["affinity"], order, groups, bounds, names)
    markup = figures.svg(drawing, f"affinities before {layer} was widened")
    count = len(groups)
    branches = "one branch" if count == 1 else f"{count} branches"
    caption = f"After {plural(found['epoch'], 'epoch')}: {branches} for {layer}."
    return Figure(markup, f"Affinities, round of {layer}", caption, wide=bool(names))


def task_groups(found: Mapping[str, Any]) -> list[list[int]]:
    """The groups of a round as task numbers; it has them as numbers of the branches at the junction."""
    return [[task for number in group for task in found["above"][number]] for group in found["groups"]]


def _told(rounds):
    last = rounds[-1]
    end = (
        f"The round of {last['layer']} found that one branch is cheapest, and the tree stayed as it was."
        if len(last["groups"]) == 1
        else f"The last round was that of {last['layer']}."
    )
    return f"From the output down, each round groups the branches of the layer above by their affinity. {end}"
