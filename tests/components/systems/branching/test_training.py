"""Algorithm 1 on a tiny tree: how it decides, that widening changes nothing that is computed, and interruptions.

As a script: widens on one device and on two.
"""

import contextlib
import io
import json
import pathlib
import sys
import tempfile

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from components.config import configured, from_json, to_json
from components.systems.branching import training
from components.systems.branching.formulas import TaskAffinity, branch_affinity, separation_cost, somp_select
from components.systems.branching.initializers import somp_init
from components.systems.branching.loss import TaskCrossEntropy
from components.systems.branching.system import BranchingSystem
from components.systems.branching.training import FINAL_PHASE, FIRST_PHASE, WIDENING, WideningModel, choose_split
from components.systems.branching.tree_file import write_tree
from components.systems.dmm_cnn.adaptive import adaptive_weights, dynamic_weights
from components.tasks.annotation import Annotation
from components.tasks.base import learning_of
from components.trainer.checkpoint import EpochCheckpoint
from components.trainer.inputs import evaluation_examples
from keras_models import ThinVGG16
from keras_models.branch_tree import BranchTree
from tests.support import tiny_faces

pytestmark = pytest.mark.slow

TASKS = len(tiny_faces.ATTRIBUTES)
LAYERS = tiny_faces.TreeNetwork.LAYERS
UNBRANCHED = BranchTree.unbranched(LAYERS, TASKS)
THRESHOLDS = configured("components.systems.dmm_cnn.adaptive.AdaptiveThresholds")
DW = configured("components.systems.dmm_cnn.adaptive.DynamicWeights")
# The weights of a step come from all validation images, at it and at the step before.
AW = configured("components.systems.dmm_cnn.adaptive.AdaptiveWeighting", batch_size=20, window=1, every=1)
# The loss never falls by 100: the rate falls in the 3rd epoch, if the 1st and 2nd are remembered.
PLATEAU = configured(
    "tensorflow.keras.callbacks.ReduceLROnPlateau", monitor="val_loss", factor=0.5, patience=2, min_delta=100.0
)
ONE_CYCLE = configured("components.trainer.schedules.one_cycle", peak=0.02)
ADAM_W = configured("tensorflow.keras.optimizers.AdamW", weight_decay=0.01)
SHAPE = (*tiny_faces.SIZE, 3)


class Watched(WideningModel):
    """What is trained: the model of the last run, with what each widening found and left."""

    last = None

    def __init__(self, *args):
        super().__init__(*args)
        self.seen = []
        Watched.last = self

    def widen(self, tree, optimizer, anew):
        before = self._state()
        super().widen(tree, optimizer, anew)
        self.seen.append((before, self._state()))

    def _state(self):
        image = np.random.default_rng(0).integers(0, 256, (4, *SHAPE)).astype(np.float32)
        return {
            "scores": self(image)["attributes"].numpy(),
            "thresholds": self.tasks["attributes"].thresholds.numpy(),
            "iterations": int(self.optimizer.iterations),
            "affinity": [variable.numpy() for variable in self.affinity.variables],
        }


class Run:
    """A run with what it said on stderr, and its model."""

    def __init__(self, tiny, folder, files, **more):
        with contextlib.redirect_stderr(io.StringIO()) as said, tiny_faces.eagerly():
            self.trained = tiny_faces.fit(tiny, folder, files, **more)
        self.said, self.model = said.getvalue(), Watched.last
        self.epochs, self.branching = self.trained.epochs, self.trained.record["branching"]
        self.rounds = self.branching["rounds"]
        self.tree = BranchTree.from_json(json.dumps(self.branching["tree"]))


@pytest.fixture(scope="module", autouse=True)
def _watched():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "WideningModel", Watched)
        yield


@pytest.fixture(autouse=True)
def _no_stop():
    yield
    tiny_faces.StopAt.where = None


@pytest.fixture(scope="module")
def tiny():
    """Three layers that branch: three rounds of three steps, two of the final phase."""
    callbacks = (THRESHOLDS, DW, tiny_faces.STOP)
    return tiny_faces.widening_experiment(callbacks, widening_rate=0.01, learning_rate=ONE_CYCLE)


@pytest.fixture(scope="module")
def unbroken(tiny, tiny_files, tmp_path_factory):
    return Run(tiny, tmp_path_factory.mktemp("unbroken"), tiny_files)


# --- decisions


