"""Branch trees: what is one, what hangs on what, widening, order, swapped halves, files."""

import json

import pytest

from keras_models.branch_tree import OUTPUT, BranchTree

LAYERS = ("a", "b", "c")
# a: all | b: 0 2 4, 1 3 | c: 1 3, 0 4, 2
TREE = BranchTree(5, LAYERS, (((0, 1, 2, 3, 4),), ((0, 2, 4), (1, 3)), ((1, 3), (0, 4), (2,))))


@pytest.mark.parametrize(
    "branches",
    [((0, 1),), ((0, 1, 2), (2,)), ((0, 1), (1, 2)), ((0, 1, 3),), ()],
    ids=["task missing", "task twice", "overlap", "no such task", "empty"],
)
def test_branches_are_a_partition(branches):
    with pytest.raises(ValueError, match="branches of b should hold each of the tasks 0 to 2 once"):
        BranchTree(3, ("a", "b"), (((0, 1, 2),), branches))


def test_a_branch_hangs_on_one_branch():
    with pytest.raises(ValueError, match=r"branch \(0, 1\) of b has tasks of several branches of a"):
        BranchTree(3, ("a", "b"), (((0,), (1, 2)), ((0, 1), (2,))))


def test_each_layer_has_its_branches():
    with pytest.raises(ValueError, match="2 layers, but branches of 1"):
        BranchTree(3, ("a", "b"), (((0, 1, 2),),))


def test_unbranched():
    tree = BranchTree.unbranched(iter(LAYERS), 3)
    assert tree.layers == LAYERS
    assert [tree.of(layer) for layer in LAYERS] == [((0, 1, 2),)] * 3
    assert tree.of(OUTPUT) == ((0,), (1,), (2,))
    assert tree.parents(OUTPUT) == (0, 0, 0)


@pytest.mark.parametrize(
    ("layer", "parents"), [("a", (0,)), ("b", (0, 0)), ("c", (1, 0, 0)), (OUTPUT, (1, 0, 2, 0, 1))]
)
def test_parents(layer, parents):
    assert TREE.parents(layer) == parents


def test_the_lowest_layer_hangs_on_the_image():
    assert BranchTree(2, ("a",), (((0,), (1,)),)).parents("a") == (0, 0)


def test_layer_above():
    assert [TREE.above(layer) for layer in LAYERS] == ["b", "c", OUTPUT]


def test_no_such_layer():
    with pytest.raises(ValueError, match=r"no layer 'd'\. The layers are: a, b, c"):
        TREE.of("d")


def test_widened_groups_branches_of_the_layer_above():
    tree = BranchTree.unbranched(LAYERS, 5).widened("c", [[1, 3], [4, 0], [2]])
    assert tree.of("c") == ((1, 3), (0, 4), (2,))  # sorted, in the order of the groups
    assert tree.of("b") == ((0, 1, 2, 3, 4),)
    assert tree.widened("b", [[2, 1], [0]]) == TREE  # numbers of branches of c


@pytest.mark.parametrize("groups", [[[0, 1]], [[0, 1], [1, 2]]])
def test_groups_of_a_widening_hold_each_branch_once(groups):
    with pytest.raises(ValueError, match="branches of b should hold"):
        TREE.widened("b", groups)


def test_tasks_that_share_more_stand_closer():
    # Left to right: of b the first branch, in it c's second branch (0, 4), then its third (2); last 1 and 3.
    assert TREE.order() == (0, 4, 2, 1, 3)
    assert BranchTree.unbranched(LAYERS, 4).order() == (0, 1, 2, 3)


def test_halves_swapped_by_hand():
    # Order 0 4 2 1 3: 0 and 4 change places with 1 and 3, and 2, the odd one, stays.
    swapped = TREE.with_halves_swapped()
    assert swapped.of("c") == ((0, 4), (1, 3), (2,))
    assert swapped.of("b") == ((1, 2, 3), (0, 4))


def test_an_even_number_of_tasks_all_move():
    tree = BranchTree(4, ("a",), (((0, 3), (1,), (2,)),))  # order 0 3 1 2
    assert tree.with_halves_swapped().of("a") == ((1, 2), (0,), (3,))


@pytest.mark.parametrize("tree", [TREE, BranchTree(4, ("a",), (((0, 3), (1,), (2,)),))])
def test_swapped_twice_is_the_tree(tree):
    assert tree.with_halves_swapped() != tree
    assert tree.with_halves_swapped().with_halves_swapped() == tree


def test_swapped_keeps_the_shape():
    # No inverse here: tasks of one branch have no order of their own, and the middle runs through (1, 2, 3).
    tree = BranchTree(4, ("a",), (((0,), (1, 2, 3)),))
    assert tree.with_halves_swapped().of("a") == ((2,), (0, 1, 3))


def test_json_round_trip():
    text = TREE.to_json()
    assert json.loads(text)["branches"]["c"] == [[1, 3], [0, 4], [2]]
    assert BranchTree.from_json(text) == TREE
    assert hash(BranchTree.from_json(text)) == hash(TREE)  # tuples all the way down


def test_json_that_is_no_tree():
    with pytest.raises(ValueError, match="branches of a should hold"):
        BranchTree.from_json('{"num_tasks": 2, "branches": {"a": [[0]]}}')
