"""MGG-Net: facial attributes by groups of face parts, with attention and a graph between the groups (Fig. 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf
from tensorflow import keras

from keras_models.attribute_groups import PART_GROUPS
from keras_models.attributes import CELEBA_ATTRIBUTES
from keras_models.backbones import backbone as build_backbone
from keras_models.graph_correlation import GraphCorrelation
from keras_models.group_attention import GroupAttention

layers = keras.layers


def MGGNet(
    input_shape: tuple[int | None, int | None, int],
    backbone: str = "resnet18",
    taps: Sequence[int] = (3, 4),
    attention: str | None = "group",
    graph: bool = True,
    alpha: float = 0.5,
    groups: Mapping[str, Sequence[str]] = PART_GROUPS,
    share_heads: bool = False,
    mask_activation: str = "relu",
    attributes: Sequence[str] = CELEBA_ATTRIBUTES,
    backbone_width: int = 64,
    weights: str | None = None,
) -> keras.Model:
    """Multi-scale Group and Graph Network.

    Args:
        input_shape: (H, W, 3), RGB pixels in [0, 255]; H and W may be None.
        backbone: its name; `backbone_width` and `weights` are its options: see `keras_models.backbones.backbone`.
        taps: the B blocks of the backbone whose features are grouped.
        attention: "group": K modules a tap, one for each of `groups`; "independent": N modules, one for each attribute
            (Table 3); None: the paper's baseline, the base head alone; what groups, graph and masks need is ignored.
        graph: whether groups exchange messages (GCL); without it the final prediction is from the group features.
        alpha: α of Eq. 2.
        groups: the attributes of each group; every attribute is in exactly one.
        share_heads: predict from group and graph features with the same weights, Eq. 3 to the letter.
        mask_activation: "relu" or "sigmoid".
        attributes: names of the N attributes, in the order of the outputs.

    Returns:
        keras.Model: image -> dict of probabilities [batch, N] in float32. "attributes" is the final mean (Eq. 4); the
        loss of Eq. 5 also takes "base" and, for each tap b, "gal_block{b}" and "gcl_block{b}". Layer
        "block{b}_attention" has the masks [batch, h, w, K] as its second output and "block{b}_graph" the affinities
        [batch, K, K]: see `attention_maps`.

    Raises:
        ValueError: for an unknown kind of attention, or groups that miss an attribute or have one twice.
    """
    if attention not in ("group", "independent", None):
        raise ValueError(f"attention is 'group', 'independent' or None, received {attention!r}.")
    image = keras.Input(input_shape, name="image")
    if attention is None:
        features = build_backbone(backbone, input_shape, backbone_width, weights)(image)
        return keras.Model(image, {"attributes": _base_head(features, len(attributes), "attributes")}, name="mgg_net")

    if attention == "independent":
        groups = {name: (name,) for name in attributes}
    members = _group_of_each(attributes, groups)
    features = build_backbone(backbone, input_shape, backbone_width, weights, taps)(image)
    outputs = {"base": _base_head(features["last"], len(attributes), "base")}
    final = [outputs["base"]]
    for tap in taps:
        block = f"block{tap}"
        grouped, _ = GroupAttention(tuple(groups), mask_activation, name=f"{block}_attention")(features[block])
        gal_head = _group_head(f"gal_{block}", len(attributes))
        outputs[f"gal_{block}"] = gal_head(tf.gather(grouped, members, axis=1))
        if graph:
            refined, _ = GraphCorrelation(alpha, name=f"{block}_graph")(grouped)
            gcl_head = gal_head if share_heads else _group_head(f"gcl_{block}", len(attributes))
            outputs[f"gcl_{block}"] = gcl_head(tf.gather(refined, members, axis=1))
        final.append(outputs[f"gcl_{block}" if graph else f"gal_{block}"])
    outputs["attributes"] = layers.Average(dtype="float32", name="attributes")(final)
    return keras.Model(image, outputs, name="mgg_net")


def attention_maps(network: keras.Model) -> keras.Model | None:
    """The attention masks and graph affinities of a network, as a model that shares its weights.

    Returns:
        image -> {"masks_block{b}": [batch, h, w, K], "affinities_block{b}": [batch, K, K]} in float32; None if the
        network has neither masks nor affinities.
    """
    maps = {}
    for layer in network.layers:
        block = layer.name.rsplit("_", 1)[0]
        if isinstance(layer, GroupAttention):
            maps[f"masks_{block}"] = tf.cast(layer.output[1], tf.float32)
        elif isinstance(layer, GraphCorrelation):
            maps[f"affinities_{block}"] = layer.output[1]
    return keras.Model(network.input, maps, name="attention_maps") if maps else None


def attention_groups(network: keras.Model) -> tuple[str, ...]:
    """Names of the K groups that a network attends to; empty if it has no group attention."""
    return next((layer.groups for layer in network.layers if isinstance(layer, GroupAttention)), ())


def _group_of_each(attributes, groups):
    """[N] position of each attribute's group."""
    unknown = sorted({name for names in groups.values() for name in names} - set(attributes))
    if unknown:
        raise ValueError(f"The groups have {unknown}, which are not among the attributes {tuple(attributes)}.")
    group_of = [[i for i, names in enumerate(groups.values()) if name in names] for name in attributes]
    wrong = {name: len(found) for name, found in zip(attributes, group_of, strict=True) if len(found) != 1}
    if wrong:
        raise ValueError(f"Every attribute belongs to one group; received, by number of groups: {wrong}.")
    return [found[0] for found in group_of]


def _base_head(features, outputs, name):
    """[batch, h, w, C] -> [batch, outputs] probabilities."""
    pooled = layers.GlobalAveragePooling2D(name="pool")(features)
    return layers.Dense(outputs, activation="sigmoid", dtype="float32", name=name)(pooled)


def _group_head(name, num_attributes):
    """Layer [batch, N, C] -> [batch, N]: each attribute from its own feature, by its own weights."""
    return layers.EinsumDense(
        "bnc,nc->bn",
        output_shape=num_attributes,
        bias_axes="n",
        activation="sigmoid",
        dtype="float32",
        name=name,
    )