def test_rounds_go_from_the_top_down(unbroken):
    assert [(found["layer"], found["epoch"]) for found in unbroken.rounds] == [("fc", 1), ("conv2", 2), ("conv1", 3)]
    assert [epoch["stage"] for epoch in unbroken.epochs] == [WIDENING] * 3 + [FINAL_PHASE] * 2
    numbers = [len(found["groups"]) for found in unbroken.rounds]  # of fc, conv2, conv1
    assert [epoch["branches"] for epoch in unbroken.epochs] == [
        [1, 1, 1],
        [1, 1, numbers[0]],
        [1, numbers[1], numbers[0]],
        *[numbers[::-1]] * 2,
    ]
    assert min(numbers) > 1


def test_what_a_round_records(unbroken):
    tree = UNBRANCHED
    for found in unbroken.rounds:
        layer = found["layer"]
        assert [list(branch) for branch in found["above"]] == [list(branch) for branch in tree.of(tree.above(layer))]
        assert sorted(number for group in found["groups"] for number in group) == list(range(len(found["above"])))
        affinity, between = np.array(found["affinity"]), np.array(found["branch_affinity"])
        assert affinity.shape == (TASKS, TASKS) and (affinity.diagonal() == 1).all()
        np.testing.assert_allclose(between, branch_affinity(affinity, found["above"]))
        assert len(found["costs"]) == min(len(found["above"]), {"fc": 6, "conv2": 4, "conv1": 2}[layer])
        creation = (len(found["groups"]) - 1) / 64 * {"fc": 1, "conv2": 1, "conv1": 2}[layer]
        assert found["alpha"] == 1
        assert min(found["costs"]) == pytest.approx(creation + separation_cost(between, found["groups"]))
        assert np.argmin(found["costs"]) == len(found["groups"]) - 1
        tree = tree.widened(layer, found["groups"])
    assert unbroken.tree == tree == unbroken.trained.network.tree
    assert unbroken.branching["tasks"] == list(tiny_faces.ATTRIBUTES) and unbroken.branching["start"] is None
    json.dumps(unbroken.branching)


def test_what_it_says(unbroken):
    headings = [line.strip().split(" after ")[0] for line in unbroken.said.splitlines() if " after " in line]
    assert headings == [
        "round 1, junction at output, epoch 1/1",
        "round 2, junction at fc, epoch 2/2",
        "round 3, junction at conv2, epoch 3/3",
        "final phase, epoch 4/5",
        "final phase, epoch 5/5",
    ]
    layer, groups = unbroken.rounds[1]["layer"], unbroken.rounds[1]["groups"]
    assert f"Round 2: {layer} gets {len(groups)} of at most 4 branches:\n    " in unbroken.said
    assert "Continuing" not in unbroken.said


# Two pairs of tasks, alike within and unlike across.
PAIRS = np.array([[1, 0.1, 0.9, 0.1], [0.1, 1, 0.1, 0.9], [0.9, 0.1, 1, 0.1], [0.1, 0.9, 0.1, 1]])
SINGLE = [[0], [1], [2], [3]]


def _tasks(count=TASKS):
    annotations = {"attributes": Annotation("multi_label", tiny_faces.ATTRIBUTES[:count])}
    (task,) = tiny_faces.bound(tiny_faces.LIKELY, annotations=annotations)
    return {"attributes": learning_of(task, tiny_faces.SIZE)}


def _network_of_four(tree=None):
    network = tiny_faces.tree_network(SHAPE, outputs={"attributes": 4})
    return network.rebuilt(tree=tree) if tree else network


def test_a_decision_worked_by_hand():
    # L_s: 1 - 0.1 of one group, 1 - 0.9 of the pairs, a third of that with one pair parted, 0. A branch costs 1/64.
    found = choose_split(_network_of_four(), PAIRS, "fc", alpha=0.2)
    expected = [0.2 * 0.9, 1 / 64 + 0.2 * 0.1, 2 / 64 + 0.2 * 0.1 / 3, 3 / 64]
    assert found["costs"] == pytest.approx(expected)
    assert found["groups"] == [[0, 2], [1, 3]]
    assert found["branch_affinity"] == found["affinity"] == PAIRS.tolist()


