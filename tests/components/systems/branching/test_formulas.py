"""Fully-adaptive feature sharing: its equations by hand, against plain NumPy, and what always holds."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import SpectralClustering

from components.systems.branching.formulas import (
    TaskAffinity,
    branch_affinity,
    branching_costs,
    choose_branches,
    separation_cost,
    somp_select,
    task_agreements,
)

PROPERTY = settings(max_examples=10, deadline=None)
SEEDS = st.integers(0, 2**31)
FOUR_TASKS = np.array([[1, 0.9, 0.4, 0.6], [0.9, 1, 0.5, 0.7], [0.4, 0.5, 1, 0.8], [0.6, 0.7, 0.8, 1]])


def _random_affinity(random, size):
    affinity = random.uniform(0, 1, (size, size))
    affinity = (affinity + affinity.T) / 2
    np.fill_diagonal(affinity, 1)
    return affinity


def _blocks(*sizes, within=0.8, between=0.0):
    block = np.repeat(range(len(sizes)), sizes)
    affinity = np.where(block[:, None] == block, within, between)
    np.fill_diagonal(affinity, 1)
    return affinity


def _chosen(*arguments, **options):
    return choose_branches(branching_costs(*arguments, **options))


def _members(groups):
    return sorted(branch for group in groups for branch in group)


def _somp_by_least_squares(weight, num_rows):
    """Every step solves the least squares again."""
    chosen, residual = [], weight
    for _ in range(num_rows):
        scores = [
            -1 if row in chosen else np.linalg.norm(residual @ weight[row]) / np.linalg.norm(weight[row])
            for row in range(len(weight))
        ]
        chosen.append(int(np.argmax(scores)))
        basis = weight[chosen].T
        residual = weight - (basis @ np.linalg.lstsq(basis, weight.T, rcond=None)[0]).T
    return chosen


class TestSompSelect:
    """Eq. 2."""

    def test_worked_by_hand(self):
        # Squared scores (81 + 9) / 9 = 10, (16 + 4) / 4 = 5, (9 + 4 + 4) / 2 = 8.5. Without the first axis the rows are
        # (0, 0), (0, 2), (0, 1): 20 / 4 = 5 and 5 / 2, although the third row would have been second before.
        weight = [[3, 0], [0, 2], [1, 1]]
        assert somp_select(weight, 1) == [0]
        assert somp_select(weight, 2) == [0, 1]
        assert somp_select(weight, 3) == [0, 1, 2]

    def test_what_many_rows_share_wins_over_the_largest_row(self):
        # (4 + 4 + 4 + 4) / 2 = 8 over (4 + 4 + 4 + 16) / 4 = 7
        assert somp_select([[1, 1], [0, 2], [1, 1], [1, 1]], 2) == [0, 1]

    def test_a_copy_is_not_chosen_while_another_row_has_something_new(self):
        assert somp_select([[1, 1], [1, 1], [2, 2], [0, 2]], 2) == [0, 3]

    def test_spanned_rows_follow_by_norm(self):
        # All nonzero rows score √(1 + 4 + 9): the first wins and spans the others.
        assert somp_select([[1, 0], [0, 0], [2, 0], [3, 0]], 4) == [0, 3, 2, 1]
        assert somp_select(np.zeros((3, 2)), 2) == [0, 1]

    def test_rows_of_zeros_come_last(self):
        weight = np.zeros((5, 3))
        weight[[1, 3, 4]] = np.diag([1e-3, 1e-5, 1e-4])
        assert somp_select(weight, 5) == [1, 4, 3, 0, 2]

    @PROPERTY
    @given(seed=SEEDS, rows=st.integers(1, 12), fan_in=st.integers(2, 20))
    def test_is_least_squares_at_every_step(self, seed, rows, fan_in):
        random = np.random.default_rng(seed)
        weight = random.normal(size=(rows, fan_in)) * random.uniform(0.1, 10, (rows, 1))
        rank = min(rows, fan_in)
        assert somp_select(weight, rank) == _somp_by_least_squares(weight, rank)

    @PROPERTY
    @given(seed=SEEDS, rank=st.integers(2, 6))
    def test_more_rows_than_the_rank(self, seed, rank):
        random = np.random.default_rng(seed)
        weight = (random.normal(size=(10, rank)) @ random.normal(size=(rank, 30))).astype(np.float32)
        chosen = somp_select(weight, 10)
        assert sorted(chosen) == list(range(10))
        assert chosen[:rank] == _somp_by_least_squares(weight.astype(np.float64), rank)
        norms = np.linalg.norm(weight[chosen[rank:]], axis=1)
        assert (np.diff(norms) <= 1e-6 * norms[:-1]).all()

    @PROPERTY
    @given(seed=SEEDS, scale=st.sampled_from([1e-6, 0.5, 1e6]))
    def test_fewer_rows_are_the_first_ones_and_the_scale_does_not_matter(self, seed, scale):
        weight = np.random.default_rng(seed).normal(size=(8, 12))
        chosen = somp_select(weight, 8)
        for number in range(1, 8):
            assert somp_select(scale * weight, number) == chosen[:number]

    def test_the_weight_stays(self):
        weight = np.eye(3)
        somp_select(weight, 2)
        np.testing.assert_array_equal(weight, np.eye(3))


def _agreement(difficult):
    """A of Eq. 6 where all is known."""
    difficult = tf.cast(difficult, tf.bool)
    agree, both = task_agreements(difficult, tf.ones_like(difficult))
    return (agree / both).numpy()


class TestTaskAgreements:
    """Eq. 6."""

    def test_worked_by_hand(self):
        # Tasks 0 and 1 agree on examples 0, 1, 3; 0 and 2 on 0, 2; 1 and 2 on 0 alone.
        difficult = [[1, 1, 1], [1, 1, 0], [0, 1, 0], [0, 0, 1]]
        expected = [[1, 0.75, 0.5], [0.75, 1, 0.25], [0.5, 0.25, 1]]
        np.testing.assert_allclose(_agreement(difficult), expected)

    def test_what_is_not_known_counts_nowhere(self):
        difficult = tf.constant([[True, True], [True, False], [False, False]])
        known = tf.constant([[True, True], [True, True], [True, False]])
        agree, both = task_agreements(difficult, known)
        assert agree.numpy().tolist() == [[3, 1], [1, 2]] and both.numpy().tolist() == [[3, 2], [2, 2]]

    def test_opposites_have_none(self):
        np.testing.assert_array_equal(_agreement([[1, 0], [0, 1]]), np.eye(2))

    @PROPERTY
    @given(seed=SEEDS)
    def test_simple_and_difficult_are_alike(self, seed):
        difficult = np.random.default_rng(seed).integers(0, 2, (7, 5))
        affinity = _agreement(difficult)
        np.testing.assert_allclose(_agreement(1 - difficult), affinity)
        np.testing.assert_array_equal(affinity, affinity.T)
        np.testing.assert_array_equal(affinity.diagonal(), 1)
        assert (affinity >= 0).all()
        assert (affinity <= 1).all()


def _running_affinity(batches, decay=0.99):
    """Eq. 6 over batches (targets, scores), written out example by example."""
    tasks = batches[0][0].shape[1]
    margin = np.zeros((tasks, 2))
    agreement = np.zeros((tasks, tasks, 2))
    for targets, scores in batches:
        before = margin.copy()
        margin *= decay
        agreement *= decay
        for target, score in zip(targets, scores, strict=True):
            difficult = {}
            for i in range(tasks):
                if target[i] >= 0:
                    error = 1 - score[i] if target[i] >= 0.5 else score[i]
                    margin[i] += error, 1
                    if before[i, 1]:
                        difficult[i] = error >= before[i, 0] / before[i, 1]
            for i in difficult:
                for j in difficult:
                    agreement[i, j] += difficult[i] == difficult[j], 1
    return np.where(agreement[..., 1] > 0, agreement[..., 0] / np.maximum(agreement[..., 1], 1e-30), 0.5)


def _random_batches(seed, number=4, tasks=4):
    """Targets soft and hard, some not annotated; the last task never with the first."""
    random = np.random.default_rng(seed)
    batches = []
    for _ in range(number):
        targets = random.choice([0, 0.3, 1, -1], (6, tasks)).astype(np.float32)
        targets[:3, 0] = -1
        targets[3:, -1] = -1
        batches.append((targets, random.uniform(size=(6, tasks)).astype(np.float32)))
    return batches


class TestTaskAffinity:
    """Eq. 6 while training."""

    # Margins by example and task, of targets 1 and 0.
    BATCHES = (
        (np.array([[1, 0], [0, 1]]), np.array([[0.8, 0.6], [0.4, 0.8]])),
        (np.array([[1, 0], [1, 1], [0, 0]]), np.array([[0.5, 0.1], [0.9, 0.5], [0.4, 0.6]])),
        (np.array([[0, 1]]), np.array([[0.31, 0.9]])),
    )

    def test_worked_by_hand(self):
        affinity = TaskAffinity(2)
        affinity.update(*self.BATCHES[0])
        # Margins (0.2, 0.6), (0.4, 0.2): means 0.3 and 0.4, and nothing counted.
        np.testing.assert_array_equal(affinity.affinity(), np.full((2, 2), 0.5))
        affinity.update(*self.BATCHES[1])
        # Margins (0.5, 0.1), (0.1, 0.5), (0.4, 0.6), difficult 10, 01, 11: one of three.
        np.testing.assert_allclose(affinity.affinity(), [[1, 1 / 3], [1 / 3, 1]], rtol=1e-6)
        affinity.update(*self.BATCHES[2])
        # 0.31 is below (0.99 · 0.6 + 1) / (0.99 · 2 + 3) = 0.32 and 0.1 below 0.4: they agree.
        together = (0.99 * 1 + 1) / (0.99 * 3 + 1)
        np.testing.assert_allclose(affinity.affinity(), [[1, together], [together, 1]], rtol=1e-6)

    def test_the_mean_margin_itself_is_difficult(self):
        affinity = TaskAffinity(2)
        affinity.update([[1.0, 1.0]], [[0.5, 0.75]])
        affinity.update([[1.0, 1.0]], [[0.5, 0.25]])
        np.testing.assert_array_equal(affinity.affinity(), np.ones((2, 2)))

    def test_what_is_not_annotated_counts_nowhere(self):
        affinity = TaskAffinity(3)
        affinity.update([[0.0, 0.0, -1.0], [0.0, -1.0, -1.0]], [[0.25, 0.5, 0.9], [0.75, 0.9, 0.9]])
        # Means 0.5 and 0.5. Difficult: 1 1, 0 ·, 1 0; task 2 is seen for the first time.
        affinity.update(
            [[0.0, 0.0, 0.0], [0.0, -1.0, -1.0], [0.0, 0.0, -1.0]], [[0.6, 0.7, 0.5], [0.1, 0.9, 0], [0.8, 0.1, 0]]
        )
        np.testing.assert_allclose(affinity.affinity(), [[1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 0.5]])
        np.testing.assert_allclose(affinity.agreement_count, [[3, 2, 0], [2, 2, 0], [0, 0, 0]])

    def test_tasks_of_two_data_sets_never_seen_together(self):
        affinity = TaskAffinity(2)
        for _ in range(2):
            affinity.update([[1.0, -1.0], [-1.0, 1.0]], [[0.5, 0.5], [0.5, 0.5]])
        np.testing.assert_array_equal(affinity.affinity(), [[1, 0.5], [0.5, 1]])

    @PROPERTY
    @given(seed=SEEDS)
    def test_equals_a_plain_loop(self, seed):
        batches = _random_batches(seed)
        affinity = TaskAffinity(4)
        for targets, scores in batches:
            affinity.update(targets, scores)
        result = affinity.affinity()
        np.testing.assert_allclose(result, _running_affinity(batches), rtol=1e-5)
        np.testing.assert_array_equal(result, result.T)
        assert result.dtype == np.float64
        assert result[0, 3] == 0.5
        assert (result <= 1).all()

    def test_one_batch_counted_is_its_formula(self):
        random = np.random.default_rng(3)
        first, second = random.uniform(size=(2, 9, 5))
        affinity = TaskAffinity(5)
        affinity.update(np.zeros((9, 5)), first)
        affinity.update(np.zeros((9, 5)), second)
        np.testing.assert_allclose(affinity.affinity(), _agreement(second >= first.mean(axis=0)), rtol=1e-6)

    def test_decay(self):
        affinity = TaskAffinity(2, decay=0.5)
        for _ in range(2):
            affinity.update([[1.0, 1.0]], [[0.5, 0.5]])
        affinity.update([[1.0, 1.0]], [[0.0, 1.0]])
        # Agreed, then not: 0.5 / (0.5 + 1)
        assert affinity.affinity()[0, 1] == pytest.approx(1 / 3)

    def test_inside_a_function_and_mixed_precision(self):
        affinity = TaskAffinity(4)
        update = tf.function(affinity.update, reduce_retracing=True)
        batches = [(targets, scores.astype(np.float16)) for targets, scores in _random_batches(5)]
        batches[-1] = [array[:5] for array in batches[-1]]
        for targets, scores in batches:
            update(tf.constant(targets), tf.constant(scores))
        expected = _running_affinity([(targets, scores.astype(np.float32)) for targets, scores in batches])
        np.testing.assert_allclose(affinity.affinity(), expected, rtol=1e-5)

    def test_goes_on_from_a_checkpoint(self, tmp_path):
        batches = _random_batches(6)
        straight, saved, restored = TaskAffinity(4), TaskAffinity(4), TaskAffinity(4)
        for targets, scores in batches[:2]:
            straight.update(targets, scores)
            saved.update(targets, scores)
        path = tf.train.Checkpoint(affinity=saved).save(str(tmp_path / "checkpoint"))
        tf.train.Checkpoint(affinity=restored).restore(path).assert_consumed()
        for targets, scores in batches[2:]:
            straight.update(targets, scores)
            restored.update(targets, scores)
        np.testing.assert_array_equal(restored.affinity(), straight.affinity())
        assert not np.array_equal(saved.affinity(), straight.affinity())
        assert not restored.trainable_variables


class TestBranchAffinity:
    """Eqs. 7 and 8."""

    def test_worked_by_hand(self):
        # Ã(0, 1) = mean(0.4, 0.5), Ã(1, 0) = mean(0.4, 0.6); the diagonal is the least of each pair.
        expected = [[0.9, 0.475], [0.475, 0.8]]
        np.testing.assert_allclose(branch_affinity(FOUR_TASKS, [[0, 1], [2, 3]]), expected)

    def test_branches_of_different_sizes(self):
        # Ã(0, 1) = min(0.9, 0.4, 0.6), Ã(1, 0) = mean(0.9, 0.4, 0.6) = 1.9 / 3; A_b(1, 1) = mean(0.5, 0.5, 0.7).
        expected = [[1, (0.4 + 1.9 / 3) / 2], [(0.4 + 1.9 / 3) / 2, 1.7 / 3]]
        np.testing.assert_allclose(branch_affinity(FOUR_TASKS, [[0], [1, 2, 3]]), expected)

    def test_one_task_a_branch(self):
        np.testing.assert_array_equal(branch_affinity(FOUR_TASKS, [[0], [1], [2], [3]]), FOUR_TASKS)
        swapped = branch_affinity(FOUR_TASKS, [[2], [0]])
        np.testing.assert_array_equal(swapped, [[1, 0.4], [0.4, 1]])

    @PROPERTY
    @given(seed=SEEDS)
    def test_symmetric_between_the_extremes(self, seed):
        random = np.random.default_rng(seed)
        affinity = _random_affinity(random, 9)
        result = branch_affinity(affinity, np.split(random.permutation(9), [1, 3, 5]))
        np.testing.assert_array_equal(result, result.T)
        assert (result >= affinity.min()).all()
        assert (result <= 1).all()


class TestSeparationCost:
    """Eqs. 10 and 11."""

    def test_worked_by_hand(self):
        # 1 - 0.9 and 1 - 0.8
        assert separation_cost(FOUR_TASKS, [[0, 1], [2, 3]]) == pytest.approx(0.15)
        # 1 - mean(0.4, 0.5, 0.4, 0.6)
        assert separation_cost(FOUR_TASKS, [[0, 1, 2, 3]]) == pytest.approx(0.525)
        # 0 and 1 - mean(0.5, 0.5, 0.7), a group counts as much as another
        assert separation_cost(FOUR_TASKS, [[0], [1, 2, 3]]) == pytest.approx((1 - 1.7 / 3) / 2)

    def test_each_alone(self):
        assert separation_cost(FOUR_TASKS, [[0], [1], [2], [3]]) == 0
        # Branches whose own tasks differ: 1 - 0.9 and 1 - 0.8
        affinity = branch_affinity(FOUR_TASKS, [[0, 1], [2, 3]])
        assert separation_cost(affinity, [[0], [1]]) == pytest.approx(0.15)

    def test_three_branches(self):
        affinity = [[1, 0.75, 0.5], [0.75, 1, 0.25], [0.5, 0.25, 1]]
        # (1 - 0.75) / 2, (1 - mean(0.5, 0.25, 0.25))
        assert separation_cost(affinity, [[0, 1], [2]]) == 0.125
        assert separation_cost(affinity, [[0, 1, 2]]) == pytest.approx(2 / 3)


class TestChooseBranches:
    """Eq. 9."""

    def test_worked_by_hand(self):
        # One pooling layer doubles the price of a branch: four above make it 16 / 64.
        one, two, three, four = branching_costs(FOUR_TASKS, 4, alpha=1)
        assert one == ([[0, 1, 2, 3]], pytest.approx(0.525))
        assert two == ([[0, 1], [2, 3]], pytest.approx(0.25 + 0.15))
        assert len(three[0]) == 3
        assert four == ([[0], [1], [2], [3]], 0.75)
        assert _chosen(FOUR_TASKS, 4, alpha=1) == [[0, 1], [2, 3]]
        # 0.2625 < 0.25 + 0.075
        assert _chosen(FOUR_TASKS, 4, alpha=0.5) == [[0, 1, 2, 3]]
        # 3 / 64 and at least 2 / 64 + 0.1 / 3
        assert _chosen(FOUR_TASKS, 0, alpha=1) == [[0], [1], [2], [3]]

    def test_unit_cost(self):
        costs = [cost for _, cost in branching_costs(FOUR_TASKS, 1, alpha=0, unit_cost=0.5)]
        assert costs == [0, 1, 2, 3]

    def test_fewer_groups_on_ties(self):
        # α / 2 against 1 / 64
        affinity = [[1, 0.5], [0.5, 1]]
        assert _chosen(affinity, 0, alpha=1 / 32) == [[0, 1]]
        assert _chosen(affinity, 0, alpha=1 / 31) == [[0], [1]]

    def test_one_branch(self):
        assert branching_costs([[1.0]], 3, alpha=2) == [([[0]], 0)]

    @pytest.mark.parametrize("sizes", [(2, 2), (1, 3), (2, 1, 4), (1, 1, 1, 2), (5, 1, 1, 7)])
    @pytest.mark.parametrize("between", [0.0, 0.2])
    def test_finds_blocks(self, sizes, between):
        order = np.random.default_rng(0).permutation(sum(sizes))
        block = np.repeat(range(len(sizes)), sizes)[order]
        expected = sorted(np.flatnonzero(block == number).tolist() for number in range(len(sizes)))
        affinity = _blocks(*sizes, within=0.99, between=between)[np.ix_(order, order)]
        assert branching_costs(affinity, 0, alpha=1)[len(sizes) - 1][0] == expected
        assert _chosen(affinity, 0, alpha=1) == expected

    def test_of_five_clusterings_the_one_that_parts_best(self):
        affinity = _random_affinity(np.random.default_rng(2), 9)
        costs = []
        for seed in range(5):
            labels = SpectralClustering(4, affinity="precomputed", random_state=seed, n_init=2).fit_predict(affinity)
            costs.append(separation_cost(affinity, [np.flatnonzero(labels == label) for label in np.unique(labels)]))
        assert min(costs) < costs[0]
        assert branching_costs(affinity, 0, alpha=1)[3][1] == pytest.approx(3 / 64 + min(costs))

    def test_alpha_of_zero_makes_no_branch(self):
        assert _chosen(_blocks(3, 3), 0, alpha=0) == [list(range(6))]

    def test_a_huge_alpha_makes_all_that_are_allowed(self):
        affinity = _random_affinity(np.random.default_rng(1), 6)
        assert _chosen(affinity, 4, alpha=1e6) == [[branch] for branch in range(6)]
        assert _chosen(affinity, 4, alpha=1e6, max_branches=99) == [[branch] for branch in range(6)]
        for most in range(1, 6):
            assert branching_costs(affinity, 4, 1e6, most) == branching_costs(affinity, 4, 1e6)[:most]
        assert _chosen(_blocks(2, 2), 4, alpha=1e6, max_branches=2) == [[0, 1], [2, 3]]
        assert _chosen(_blocks(2, 2), 4, alpha=1e6, max_branches=1) == [[0, 1, 2, 3]]

    @PROPERTY
    @given(seed=SEEDS, size=st.integers(2, 9))
    def test_a_grouping_is_a_partition_and_always_the_same(self, seed, size):
        affinity = _random_affinity(np.random.default_rng(seed), size)
        costs = branching_costs(affinity, 1, alpha=1)
        assert branching_costs(affinity, 1, alpha=1) == costs
        for number, (groups, cost) in enumerate(costs, start=1):
            assert _members(groups) == list(range(size))
            assert all(group == sorted(group) for group in groups)
            assert groups == sorted(groups)
            assert 1 <= len(groups) <= number
            assert cost == pytest.approx((len(groups) - 1) / 32 + separation_cost(affinity, groups))
        best = _chosen(affinity, 1, alpha=1)
        assert best in [groups for groups, cost in costs if cost == min(cost for _, cost in costs)]

    @PROPERTY
    @given(seed=SEEDS)
    def test_the_order_of_branches_does_not_matter(self, seed):
        random = np.random.default_rng(seed)
        affinity = _blocks(3, 2, 4, within=0.9, between=0.2) + random.uniform(-0.02, 0.02, (9, 9))
        affinity = np.clip((affinity + affinity.T) / 2, 0, 1)
        order = random.permutation(9)
        groups = _chosen(affinity[np.ix_(order, order)], 1, alpha=1, max_branches=3)
        assert sorted(sorted(int(order[branch]) for branch in group) for group in groups) == [
            [0, 1, 2],
            [3, 4],
            [5, 6, 7, 8],
        ]

    @PROPERTY
    @given(seed=SEEDS, alphas=st.tuples(st.floats(0, 4), st.floats(0, 4)), pooling=st.integers(0, 4))
    def test_more_branches_for_a_larger_alpha_and_for_fewer_pooling_layers(self, seed, alphas, pooling):
        affinity = _random_affinity(np.random.default_rng(seed), 5)
        less, more = sorted(alphas)
        branches = len(_chosen(affinity, pooling, more))
        assert len(_chosen(affinity, pooling, less)) <= branches
        assert len(_chosen(affinity, pooling + 1, more)) <= branches

    @pytest.mark.parametrize(
        "affinity", [np.zeros((5, 5)), np.ones((5, 5)), np.full((5, 5), 0.5), np.eye(5), _blocks(2, 3)]
    )
    def test_nothing_to_tell_branches_apart_by(self, affinity):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            costs = branching_costs(affinity, 0, alpha=1)
        assert [_members(groups) for groups, _ in costs] == [list(range(5))] * 5


def test_scores_that_are_no_numbers_are_told():
    affinity = TaskAffinity(2)
    affinity.update(tf.constant([[1.0, 0.0]]), tf.constant([[np.nan, 0.5]]))
    with pytest.raises(ValueError, match="no numbers any more"):
        affinity.affinity()
