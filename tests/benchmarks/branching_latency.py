"""What an image costs VGG-16, as a ratio to low-rank, thin and branched networks (Lu et al. 2017, Tables 1 and 2).

    python -m tests.benchmarks.branching_latency [--tree FILE FILE ...] [--repetitions 15]

The networks as they are served, batch norm folded, on random weights, one image of 224 x 224 at a time on two
threads, 40 tasks; keras.applications' VGG-16 beside ours. FILE is a BranchTree's JSON from a real run, given for a
branched-32 and, where its layers have no more branches than ω = 64 allows, a branched-64. Beside them stand the widest
trees that may come of widening, and each branched network with a convolution for each branch instead of a grouped one.
All take turns; the figures are ratios of medians, of the time a pass takes and of the processors' time.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_models import VGG16, BranchedVGG16, BranchTree, LowRankVGG16, ThinVGG16
from keras_models.folding import fold_batch_norm
from keras_models.grouped_convolution import GroupedConv2D
from tests.benchmarks.parsing_latency import THREADS, interleaved, medians

SHAPE = (224, 224, 3)
NUM_TASKS = 40
FULL = "VGG-16"
PAPER = {"low-rank": "2.1", "thin-32": "6.5", "branched-32": "3.46 (32-1.0), 2.1 (32-2.0)", "branched-64": "2.2"}
SEPARATE = ", a convolution a branch"


def widest(thin: BranchedVGG16) -> BranchTree:
    """The tree of as many branches as each layer may have, consecutive ones together."""
    tree = thin.tree
    for layer in reversed(tree.layers):
        above = len(tree.of(tree.above(layer)))
        count = min(above, thin.max_branches(layer))
        tree = tree.widened(layer, [group.tolist() for group in np.array_split(np.arange(above), count)])
    return tree


def too_wide(thin: BranchedVGG16, tree: BranchTree) -> list[str]:
    """The layers with more branches than a network of this ω may have."""
    return [layer for layer in tree.layers if len(tree.of(layer)) > thin.max_branches(layer)]


class _Separate(GroupedConv2D):
    """The same, group by group."""

    def call(self, inputs):
        parts = zip(tf.split(inputs, self.groups, -1), tf.split(self.kernel, self.groups, -1), strict=True)
        return tf.concat([self.convolution_op(x, kernel) for x, kernel in parts], -1) + self.bias


def separate(network: keras.Model) -> keras.Model:
    """A network with a convolution for each branch of a layer."""

    def replaced(layer):
        if isinstance(layer, GroupedConv2D) and layer.groups > 1:
            return _Separate.from_config(layer.get_config())
        return layer

    # As a functional model, whose layers can be replaced.
    return keras.models.clone_model(keras.Model(network.input, network.output), clone_function=replaced)


def networks(trees: dict[str, BranchTree]) -> dict[str, keras.Model]:
    """By name, what takes turns."""
    found = {
        "keras.applications": keras.applications.VGG16(
            weights=None, classes=NUM_TASKS, classifier_activation="sigmoid"
        ),
        FULL: fold_batch_norm(VGG16(SHAPE, NUM_TASKS)),
        "low-rank": fold_batch_norm(LowRankVGG16(SHAPE, NUM_TASKS)),
    }
    for width in (32, 64):
        thin = ThinVGG16(SHAPE, width, NUM_TASKS)
        found[f"thin-{width}"] = fold_batch_norm(thin)
        for name, tree in {**trees, "widest": widest(thin)}.items():
            if layers := too_wide(thin, tree):
                print(f"{name}: no branched-{width}, it has more branches than that may have in {', '.join(layers)}")
                continue
            branched = found[f"branched-{width} {name}"] = fold_batch_norm(thin.rebuilt(tree=tree))
            found[f"branched-{width} {name}{SEPARATE}"] = separate(branched)
    return found


def read_tree(path: str) -> BranchTree:
    """Of a file; ValueError for one of other tasks or layers."""
    with open(path) as file:
        tree = BranchTree.from_json(file.read())
    if (tree.num_tasks, tree.layers) != (NUM_TASKS, BranchedVGG16.LAYERS):
        raise ValueError(f"{path} should hold a tree of {NUM_TASKS} tasks with the layers of VGG-16, has {tree}.")
    return tree


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", nargs="+", default=[], metavar="FILE")
    parser.add_argument("--repetitions", type=int, default=15)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    image = tf.random.uniform([1, *SHAPE], 0, 255)

    def served(network):
        return tf.function(lambda: network(image, training=False))

    trees = {os.path.basename(path): read_tree(path) for path in arguments.tree}
    times = interleaved({name: served(network) for name, network in networks(trees).items()}, arguments.repetitions)
    full = medians(times[FULL])
    for name, pairs in times.items():
        wall, cpu = medians(pairs)
        paper = "" if name.endswith(SEPARATE) else PAPER.get(name.split()[0], "")
        print(
            f"{name:50}{wall:7.1f} ms, processors{cpu:7.1f} ms; {FULL} is {full[0] / wall:.2f} ({full[1] / cpu:.2f}) "
            f"times that{'; paper ' + paper if paper else ''}"
        )
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{SHAPE[0]} x {SHAPE[1]} pixels, {NUM_TASKS} tasks; load {load} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