def test_a_decision_under_a_pooling_and_a_cap():
    """conv1 has one pooling above it, and is at width 2 half as wide as it may be: a branch costs 2/64, two at most."""
    tree = BranchTree.unbranched(LAYERS, 4).widened("fc", SINGLE).widened("conv2", SINGLE)
    found = choose_split(_network_of_four(tree), PAIRS, "conv1", alpha=0.2)
    assert found["costs"] == pytest.approx([0.2 * 0.9, 2 / 64 + 0.2 * 0.1])
    assert choose_split(_network_of_four(tree), PAIRS, "conv1", alpha=1e6)["groups"] == [[0, 2], [1, 3]]
    assert choose_split(_network_of_four(tree), PAIRS, "conv1", alpha=1e-3)["groups"] == [[0, 1, 2, 3]]


def test_the_junction_is_of_branches_not_of_tasks():
    """Of the pairs themselves: Ã = 0.1 across; within, the least alike of a pair is 0.9."""
    tree = BranchTree.unbranched(LAYERS, 4).widened("fc", [[0, 2], [1, 3]])
    found = choose_split(_network_of_four(tree), PAIRS, "conv2", alpha=0.2)
    np.testing.assert_allclose(found["branch_affinity"], [[0.9, 0.1], [0.1, 0.9]])
    assert found["costs"] == pytest.approx([0.2 * 0.9, 1 / 64 + 0.2 * 0.1])
    assert found["groups"] == [[0], [1]]


@pytest.fixture(scope="module")
def without_alpha(tiny_files, tmp_path_factory):
    return Run(tiny_faces.widening_experiment(alpha=0.0), tmp_path_factory.mktemp("without_alpha"), tiny_files)


def test_without_alpha_nothing_branches(without_alpha):
    """After one round the tree stays as it is, and the tasks aren't watched any more."""
    run = without_alpha
    (found,) = run.rounds
    assert found["groups"] == [list(range(TASKS))]
    assert found["costs"] == pytest.approx([number / 64 for number in range(TASKS)])
    assert run.tree == UNBRANCHED
    assert [epoch["stage"] for epoch in run.epochs] == [FIRST_PHASE, FINAL_PHASE, FINAL_PHASE]
    assert "first phase, epoch 1/1 after" in run.said and "ound 1" not in run.said  # nobody is told of branches
    ((before, _),) = run.model.seen
    for seen, left in zip(before["affinity"], run.model.affinity.variables, strict=True):
        assert seen.any()
        np.testing.assert_array_equal(seen, left)
    assert run.model.optimizer.iterations == 2 * 3  # of the final phase


def test_a_large_alpha_parts_all_that_may_be_parted(tiny_files, tmp_path):
    """Tasks that share fc never differed; conv1 has as many branches as it may."""
    run = Run(tiny_faces.widening_experiment(epochs=1, alpha=1e6), tmp_path, tiny_files)
    of_fc, _, of_conv1 = run.rounds
    assert len(of_fc["groups"]) > 4 and separation_cost(of_fc["branch_affinity"], of_fc["groups"]) == 0
    assert len(of_conv1["groups"]) == 2


def _branches_in_bfloat16():
    """Whether TensorFlow has the gradient of a grouped convolution in bfloat16 for this processor."""
    kernel = tf.Variable(tf.ones([1, 1, 1, 2], tf.bfloat16))
    with tf.GradientTape() as tape:
        out = tf.nn.conv2d(tf.ones([1, 2, 2, 2], tf.bfloat16), kernel, 1, "SAME")
    try:
        return tape.gradient(out, kernel) is not None
    except tf.errors.OpError:
        return False


def test_mixed_precision(tiny_files, tmp_path, request):
    """Where a processor can't train a grouped convolution in bfloat16, the run is in float32."""
    if _branches_in_bfloat16():
        request.getfixturevalue("in_bfloat16")
    run = Run(tiny_faces.widening_experiment(epochs=1, precision="mixed_bfloat16"), tmp_path, tiny_files)
    assert len(run.tree.of("conv1")) == 2
    assert keras.mixed_precision.global_policy().name == "float32"
    assert {layer.compute_dtype for layer in run.trained.network.layers} == {"float32"}


# --- widening


