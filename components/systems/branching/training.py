"""Training with adaptive widening (Lu et al. 2017, Algorithm 1): the network finds out which tasks share its layers.

It starts thin and without branches. After each round of training the branches at the junction, at first the tasks, are
grouped by their affinity, and the layer below gets a branch for each group; the junction is then there. That goes on
down the network until one group is all that is chosen. The final phase trains the tree as it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

import tensorflow as tf
from tensorflow import keras

from components.systems.branching.formulas import TaskAffinity, branch_affinity, branching_costs, choose_branches
from components.systems.branching.tree_file import read_tree
from components.systems.branching.widening import copy_branches, widen
from components.tasks.base import Learning
from components.trainer.objectives import Objective
from components.trainer.optimizers import build_optimizer
from components.trainer.recipe import Run, Stage, check_outputs
from components.trainer.supervised import Supervised
from components.trainer.task_model import TaskModel
from keras_models.branch_tree import BranchTree
from keras_models.branched_network import BranchedNetwork

WIDENING, FIRST_PHASE, FINAL_PHASE = "widening", "first phase", "final phase"


class WideningModel(TaskModel):
    """A TaskModel that observes which questions find the same examples difficult, and whose network can be widened.

    Args: of TaskModel; `network` is a BranchedNetwork.
    """

    def __init__(
        self, network: BranchedNetwork, tasks: Mapping[str, Learning], objective: Objective, accumulate: int = 1
    ):
        super().__init__(network, tasks, objective, accumulate)
        self.affinity = TaskAffinity(network.tree.num_tasks)
        self.stage = WIDENING  # or, of a network that never branches, FIRST_PHASE

    def observe(self, labels, outputs):
        super().observe(labels, outputs)
        if self.stage != FINAL_PHASE:
            targets = tf.concat([task.targets(labels) for task in self.tasks.values()], axis=-1)
            scores = tf.concat([outputs[name] for name in self.tasks], axis=-1)
            self.affinity.update(targets, scores)

    def epoch_record(self):
        """Also the stage, and how many branches each layer has, from the input up."""
        tree = self.network.tree
        branches = [len(tree.of(layer)) for layer in tree.layers]
        return {**super().epoch_record(), "stage": self.stage, "branches": branches}

    def widen(self, tree: BranchTree, optimizer: keras.optimizers.Optimizer, anew: bool) -> None:
        """Gives the network the branches of `tree`; `optimizer` starts `anew` or goes on where the present one is."""
        before, moments = self.network.tree, self.optimizer.variables
        self.network = widen(self.network, tree)
        optimizer.build(self.trainable_variables)
        if not anew:
            copy_branches(moments, optimizer.variables, before, tree)
            # Not among the variables, and a callback may have lowered it.
            optimizer.learning_rate.assign(self.optimizer.learning_rate.numpy())
        self.compile(optimizer, weighted_metrics=[], jit_compile=self.jit_compile)


class Rounds(tf.train.experimental.PythonState, keras.callbacks.Callback):
    """What the rounds so far decided: kept with the checkpoints, as the network can't be built without.

    Args:
        tasks: T names.
        layers: of the network, from the input up.

    Attributes:
        record: {"tasks": names, "start": the tree before all rounds as JSON, None if without branches, "rounds": a dict
            each: "layer" that was widened, "epoch" after which, "alpha", "affinity" [T, T] of the tasks, "above" the
            branches at the junction, "branch_affinity" [c, c] of those, "groups" of their numbers, "costs" L(d) for
            d = 1, 2, ...}.
    """

    def __init__(self, tasks: Sequence[str], layers: Sequence[str]):
        super().__init__()
        self.record = {"tasks": list(tasks), "start": None, "rounds": []}
        self._layers = tuple(layers)

    def start_from(self, tree: BranchTree) -> None:
        """Gives the tree, which then stays as it is."""
        self.record["start"] = tree.to_json()

    @property
    def decided(self) -> int:
        """How many rounds there were."""
        return len(self.record["rounds"])

    @property
    def tree(self) -> BranchTree:
        """The tree that the rounds led to."""
        if self.record["start"]:
            return BranchTree.from_json(self.record["start"])
        tree = BranchTree.unbranched(self._layers, len(self.record["tasks"]))
        for found in self.record["rounds"]:
            tree = tree.widened(found["layer"], found["groups"])
        return tree

    @property
    def finished(self) -> bool:
        """Whether the tree stays as it is: it was given, a single branch was chosen, or the lowest layer is reached."""
        rounds = self.record["rounds"]
        chose_one = bool(rounds) and len(rounds[-1]["groups"]) == 1
        return bool(self.record["start"]) or chose_one or self.decided == len(self._layers)

    @property
    def next_layer(self) -> str:
        """The layer that the next round widens; the junction is above it."""
        return self._layers[-1 - self.decided]

    @property
    def heading(self) -> str:
        """The round that is trained now, for people."""
        return f"round {self.decided + 1}, junction at {self.tree.above(self.next_layer)}"

    def add(self, found: dict, epoch: int) -> None:
        """Keeps what `choose_split` found after so many epochs."""
        self.record["rounds"].append({**found, "epoch": epoch})

    def describe_last(self) -> str:
        """The last round's decision, for the person who waits."""
        tasks, found = self.record["tasks"], self.record["rounds"][-1]
        groups = found["groups"]
        line = f"  Round {self.decided}: {found['layer']} gets {len(groups)} of at most {len(found['costs'])} branches"
        if len(groups) == 1:
            return f"{line}. The tree stays as it is."
        named = (", ".join(tasks[task] for number in group for task in found["above"][number]) for group in groups)
        return "\n    ".join([f"{line}:", *named])

    def serialize(self):
        """For tf.train.Checkpoint."""
        return json.dumps(self.record)

    def deserialize(self, string_value):
        """For tf.train.Checkpoint."""
        self.record = json.loads(string_value)


