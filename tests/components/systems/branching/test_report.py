"""The tree of a network that widened itself, and how it came by it."""

import json

import numpy as np
import pytest

from components.systems.branching import drawings
from components.systems.branching.report import branching_part, task_groups
from keras_models import BranchedVGG16, BranchTree
from tests.components.page.page_checks import check
from tests.components.report import sample_run

TASKS = ("Smiling", "No_Beard", "Mouth_Slightly_Open", "Mustache")
SHARED = BranchTree.unbranched(("conv1", "conv2", "fc6", "fc7"), 4)
TREE = SHARED.widened("fc7", [[0, 2], [1], [3]]).widened("fc6", [[0], [1, 2]])
AFFINITY = np.array([[1, 0.5, 0.9, 0.4], [0.5, 1, 0.5, 0.8], [0.9, 0.5, 1, 0.3], [0.4, 0.8, 0.3, 1]])


def found(layer, epoch, above, groups, costs, affinity=AFFINITY):
    """A round, as training records it."""
    return {
        "layer": layer,
        "epoch": epoch,
        "alpha": 1.0,
        "affinity": affinity.tolist(),
        "above": above,
        "branch_affinity": [],
        "groups": groups,
        "costs": costs,
    }


def branching(tree=TREE, rounds=(), tasks=TASKS):
    """training.json's "branching"."""
    return {"tasks": list(tasks), "start": None, "tree": json.loads(tree.to_json()), "rounds": list(rounds)}


ROUNDS = (
    found("fc7", 1, [[0], [1], [2], [3]], [[0, 2], [1], [3]], [0.5, 0.4, 0.3, 0.35]),
    found("fc6", 2, [[0, 2], [1], [3]], [[0], [1, 2]], [0.5, 0.2, 0.3]),
    found("conv2", 3, [[0, 2], [1, 3]], [[0, 1]], [0.1, 0.2]),
)


def texts(canvas):
    return [text.get_text() for axes in canvas.axes for text in axes.texts]


def test_layers_with_the_same_branches_are_one_level():
    assert drawings.levels(TREE) == [
        ("conv1 to conv2", ((0, 1, 2, 3),)),
        ("fc6", ((0, 2), (1, 3))),
        ("fc7", ((0, 2), (1,), (3,))),
    ]


def test_blocks_of_the_tree_stand_beside_the_tasks_they_lead_to():
    canvas = drawings.tree_drawing(TREE, TASKS)
    (axes,) = canvas.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["Smiling", "Mouth Slightly Open", "No Beard", "Mustache"]
    blocks = {(patch.get_x(), patch.get_y(), patch.get_height()) for patch in axes.patches}
    assert blocks == {(0, 0, 4), (1, 0, 2), (1, 2, 2), (2, 0, 2), (2, 2, 1), (2, 3, 1)}
    assert {"4", "2"} <= set(texts(canvas)) and "fc6\n2" in texts(canvas)


def test_a_group_has_its_frame_in_the_heat_map():
    order = TREE.order()
    bounds = drawings.common_bounds([AFFINITY, AFFINITY / 2])
    canvas = drawings.affinity_map(AFFINITY, order, [(0, 2), (1, 3)], bounds, TASKS)
    axes = canvas.axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), AFFINITY[np.ix_(order, order)])
    assert axes.images[0].get_clim() == pytest.approx((0.15, 0.9)), "a task with itself doesn't count"
    frames = {(patch.get_x(), patch.get_y(), patch.get_width()) for patch in axes.patches}
    assert frames == {(-0.5, -0.5, 2), (1.5, 1.5, 2)}
    assert [label.get_text() for label in axes.get_yticklabels()][2] == "No Beard"
    assert not drawings.affinity_map(AFFINITY, order, [(0, 1, 2, 3)], bounds).axes[0].get_yticks().size


def test_the_chosen_number_of_branches_is_marked():
    canvas = drawings.costs_drawing([(each["layer"], each["costs"], len(each["groups"])) for each in ROUNDS])
    titles = [axes.get_title(loc="left") for axes in canvas.axes if axes.get_visible()]
    assert titles == ["fc7: 3 of 4", "fc6: 2 of 3", "conv2: 1 of 2"]
    chosen = [axes.lines[1].get_xydata().tolist() for axes in canvas.axes[:3]]
    assert chosen == [[[3, 0.3]], [[2, 0.2]], [[1, 0.1]]]


def page(part):
    return check(sample_run.page_of(sample_run.artifacts(sample_run.ATTRIBUTES), *part.sections))


def test_the_part_has_tree_and_rounds():
    part = branching_part(branching(rounds=ROUNDS))
    reader = page(part)
    assert reader.sections == ["tree", "rounds"]
    assert reader.count("svg", role="img") == 1 + 3 + 1, "the tree, a map a round, the costs"
    assert "Smiling, Mouth Slightly Open" in reader.text
    assert (part.metrics, part.compared) == ({"branches": 3}, ("branches",))
    assert part.headlines[0].value == "3"


@pytest.mark.parametrize("count", [3, 90])
def test_it_has_room_for_few_and_for_many_tasks(count):
    tasks = tuple(f"Task {number}" for number in range(count))
    tree = BranchTree.unbranched(BranchedVGG16.LAYERS, count).widened("fc7", [[0, 1], list(range(2, count))])
    above, groups = [[task] for task in range(count)], list(map(list, tree.of("fc7")))
    only = found("fc7", 1, above, groups, [1.0, 0.5], np.full((count, count), 0.5))
    assert f"Task {count - 1}" in page(branching_part(branching(tree, [only], tasks))).text


def test_a_network_that_was_not_widened_says_so():
    part = branching_part(branching(SHARED, ROUNDS[2:]))
    assert not part.headlines and part.metrics == {"branches": 1}
    reader = page(part)
    assert "All 4 tasks share every layer" in reader.text and "one branch is cheapest" in reader.text
    assert reader.count("svg", role="img") == 1, "the costs alone: nothing was grouped"


def test_a_fixed_tree_has_no_rounds():
    (section,) = branching_part(branching()).sections
    assert section.title == "Tree" and "was fixed" in section.lead


def test_the_table_has_the_branches_in_the_drawings_order():
    swapped = TREE.widened("fc7", [[3], [1], [0, 2]])
    assert swapped.order() == (0, 2, 3, 1)
    assert drawings.from_the_left(swapped, swapped.of("fc7")) == [(0, 2), (3,), (1,)]


def test_a_round_s_groups_are_of_tasks():
    assert task_groups(ROUNDS[0]) == [[0, 2], [1], [3]]
    assert task_groups(ROUNDS[1]) == [[0, 2], [1, 3]]
    assert task_groups(ROUNDS[2]) == [[0, 2, 1, 3]]


def test_the_system_shows_what_training_left():
    run = sample_run.artifacts(sample_run.ATTRIBUTES, system="components.systems.branching.system.BranchingSystem")
    assert "tree" not in check(sample_run.whole_page(run)).sections
    run.training["branching"] = branching()
    assert "tree" in check(sample_run.whole_page(run)).sections