def test_what_is_learnt_is_watched_until_the_final_phase():
    """A teacher's scores too; and what is watched is the network's scores."""
    random = np.random.default_rng(0)
    model = WideningModel(_network_of_four(), _tasks(4), TaskCrossEntropy())
    expected = TaskAffinity(4)
    for _ in range(3):
        truth, soft = random.integers(-1, 2, (8, 4)), random.random((8, 4), np.float32)
        scores = tf.constant(random.random((8, 4), np.float32))
        labels = {"attributes": tf.constant(truth), "attributes_soft": tf.constant(soft)}
        model.observe(labels, {"attributes": scores})
        expected.update(tf.constant(np.where(truth >= 0, truth, soft), tf.float32), scores)
    np.testing.assert_allclose(model.affinity.affinity(), expected.affinity())
    assert len(np.unique(expected.affinity())) > 4
    model.stage = FINAL_PHASE
    model.observe(labels, {"attributes": scores})
    np.testing.assert_allclose(model.affinity.affinity(), expected.affinity())
    assert model.tasks["attributes"].training_losses.annotated.numpy().tolist() == [32] * 4


@pytest.mark.parametrize("taught", ["attributes", "clothing", "both"])
def test_questions_are_watched_in_the_order_of_the_tasks(monkeypatch, taught):
    """Whatever the order of the outputs; a teacher may be there for one of them alone."""
    annotations = {
        "attributes": Annotation("multi_label", ("A", "B")),
        "clothing": Annotation("classification", ("coat", "dress", "hat")),
    }
    tasks = tiny_faces.bound(tiny_faces.LIKELY, tiny_faces.CLOTHING, annotations=annotations)
    network = tiny_faces.tree_network(SHAPE, outputs={"attributes": 2, "clothing": 3})
    learnings = {task.name: learning_of(task, tiny_faces.SIZE) for task in tasks}
    model, seen = WideningModel(network, learnings, TaskCrossEntropy()), []
    monkeypatch.setattr(model.affinity, "update", lambda *watched: seen.extend(watched))
    labels = {"attributes": tf.constant([[1, 0], [0, -1]], tf.int64), "clothing": tf.constant([1, -1], tf.int64)}
    soft = {
        "attributes_soft": tf.constant([[0.9, 0.9], [0.9, 0.25]]),
        "clothing_soft": tf.constant([[-1.0, -1.0, -1.0], [0.0, 0.5, 1.0]]),
    }
    labels |= {name: scores for name, scores in soft.items() if taught in (name.removesuffix("_soft"), "both")}
    outputs = {"clothing": tf.constant([[0.5, 0.5, 0.25]] * 2), "attributes": tf.constant([[0.5, 0.125]] * 2)}
    model.observe(labels, outputs)
    targets, scores = (each.numpy().tolist() for each in seen)
    attributes = [0, 0.25] if taught != "clothing" else [0, -1]
    clothing = [0, 0.5, 1] if taught != "attributes" else [-1, -1, -1]
    assert targets == [[1, 0, 0, 1, 0], attributes + clothing]
    assert scores == [[0.5, 0.125, 0.5, 0.5, 0.25]] * 2


OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.05, 20), momentum=0.9),
    "adamw": lambda: keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(0.01, 20), weight_decay=0.01),
}


def _values(variables):
    return {variable.name: variable.numpy() for variable in variables}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_widened_network_goes_on_where_it_was(tiny_files, kind):
    """Same losses; a branch has the weights, statistics and moments of the one it was, the schedule goes on."""
    keras.utils.set_random_seed(1)
    tasks = tiny_faces.bound(tiny_faces.LIKELY)
    splits = {name: evaluation_examples(files, tasks, tiny_faces.SIZE) for name, files in tiny_files.items()}
    model = WideningModel(tiny_faces.tree_network(SHAPE), _tasks(), TaskCrossEntropy())
    model.compile(OPTIMIZERS[kind](), weighted_metrics=[])
    model.optimizer.build(model.trainable_variables)
    model.fit(splits["train"].batch(16), steps_per_epoch=4, verbose=0)
    validation = splits["validation"].batch(20)
    before, rate = model.evaluate(validation, verbose=0, return_dict=True), float(model.optimizer.learning_rate)
    for layer, groups in (("fc", [[0, 3], [1, 2, 5], [4]]), ("conv2", [[0], [1, 2]])):
        weights, slots = _values(model.network.weights), _values(model.optimizer.variables)
        model.widen(model.network.tree.widened(layer, groups), OPTIMIZERS[kind](), anew=False)
        after = model.evaluate(validation, verbose=0, return_dict=True)
        assert after == pytest.approx(before, rel=1e-5)
        assert len(model.network.tree.of(layer)) == len(groups)
        assert model.optimizer.iterations == 4
        assert float(model.optimizer.learning_rate) == rate != float(OPTIMIZERS[kind]().learning_rate)
        assert [v.ref() for v in model.trainable_variables] == [v.ref() for v in model.network.trainable_variables]
        for old, new in ((weights, model.network.weights), (slots, model.optimizer.variables)):
            new = _values(new)
            assert new.keys() == old.keys()
            for name, value in new.items():
                copies = len(groups) if f"/{layer}_" in f"/{name}" else 1
                # A fully connected layer has a kernel for each branch, all else its branches' channels side by side.
                axis = 0 if value.ndim == 3 else -1
                np.testing.assert_array_equal(
                    value, np.concatenate([old[name]] * copies, axis) if value.ndim else value
                )
        moments = [value for name, value in slots.items() if f"/{layer}_" in name]
        assert len(moments) == 3 * (2 if kind == "adamw" else 1)  # kernel, γ, β
        assert all(moment.any() for moment in moments)
    model.fit(splits["train"].batch(16), steps_per_epoch=4, verbose=0)
    first, second, third = model.network.get_layer("fc_dense").kernel.numpy()
    assert not np.allclose(first, second) and not np.allclose(second, third)


