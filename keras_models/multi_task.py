"""The plain multi-task network: one backbone, one head per task, nothing that a paper would claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tensorflow import keras

from keras_models.activated_batch_norm import conv_bn_relu
from keras_models.aligned_resize import AlignedResize
from keras_models.backbones import backbone as build_backbone
from keras_models.backbones import backbone_blocks
from keras_models.resumable_dropout import ResumableDropout

layers = keras.layers


def MultiTaskNetwork(
    input_shape: tuple[int | None, int | None, int],
    outputs: Mapping[str, int],
    maps: Sequence[str] = (),
    backbone: str = "resnet18",
    backbone_width: int = 64,
    weights: str | None = None,
    dropout: float = 0.0,
    map_width: int = 64,
) -> keras.Model:
    """Hard parameter sharing: every task reads the features of one backbone through a head of its own.

    It is the network to compare a system with, and the one to start from with labels of your own.

    A vector is predicted from the global average of the backbone's last block by one linear layer. Maps share a feature
    pyramid decoder (after Lin et al. 2017) over all blocks of the backbone and have a 1 × 1 convolution each.

    Args:
        input_shape: (H, W, 3), RGB pixels in [0, 255]; H and W may be None.
        outputs: names of the outputs, with the number n of values that each predicts, of an image or of a pixel. A
            layer is named after each output.
        maps: those of them that are predicted for every pixel.
        backbone: its name; `backbone_width` and `weights` are its options: see `keras_models.backbones.backbone`.
        dropout: share of the pooled features that is dropped in training, before the linear layers.
        map_width: channels of the decoder.

    Returns:
        keras.Model: image -> dict of float32 in the order of `outputs`, logits or values without an activation: [batch,
        n], or [batch, H, W, n] at the size of the image for `maps`, bilinearly up-sampled from the size of the first
        block. Layers "{name}_logits" have the maps before that.

    Raises:
        ValueError: for no outputs, a number below 1, a map that is not among the outputs, a dropout outside [0, 1), and
            what `backbone` rejects.
        OSError: if "imagenet" can't be fetched.
    """
    if not outputs:
        raise ValueError("A network needs at least one output, received none.")
    if wrong := {name: number for name, number in outputs.items() if number < 1}:
        raise ValueError(f"Every output has one value or more, received {wrong}.")
    if unknown := sorted(set(maps) - set(outputs)):
        raise ValueError(f"The maps {unknown} are not among the outputs {tuple(outputs)}.")
    if map_width < 1:
        raise ValueError(f"The decoder needs at least one channel, received map_width={map_width}.")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout is a share in [0, 1), received {dropout}.")
    image = keras.Input(input_shape, name="image")
    # The last block's features are at hand as "last", after the last pooling of AlexNet.
    taps = backbone_blocks(backbone)[:-1] if maps else ()
    features = build_backbone(backbone, input_shape, backbone_width, weights, taps)(image)
    last = features["last"] if taps else features
    pooled = decoded = None
    if set(outputs) - set(maps):
        pooled = layers.GlobalAveragePooling2D(name="pool")(last)
        if dropout:
            pooled = ResumableDropout(dropout, name="dropout")(pooled)
    if maps:
        decoded = _decoder(last, {block: features[f"block{block}"] for block in taps}, map_width)
    heads = {
        name: _map_head(decoded, number, image, name) if name in maps else _vector_head(pooled, number, name)
        for name, number in outputs.items()
    }
    return keras.Model(image, heads, name="multi_task")


def _decoder(last, blocks, width):
    """The last features and the blocks', from the input up -> [batch, H', W', width], as large as the first block's.

    From the top down, features are up-sampled and added to those of the block below (Lin et al. 2017, Fig. 3).
    """
    x = conv_bn_relu(last, width, 1, name="decoder_last")
    for block, features in reversed(blocks.items()):
        skip = conv_bn_relu(features, width, 1, name=f"decoder_block{block}_skip")
        x = AlignedResize(name=f"decoder_block{block}_up")(x, like=skip)
        x = layers.Add(name=f"decoder_block{block}_add")([x, skip])
        x = conv_bn_relu(x, width, 3, name=f"decoder_block{block}")
    return x


def _map_head(decoded, number, image, name):
    """[batch, H', W', C] -> [batch, H, W, number]."""
    logits = layers.Conv2D(number, 1, dtype="float32", name=f"{name}_logits")(decoded)
    # A 1 × 1 convolution and bilinear resizing can be swapped: in this order the convolution is cheaper.
    return AlignedResize(dtype="float32", name=name)(logits, like=image)


def _vector_head(pooled, number, name):
    """[batch, C] -> [batch, number]."""
    return layers.Dense(number, dtype="float32", name=name)(pooled)
