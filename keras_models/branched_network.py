"""A network that is a tree of branches and can be rebuilt with another tree."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import tensorflow as tf
from tensorflow import keras

from keras_models.backbones import imagenet_rgb
from keras_models.branch_tree import OUTPUT, BranchTree
from keras_models.branches import Branches, dense

layers = keras.layers


class BranchedNetwork(keras.Model):
    """Base of the networks whose layers may branch, from a trunk that all tasks share to one sigmoid per task.

    Functional: the layers of tree layer L are named {L}_..., batch norm {unit}_bn follows {unit}_conv or
    {unit}_dense. A subclass defines in LAYERS what can branch, in WIDTHS the published network's channels there, in
    POOLING_ABOVE how many poolings are above, and in `features` the computation.

    Args:
        input_shape: (H, W, 3), RGB pixels in [0, 255].
        width: ω, the channels of a branch.
        tree: which tasks share which layer.
        outputs: names of the outputs, in the order of the tasks, with the number of tasks of each; None: all tasks are
            "attributes".

    Call: [batch, H, W, 3] -> dict of [batch, tasks of the output] probabilities, float32.

    Raises:
        ValueError: for an image that is too small, a tree of other layers, and outputs that don't add up to its tasks.
    """

    LAYERS: ClassVar[tuple[str, ...]]
    WIDTHS: ClassVar[Mapping[str, int]]
    POOLING_ABOVE: ClassVar[Mapping[str, int]]
    SMALLEST: ClassVar[int] = 32

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        width: int,
        tree: BranchTree,
        outputs: Mapping[str, int] | None = None,
        name: str | None = None,
    ):
        if None in input_shape:
            raise ValueError(f"{type(self).__name__} takes images of one size, received input_shape={input_shape}.")
        if min(input_shape[:2]) < self.SMALLEST:
            raise ValueError(
                f"{type(self).__name__} takes images of at least {self.SMALLEST} pixels a side, received "
                f"input_shape={tuple(input_shape)}."
            )
        if tree.layers != self.LAYERS:
            raise ValueError(
                f"{type(self).__name__} has the layers {self.LAYERS}, the tree has {tree.layers}. Start from "
                f"BranchTree.unbranched({type(self).__name__}.LAYERS, T)."
            )
        outputs = dict(outputs or {"attributes": tree.num_tasks})
        if sum(outputs.values()) != tree.num_tasks:
            raise ValueError(
                f"The tree has {tree.num_tasks} tasks, the outputs {outputs} have {sum(outputs.values())}."
            )
        image = keras.Input(input_shape, name="image")
        x = self.features(Branches(imagenet_rgb(image), 1), width, tree)
        scores = self.scores(x, tree)
        shares = [scores] if len(outputs) == 1 else tf.split(scores, list(outputs.values()), axis=-1)
        predictions = {
            output: layers.Activation("sigmoid", dtype="float32", name=output)(share)
            for output, share in zip(outputs, shares, strict=True)
        }
        super().__init__(inputs=image, outputs=predictions, name=name or type(self).__name__.lower())
        self.tree = tree
        # Keras would track a plain dict in every checkpoint.
        self._given = MappingProxyType(
            {
                "input_shape": tuple(input_shape),
                "width": width,
                "tree": tree,
                "outputs": MappingProxyType(outputs),
                "name": self.name,
            }
        )

    @classmethod
    def unbranched(
        cls, input_shape: tuple[int, int, int], width: int, num_tasks: int, outputs: Mapping[str, int] | None = None
    ) -> BranchedNetwork:
        """Thin-ω, what widening starts from: all tasks, `num_tasks` of them, share every layer."""
        return cls(input_shape, width, BranchTree.unbranched(cls.LAYERS, num_tasks), outputs)

    @classmethod
    def features(cls, x: Branches, width: int, tree: BranchTree) -> Branches:
        """The tree up to the features [batch, count·C] that the tasks are predicted from."""
        raise NotImplementedError  # Keras instantiates every base class, so that this one can't be abstract

    @classmethod
    def scores(cls, x: Branches, tree: BranchTree) -> tf.Tensor:
        """[batch, T] logits."""
        # In float32: mixed precision would round scores that differ to the same value.
        return dense(x, tree.parents(OUTPUT), 1, OUTPUT, use_bias=True, dtype="float32").features

    @property
    def width(self) -> int:
        """ω, the channels of a branch."""
        return self._given["width"]

    def max_branches(self, layer: str) -> int:
        """How many branches a layer may have: together they are no wider than the published network."""
        return max(1, self.WIDTHS[layer] // self.branch_width(layer, self.width))

    @classmethod
    def branch_width(cls, layer: str, width: int) -> int:
        """Channels of one branch of a layer: ω, but never more than the published network has."""
        return min(width, cls.WIDTHS[layer])

    def rebuilt(self, **changes: Any) -> BranchedNetwork:
        """A network with the same arguments except for `changes`, and with new weights."""
        return type(self)(**{**self._given, **changes})

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """As of keras.Model; ValueError for HDF5, from which Keras makes no network of a class of its own."""
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                f"{type(self).__name__} can't be read back from {str(filepath)!r}, an .h5 file: save it as .keras."
            )
        super().save(filepath, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """The arguments; the tree as JSON."""
        return {**self._given, "tree": self.tree.to_json(), "outputs": dict(self._given["outputs"])}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> BranchedNetwork:
        """Inverse of `get_config`."""
        del custom_objects
        return cls(**{**config, "tree": BranchTree.from_json(config["tree"])})