def test_the_run_goes_on_where_it_was(unbroken):
    """With another round; the final phase begins anew with momentum and rate, and from the same network."""
    iterations = [(before["iterations"], after["iterations"]) for before, after in unbroken.model.seen]
    assert iterations == [(3, 3), (6, 6), (9, 0)]
    for before, after in unbroken.model.seen:
        np.testing.assert_allclose(after["scores"], before["scores"], atol=1e-6)
        np.testing.assert_array_equal(after["thresholds"], before["thresholds"])
        for one, other in zip(before["affinity"], after["affinity"], strict=True):
            np.testing.assert_array_equal(one, other)
    # Then one cycle of 6 steps. What an epoch notes is the rate of its last step, counted from 0.
    schedule = ONE_CYCLE.build(steps=6)
    expected = [0.01] * 3 + [float(schedule(step)) for step in (2, 5)]
    assert [epoch["learning_rate"] for epoch in unbroken.epochs] == pytest.approx(expected, abs=1e-7)


def test_the_network_is_the_models(unbroken):
    image = np.random.default_rng(1).integers(0, 256, (4, *SHAPE)).astype(np.float32)
    scores = unbroken.trained.network(image)["attributes"]
    np.testing.assert_allclose(scores, unbroken.model.network(image)["attributes"], atol=1e-6)
    assert np.ptp(scores, axis=0).min() > 1e-4
    tasks = unbroken.trained.tasks, unbroken.model.tasks
    np.testing.assert_array_equal(*(each["attributes"].thresholds for each in tasks))


def test_thresholds_and_weights_follow_every_epoch(unbroken):
    losses, weights, thresholds = (
        np.array([epoch[name] for epoch in unbroken.epochs])
        for name in ("attributes_losses", "attributes_weights", "attributes_thresholds")
    )
    for epoch in range(1, 5):
        np.testing.assert_allclose(weights[epoch], dynamic_weights(losses[epoch], losses[epoch - 1]), rtol=1e-4)
    # Eq. 6 over 20 images: so many more false positives than false negatives.
    moved = np.diff([np.full(TASKS, 0.5), *thresholds], axis=0)
    surplus = moved * 20 / (0.01 * np.arange(1, 6)[:, np.newaxis])
    np.testing.assert_allclose(surplus, surplus.round(), atol=1e-3)
    assert (np.abs(surplus).max(axis=1) >= 1).all()


@pytest.fixture(scope="module")
def step_by_step():
    """Rounds of two steps, with callbacks that keep most."""
    return tiny_faces.widening_experiment((AW, PLATEAU, tiny_faces.STOP), steps=2, optimizer=ADAM_W, widening_rate=0.01)


@pytest.fixture(scope="module")
def folder_of_steps(tmp_path_factory):
    return tmp_path_factory.mktemp("unbroken_steps")


@pytest.fixture(scope="module")
def unbroken_steps(step_by_step, tiny_files, folder_of_steps):
    return Run(step_by_step, folder_of_steps, tiny_files)