def choose_split(network: BranchedNetwork, affinity, layer: str, alpha: float) -> dict:
    """A round's decision (FindNumberBranches of Algorithm 1), as Rounds.record has it but for the epoch.

    Args:
        affinity: [T, T] of the tasks.
        layer: to be widened, the one below the junction.
    """
    above = network.tree.of(network.tree.above(layer))
    between = branch_affinity(affinity, above)
    costs = branching_costs(between, network.POOLING_ABOVE[layer], alpha, network.max_branches(layer))
    return {
        "layer": layer,
        "alpha": alpha,
        "affinity": affinity.tolist(),
        "above": above,
        "branch_affinity": between.tolist(),
        "groups": choose_branches(costs),
        "costs": [cost for _, cost in costs],
    }


class Widening(Supervised):
    """Adaptive widening; the experiment's model is a thin BranchedNetwork, its training a WideningTraining."""

    def __init__(self, run: Run):
        super().__init__(run)
        self._rounds: Rounds | None = None

    @property
    def steps(self):
        return self.training.steps

    def build(self, checkpoint):
        tasks = self.run.new_learnings()
        network = _checked(self.run.new_network(), tasks)
        self._rounds = Rounds([name for task in self.run.tasks for name in task.names], network.LAYERS)
        checkpoint.restore_first(self._rounds)
        model = WideningModel(network, tasks, self.training.loss.build(), self.training.accumulate)
        if not self.training.alpha:
            model.stage = FIRST_PHASE
        if self.training.fixed_tree:
            self._rounds.start_from(_given_tree(self.training, self.run.warm_start))
        else:
            self.initialize(model)
        if self._rounds.tree != network.tree:
            model.network = network.rebuilt(tree=self._rounds.tree)
        return self.compiled(model)

    def optimizer(self):
        if self._rounds.finished:
            return super().optimizer()
        return build_optimizer(self.training.optimizer, self.training.widening_rate)

    def stages(self, model, checkpoint, epochs_done):
        rounds = self._rounds
        while not rounds.finished:
            if rounds.decided == epochs_done:
                epochs_done += 1
                heading = rounds.heading if model.stage == WIDENING else model.stage
                final = self.training.epochs * self.steps  # nobody knows how many rounds come before
                yield Stage(
                    heading, rounds.decided, rounds.decided, epochs_done, self.steps, epochs_done, following=final
                )
            affinity = model.affinity.affinity()
            rounds.add(choose_split(model.network, affinity, rounds.next_layer, self.training.alpha), epochs_done)
            if model.stage == WIDENING:
                print(rounds.describe_last(), file=sys.stderr, flush=True)
            with self.run.strategy.scope():
                model.widen(rounds.tree, self.optimizer(), anew=rounds.finished)
                checkpoint.replace(model)
        model.stage = FINAL_PHASE
        last = rounds.decided + self.training.epochs
        if epochs_done < last:
            yield Stage(FINAL_PHASE, rounds.decided, epochs_done, last, self.steps, last)

    def batches(self, stage):
        return self.batches_from(stage.first_epoch, None)

    def trained_network(self, model):
        return self.run.new_network().rebuilt(tree=self._rounds.tree)

    def record(self):
        return {"branching": {**self._rounds.record, "tree": json.loads(self._rounds.tree.to_json())}}


def _given_tree(training, warm_start: str) -> BranchTree:
    """The tree that is trained from the start."""
    tree = read_tree(warm_start)
    if len(tree.branches[-1]) == 1:
        raise ValueError(
            f"The tree of {training.warm_start!r} has no branches: there is nothing to take over. Name an experiment "
            "that branched in training.warm_start."
        )
    if training.fixed_tree == "learned":
        return tree
    swapped = tree.with_halves_swapped()
    if all(set(before) == set(after) for before, after in zip(tree.branches, swapped.branches, strict=True)):
        raise ValueError(
            f"With the halves of its tasks swapped, the tree of {training.warm_start!r} is what it was: its branches "
            "are the halves. Name another experiment in training.warm_start."
        )
    return swapped


def _checked(network, tasks):
    """The network; ValueError if it can't be widened, or its questions stand in another order than the tasks'."""
    if not isinstance(network, BranchedNetwork):
        raise ValueError(
            "WideningTraining takes a BranchedNetwork, such as ThinVGG16 or ThinResNet18 make, received "
            f"{network.name!r}."
        )
    check_outputs(network, tasks)
    outputs = list(network.get_config()["outputs"])
    if outputs != list(tasks):
        raise ValueError(f"The network's outputs stand in the order {outputs}, the tasks in {list(tasks)}: use one.")
    return network
