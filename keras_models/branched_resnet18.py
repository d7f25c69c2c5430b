"""ResNet-18 as a tree: widening is not limited to VGG-16."""

from __future__ import annotations

from types import MappingProxyType

from tensorflow import keras

from keras_models.branch_tree import BranchTree
from keras_models.branched_network import BranchedNetwork
from keras_models.branches import Branches, conv, normalised, relu

layers = keras.layers

_STAGES = (2, 3, 4, 5)
_BLOCKS = (1, 2)
_CHANNELS = MappingProxyType({stage: 64 * 2 ** (stage - 2) for stage in _STAGES})


@keras.saving.register_keras_serializable("facetfx")
class BranchedResNet18(BranchedNetwork):
    """ResNet-18 (He et al. 2016) whose first convolution and residual blocks branch; ω channels in each branch."""

    LAYERS = ("conv1", *(f"conv{stage}_block{block}" for stage in _STAGES for block in _BLOCKS))
    WIDTHS = MappingProxyType(
        {"conv1": 64, **{f"conv{stage}_block{block}": _CHANNELS[stage] for stage in _STAGES for block in _BLOCKS}}
    )
    # Poolings and strides above each layer; the global pooling after the last block is not counted.
    POOLING_ABOVE = MappingProxyType(
        {"conv1": 4, **{f"conv{stage}_block{block}": 5 - stage for stage in _STAGES for block in _BLOCKS}}
    )

    @classmethod
    def features(cls, x: Branches, width: int, tree: BranchTree) -> Branches:
        x = conv(x, tree.parents("conv1"), cls.branch_width("conv1", width), 7, "conv1", strides=2)
        x = relu(normalised(x, "conv1"), "conv1_relu")
        features = layers.ZeroPadding2D(1, name="pool1_pad")(x.features)
        x = Branches(layers.MaxPooling2D(3, strides=2, name="pool1")(features), x.count)
        for stage in _STAGES:
            for block in _BLOCKS:
                name = f"conv{stage}_block{block}"
                strides = 2 if stage > 2 and block == 1 else 1
                x = _basic_block(x, tree.parents(name), cls.branch_width(name, width), strides, name)
        return Branches(layers.GlobalAveragePooling2D(name="pool")(x.features), x.count)


def _basic_block(x, parents, channels, strides, name):
    own = range(len(parents))
    # Always a convolution, so that a new branch has a shortcut of its own, whatever its parent.
    shortcut = conv(x, parents, channels, 1, f"{name}_shortcut", strides=strides)
    shortcut = normalised(shortcut, f"{name}_shortcut")
    x = conv(x, parents, channels, 3, f"{name}_1", strides=strides)
    x = relu(normalised(x, f"{name}_1"), f"{name}_1_relu")
    x = normalised(conv(x, own, channels, 3, f"{name}_2"), f"{name}_2")
    added = layers.Add(name=f"{name}_add")([shortcut.features, x.features])
    return relu(Branches(added, len(parents)), f"{name}_out")


# ResNet-18 with at most ω channels in any layer.
ThinResNet18 = BranchedResNet18.unbranched