def test_weights_follow_the_network_as_it_is_now(unbroken_steps, folder_of_steps):
    """The last step's losses are of all validation images, as those of the validation pass that follows."""
    kept = tf.train.load_checkpoint(str(folder_of_steps / "checkpoints"))
    recent = kept.get_tensor("callback0_recent_losses/.ATTRIBUTES/VARIABLE_VALUE")
    assert kept.get_tensor("callback0_steps/.ATTRIBUTES/VARIABLE_VALUE") == 10
    epoch = unbroken_steps.epochs[-1]
    np.testing.assert_allclose(recent[-1], epoch["attributes_losses"], rtol=1e-5)
    np.testing.assert_allclose(epoch["attributes_weights"], adaptive_weights(recent[-1], recent), rtol=1e-5)
    assert len(unbroken_steps.rounds) == 3 and min(len(found["groups"]) for found in unbroken_steps.rounds) > 1


def test_the_plateau_is_remembered_over_the_rounds(unbroken_steps):
    rates = [epoch["learning_rate"] for epoch in unbroken_steps.epochs]
    assert rates == pytest.approx([0.01, 0.01, 0.005, 0.05, 0.025])  # the final phase begins with its own


# --- stopped and continued


def _assert_same(run, unbroken):
    assert run.tree == unbroken.tree
    tiny_faces.assert_same(run.trained, unbroken.trained, rtol=1e-5, atol=1e-6)
    for one, other in zip(run.rounds, unbroken.rounds, strict=True):
        assert one.keys() == other.keys()
        for name, value in other.items():
            if name in ("layer", "above", "groups"):
                assert json.dumps(one[name]) == json.dumps(value), name
            else:
                np.testing.assert_allclose(one[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def _stop_before(*_):
    raise tiny_faces.Stopped


def _stop_after(checkpoint, model, replace=EpochCheckpoint.replace):
    replace(checkpoint, model)
    raise tiny_faces.Stopped


def test_a_run_that_is_stopped_again_and_again(tiny, tiny_files, tmp_path, unbroken):
    """Of each two saves after a round, the first is of what was trained and the second of what was decided."""
    stops = [
        ((0, 1), None, 0),  # before the first save
        ((1, 1), None, 2),  # in the second round
        ((1, "end"), None, 2),
        (None, _stop_before, 3),  # trained, nothing decided
        (None, _stop_after, 4),
        ((4, 1), None, 7),  # in the final phase
    ]
    for where, replace, saved in stops:
        tiny_faces.StopAt.where = where
        with pytest.MonkeyPatch.context() as patch, pytest.raises(tiny_faces.Stopped):
            if replace:
                patch.setattr(EpochCheckpoint, "replace", replace)
            Run(tiny, tmp_path, tiny_files)
        assert tiny_faces.newest_save(tmp_path) == saved, where
    tiny_faces.StopAt.where = None
    run = Run(tiny, tmp_path, tiny_files)
    assert "Continuing after epoch 4." in run.said and "Round" not in run.said
    _assert_same(run, unbroken)
    # A finished run is not trained again.
    again = Run(tiny, tmp_path, tiny_files)
    assert again.said == ""
    _assert_same(again, unbroken)


def test_stopped_where_the_tree_is_found_to_stay(tiny_files, tmp_path, without_alpha):
    tiny = tiny_faces.widening_experiment(alpha=0.0)
    for replace in (_stop_before, _stop_after):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(tiny_faces.Stopped):
            patch.setattr(EpochCheckpoint, "replace", replace)
            Run(tiny, tmp_path, tiny_files)
    _assert_same(Run(tiny, tmp_path, tiny_files), without_alpha)


def test_moments_patience_and_the_order_of_validation_batches_are_kept(
    step_by_step, tiny_files, tmp_path, unbroken_steps
):
    """Stopped in the third round."""
    tiny_faces.StopAt.where = (2, 0)
    with pytest.raises(tiny_faces.Stopped):
        Run(step_by_step, tmp_path, tiny_files)
    tiny_faces.StopAt.where = None
    assert tiny_faces.newest_save(tmp_path) == 4
    run = Run(from_json(to_json(step_by_step)), tmp_path, tiny_files)
    assert "Continuing after epoch 2." in run.said
    _assert_same(run, unbroken_steps)


# --- other starts


def test_a_tree_with_its_halves_swapped_is_trained_as_it_is(tiny_files, tmp_path):
    """Beside the tree the folder has nothing: weights aren't taken. A run that is continued has the same tree."""
    found = UNBRANCHED.widened("fc", [[0, 1, 2, 3], [4, 5]])
    write_tree(found, str(tmp_path / "model"))
    tiny = tiny_faces.widening_experiment((tiny_faces.STOP,), fixed_tree="permuted", epochs=2, alpha=1e6)
    # 0 and 3, 1 and 4, 2 and 5 change places.
    swapped = UNBRANCHED.widened("fc", [[3, 4, 5, 0], [1, 2]])
    unbroken = Run(tiny, tmp_path / "unbroken", tiny_files, warm_start=str(tmp_path / "model"))
    assert unbroken.tree.of("fc") == ((0, 3, 4, 5), (1, 2)) == swapped.of("fc")
    assert unbroken.rounds == [] and unbroken.tree == BranchTree.from_json(unbroken.branching["start"])
    assert [epoch["stage"] for epoch in unbroken.epochs] == [FINAL_PHASE] * 2
    tiny_faces.StopAt.where = (1, 1)
    with pytest.raises(tiny_faces.Stopped):
        Run(tiny, tmp_path / "stopped", tiny_files, warm_start=str(tmp_path / "model"))
    tiny_faces.StopAt.where = None
    _assert_same(Run(tiny, tmp_path / "stopped", tiny_files, warm_start=str(tmp_path / "model")), unbroken)


def test_a_tree_is_given_as_it_was_found(tiny_files, tmp_path):
    found = UNBRANCHED.widened("fc", [[0, 1, 2, 3], [4, 5]])
    write_tree(found, str(tmp_path / "model"))
    tiny = tiny_faces.widening_experiment(fixed_tree="learned", epochs=1)
    assert Run(tiny, tmp_path, tiny_files, warm_start=str(tmp_path / "model")).tree == found


def test_a_tree_without_branches_is_not_taken(tiny_files, tmp_path):
    write_tree(UNBRANCHED, str(tmp_path / "model"))
    tiny = tiny_faces.widening_experiment(fixed_tree="permuted")
    with pytest.raises(ValueError, match="has no branches"):
        tiny_faces.fit(tiny, tmp_path, tiny_files, warm_start=str(tmp_path / "model"))


def test_a_model_without_a_tree_has_none_to_permute(tiny_files, tmp_path):
    tiny = tiny_faces.widening_experiment(fixed_tree="permuted")
    with pytest.raises(ValueError, match=r"branch_tree\.json, which tells its branches\. Name in training\.warm_start"):
        tiny_faces.fit(tiny, tmp_path, tiny_files, warm_start=str(tmp_path / "model"))


@pytest.mark.parametrize(
    ("settings", "tasks", "message"),
    [
        (
            {"fixed_tree": "swapped", "warm_start": "other"},
            (tiny_faces.LIKELY,),
            "'learned', 'permuted' or None; .*'swapped'",
        ),
        (
            {"fixed_tree": "learned"},
            (tiny_faces.LIKELY,),
            "fixed_tree='learned' needs a tree: give training a warm_start",
        ),
        (
            {"fixed_tree": "learned", "warm_start": "other", "initializer": configured("a.B")},
            (tiny_faces.LIKELY,),
            "starts from random weights: leave training.initializer out",
        ),
        ({"alpha": -0.5}, (tiny_faces.LIKELY,), r"alpha is 0 or more; received -0\.5"),
        ({"widening_rate": -1.0}, (tiny_faces.LIKELY,), r"widening_rate is a number from 0 on; received -1\.0"),
        ({}, (tiny_faces.SIGNED,), "task 'attributes' is of kind multi_label .*Give it scores='probabilities'"),
        ({}, (tiny_faces.LIKELY, tiny_faces.PARSED), "task 'parsing' is of kind segmentation"),
    ],
)
def test_what_a_widening_can_not_do(settings, tasks, message):
    tiny = tiny_faces.widening_experiment(tasks=tasks, **settings)
    tiny_faces.widening_experiment().training.validate((tiny_faces.LIKELY, tiny_faces.CLOTHING))
    with pytest.raises(ValueError, match=message):
        tiny.training.validate(tiny.tasks)


def test_a_start_by_somp(tiny_files, tmp_path):
    """At a learning rate of 0 what is left is the start: filters of the wider network, in the order of choice."""
    wider = ThinVGG16(SHAPE, width=8, num_tasks=TASKS)
    random = np.random.default_rng(0)
    for layer in wider.layers:
        if layer.name.endswith("_bn"):
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    tasks = _tasks()
    tasks["attributes"].thresholds.assign([0.3] * TASKS)
    tiny_faces.export_network(wider, tasks, tmp_path / "model", BranchingSystem())
    tiny = tiny_faces.widening_experiment(
        model=configured("keras_models.ThinVGG16", width=4, num_tasks=TASKS),
        initializer=configured(
            "components.systems.branching.initializers.start_by_somp",
            wider=configured("keras_models.ThinVGG16", width=8, num_tasks=TASKS),
        ),
        alpha=0.0,
        epochs=1,
        steps=1,
        widening_rate=0.0,
        learning_rate=0.0,
    )
    run = Run(from_json(to_json(tiny)), tmp_path, tiny_files, warm_start=str(tmp_path / "model"))
    kernel = wider.get_layer("conv1_1_conv").kernel.numpy()
    chosen = somp_select(kernel.reshape(-1, 8).T, 4)
    np.testing.assert_array_equal(run.trained.network.get_layer("conv1_1_conv").kernel, kernel[..., chosen])
    expected = ThinVGG16(SHAPE, width=4, num_tasks=TASKS)
    somp_init(expected, wider)
    weights = _values(expected.trainable_weights)
    for weight in run.trained.network.trainable_weights:
        np.testing.assert_array_equal(weight, weights[weight.name], err_msg=weight.name)
    np.testing.assert_array_equal(
        run.trained.tasks["attributes"].thresholds, [0.5] * TASKS
    )  # the wider network's are for its scores


# --- two devices


def _runs(folder):
    """By number of devices: what the rounds decided and what the epochs left."""
    files = tiny_faces.files_in(folder)
    mirrored = configured("tensorflow:distribute.MirroredStrategy", devices=["CPU:0", "CPU:1"])
    for name, strategy in {"one": {}, "two": {"strategy": mirrored}}.items():
        tiny = tiny_faces.widening_experiment(epochs=1, steps=2, batch_size=20, widening_rate=0.01, **strategy)
        with tempfile.TemporaryDirectory() as outputs:
            trained = tiny_faces.fit(tiny, pathlib.Path(outputs), files)
        yield name, (trained.record["branching"]["rounds"], trained.epochs)


def test_two_devices_decide_as_one(tiny_folder):
    process = tiny_faces.in_a_process(__name__, tiny_folder)
    assert process.returncode == 0, process.stderr[-3000:]
    one, two = json.loads(process.stdout.splitlines()[-1]).values()
    (expected, *_), (found, *_) = one[0], two[0]
    assert found["layer"] == "fc" and len(found["groups"]) > 1
    np.testing.assert_allclose(found["affinity"], expected["affinity"], atol=1e-5)
    assert found["groups"] == expected["groups"]
    # Of the first round and the branches that it made; later decisions may differ by a rounding error.
    for epoch, of_one in zip(two[1][:2], one[1][:2], strict=True):
        assert epoch["loss"] == pytest.approx(of_one["loss"], rel=1e-3)


def test_another_kind_of_network_is_refused(tiny_files, tmp_path):
    tiny = tiny_faces.widening_experiment(model=tiny_faces.CONVOLUTIONAL)
    with pytest.raises(ValueError, match="takes a BranchedNetwork, such as ThinVGG16"):
        tiny_faces.fit(tiny, tmp_path, tiny_files)


def test_outputs_in_another_order_than_the_labels_are_refused(tiny_files, tmp_path):
    """Tasks are numbered by the outputs in the tree, by the labels everywhere else."""
    model = configured("tests.support.tiny_faces.tree_network", outputs={"clothing": 3, "attributes": TASKS})
    tasks = (tiny_faces.LIKELY, tiny_faces.CLOTHING)
    with pytest.raises(
        ValueError, match=r"order \['clothing', 'attributes'\], the tasks in \['attributes', 'clothing'\]"
    ):
        tiny_faces.fit(tiny_faces.widening_experiment(tasks=tasks, model=model), tmp_path, tiny_files)


def test_a_tree_that_swapping_leaves_as_it_is_cannot_be_permuted(tiny_files, tmp_path):
    write_tree(UNBRANCHED.widened("fc", [[0, 1, 2], [3, 4, 5]]), str(tmp_path / "model"))
    tiny = tiny_faces.widening_experiment(fixed_tree="permuted")
    with pytest.raises(ValueError, match="is what it was: its branches are the halves"):
        tiny_faces.fit(tiny, tmp_path, tiny_files, warm_start=str(tmp_path / "model"))


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    print(json.dumps(dict(_runs(pathlib.Path(sys.argv[1])))))
