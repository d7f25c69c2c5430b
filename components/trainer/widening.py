"""Training with adaptive widening (Lu et al. 2017, Algorithm 1): the network finds out which tasks share its layers.

It starts thin and without branches. After each round of training the branches at the junction, at first the tasks, are
grouped by their affinity, and the layer below gets a branch for each group; the junction is then there. That goes on
down the network until one group is all that is chosen. The rounds that are left train the tree as it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence

import tensorflow as tf
from tensorflow import keras

from components.config import BINARY_LABELS, Experiment, WideningTraining
from components.datasets import FaceDataset
from components.datasets.annotation import binary_task_names
from components.serving.branch_tree import read_tree
from components.trainer import inputs
from components.trainer.branching import (
    TaskAffinity,
    branch_affinity,
    branching_costs,
    cheapest,
    copy_branches,
    widen,
)
from components.trainer.callbacks import Run, RunCallback
from components.trainer.checkpoint import EpochCheckpoint, History
from components.trainer.face_model import FaceModel
from components.trainer.progress import TrainingProgress
from components.trainer.summaries import summaries
from components.trainer.supervised import Trained, build_network, epoch_steps, learning_rate
from keras_models.branch_tree import BranchTree
from keras_models.branched_network import BranchedNetwork

WIDENING, FINAL_PHASE = "widening", "final phase"


class WideningModel(FaceModel):
    """A FaceModel that observes which tasks find the same examples difficult, and whose network can be widened.

    Args: of FaceModel; `network` is a BranchedNetwork.
    """

    def __init__(self, network: BranchedNetwork, objective: Callable, num_attributes: int):
        super().__init__(network, objective, num_attributes)
        self.affinity = TaskAffinity(num_attributes)
        self.stage = WIDENING

    def count_training(self, labels, outputs):
        super().count_training(labels, outputs)
        if self.stage == WIDENING:
            self.affinity.update(self.objective.targets(labels, outputs), self.objective.scores(outputs))

    def epoch_record(self):
        """Also the stage, and how many branches each layer has, from the input up."""
        tree = self.network.tree
        branches = [len(tree.of(layer)) for layer in tree.layers]
        return {**super().epoch_record(), "stage": self.stage, "branches": branches}

    def attribute_losses(self, image, labels):
        # The function of the base class would keep the network that it was traced with.
        outputs = self(image, training=False)
        return tf.math.divide_no_nan(*self.objective.attribute_losses(labels, outputs))

    def widen(self, tree: BranchTree, optimizer: keras.optimizers.Optimizer) -> None:
        """Gives the network the branches of `tree`; `optimizer` goes on where the present one is."""
        before, moments = self.network.tree, self.optimizer.variables
        self.network = widen(self.network, tree)
        optimizer.build(self.trainable_variables)
        copy_branches(moments, optimizer.variables, before, tree)
        # Not among the variables, and a callback may have lowered it.
        optimizer.learning_rate.assign(self.optimizer.learning_rate.numpy())
        self.compile(optimizer, weighted_metrics=[])


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
    def are_over(self) -> bool:
        """Whether the tree stays as it is: it was given, a single branch was chosen, or the lowest layer is reached."""
        rounds = self.record["rounds"]
        chose_one = bool(rounds) and len(rounds[-1]["groups"]) == 1
        return bool(self.record["start"]) or chose_one or self.decided == len(self._layers)

    @property
    def next_layer(self) -> str:
        """The layer that the next round widens; the junction is above it."""
        return self._layers[-1 - self.decided]

    @property
    def stage(self) -> str:
        """What is trained now, for people."""
        if self.are_over:
            return FINAL_PHASE
        return f"round {self.decided + 1}, junction at {self.tree.above(self.next_layer)}"

    def add(self, found: dict, epoch: int) -> None:
        """Keeps what `decide` found after so many epochs."""
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


def decide(network: BranchedNetwork, affinity, layer: str, alpha: float) -> dict:
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
        "groups": cheapest(costs),
        "costs": [cost for _, cost in costs],
    }


def fit(
    experiment: Experiment,
    builder: type[FaceDataset],
    train_files: list[str],
    validation_files: list[str],
    checkpoint_folder: str,
    log_folder: str,
    warm_start: str | None = None,
) -> Trained:
    """Trains and widens the experiment's network; continues from `checkpoint_folder` where a stopped run left it.

    Arguments, results and errors as of components.trainer.supervised.fit; the experiment's training is a
    WideningTraining, its model a thin BranchedNetwork. ValueError also for a given tree that isn't there or has no
    branches.
    """
    data, training = experiment.data, experiment.training
    tasks = binary_task_names(data)
    keras.utils.set_random_seed(training.seed)
    keras.mixed_precision.set_global_policy(training.precision)
    try:
        strategy = training.strategy.build()
        pass_steps = epoch_steps(train_files, training.batch_size)
        validation = inputs.evaluation_examples(validation_files, data)
        validation = validation.batch(training.batch_size).prefetch(tf.data.AUTOTUNE)

        def batches(epoch):
            return inputs.training_batches(
                train_files, data, training, builder, pass_steps, None, training.seed, first_step=epoch * training.steps
            )

        def optimizer():
            return training.optimizer.build(learning_rate=learning_rate(training, training.steps * training.epochs))

        with strategy.scope():
            network = _checked(build_network(experiment))
        history, rounds = History(), Rounds(tasks, network.LAYERS)
        callbacks = [*(callback.build() for callback in training.callbacks), history, rounds]
        checkpoint = EpochCheckpoint(checkpoint_folder, callbacks)
        checkpoint.restore_first(rounds)
        with strategy.scope():
            model = WideningModel(network, training.loss.build(), len(tasks))
            if training.given_tree:
                rounds.start_from(_given_tree(training, warm_start))
            elif warm_start:
                training.start.build(network, warm_start, model.thresholds)
            if rounds.tree != network.tree:
                model.network = network.rebuilt(tree=rounds.tree)
            model.compile(optimizer(), weighted_metrics=[])
            model.build((None, *data.image_size, 3))
            epochs_done = checkpoint.restore(model)
        run = Run(
            training.epochs,
            strategy,
            lambda: model.network.rebuilt(),
            lambda epoch: batches(epoch).take(training.steps),
            validation,
        )
        for callback in callbacks:
            if isinstance(callback, RunCallback):
                callback.set_run(run)
        tensorboard = keras.callbacks.TensorBoard(log_folder, write_graph=False)
        resumed_after = epochs_done
        while epochs_done < training.epochs:
            if not rounds.are_over and rounds.decided < epochs_done:
                found = decide(model.network, model.affinity.affinity(), rounds.next_layer, training.alpha)
                rounds.add(found, epochs_done)
                print(rounds.describe_last(), file=sys.stderr, flush=True)
                with strategy.scope():
                    model.widen(rounds.tree, optimizer())
                    checkpoint.replace(model)
            model.stage = FINAL_PHASE if rounds.are_over else WIDENING
            last = training.epochs if rounds.are_over else epochs_done + 1
            resumed = epochs_done == resumed_after
            model.fit(
                batches(epochs_done),
                validation_data=validation,
                initial_epoch=epochs_done,
                epochs=last,
                steps_per_epoch=training.steps,
                callbacks=[
                    *callbacks,
                    checkpoint,
                    tensorboard,
                    *summaries(log_folder, model, data, validation),
                    TrainingProgress(epochs_done, rounds.stage, 0 if resumed else epochs_done, training.epochs),
                ],
                verbose=0,
            )
            epochs_done = last
    finally:
        keras.mixed_precision.set_global_policy("float32")
    network = build_network(experiment).rebuilt(tree=rounds.tree)
    network.set_weights(model.network.get_weights())
    thresholds = tf.Variable(model.thresholds.numpy(), trainable=False, name="thresholds")
    return Trained(network, history.epochs, thresholds, {**rounds.record, "tree": json.loads(rounds.tree.to_json())})


def _given_tree(training: WideningTraining, warm_start: str | None) -> BranchTree:
    """The tree that is trained from the start."""
    if training.given_tree not in ("found", "shuffled"):
        raise ValueError(f"given_tree is 'found', 'shuffled' or None, received {training.given_tree!r}.")
    if not warm_start:
        raise ValueError(
            f"given_tree={training.given_tree!r} needs a tree: give the experiment's training a warm_start, the "
            "experiment that found one."
        )
    tree = read_tree(warm_start)
    if len(tree.branches[-1]) == 1:
        raise ValueError(
            f"The tree of {training.warm_start!r} has no branches: there is nothing to take over. Name an experiment "
            "that branched in training.warm_start."
        )
    if training.given_tree == "found":
        return tree
    swapped = tree.with_halves_swapped()
    if all(set(before) == set(after) for before, after in zip(tree.branches, swapped.branches, strict=True)):
        raise ValueError(
            f"With the halves of its tasks swapped, the tree of {training.warm_start!r} is what it was: its branches "
            "are the halves. Name another experiment in training.warm_start."
        )
    return swapped


def _checked(network):
    """The network; ValueError if it can't be widened, or its tasks stand in another order than those of the labels."""
    if not isinstance(network, BranchedNetwork):
        raise ValueError(
            "WideningTraining takes a BranchedNetwork, such as ThinVGG16 or ThinResNet18 make, received "
            f"{network.name!r}."
        )
    outputs = list(network.get_config()["outputs"])
    if outputs != [label for label in BINARY_LABELS if label in outputs]:
        raise ValueError(f"The network's outputs should be in the order of {BINARY_LABELS}, received {outputs}.")
    return network
