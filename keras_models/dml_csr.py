"""DML-CSR: face parsing whose edge detection branches exist in training only (Zheng et al. 2022, Section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

from tensorflow import keras

from keras_models.activated_batch_norm import conv_abn
from keras_models.aligned_resize import AlignedResize
from keras_models.backbones import backbone as build_backbone
from keras_models.dilated_resnet import dilated_resnet
from keras_models.dynamic_dual_graph_conv import DynamicDualGraphConv

layers = keras.layers


def DMLCSR(
    input_shape: tuple[int | None, int | None, int],
    num_classes: int,
    context: str = "ddgcn",
    context_kernel: int = 3,
    edges: bool = True,
    backbone: str = "dilated_resnet",
    output_stride: int = 8,
    backbone_blocks: Sequence[int] = (3, 4, 23, 3),
    backbone_width: int = 64,
    head_width: int = 256,
    weights: str | None = None,
) -> keras.Model:
    """Decoupled multi-task network of face parsing, binary and category edge detection.

    Args:
        input_shape: (H, W, 3), RGB pixels in [0, 255]; H and W may be None.
        num_classes: labels of the parsing, background among them.
        context: "ddgcn"; or "conv", the paper's baseline: one 3 × 3 convolution C5 -> head_width instead.
        context_kernel: kernel of the convolution before the DDGCN: 3 as released, or 1, which gives the paper's
            parameter counts. "conv" ignores it.
        edges: whether there are edge branches. They read features of the backbone and feed none back to the parsing.
        backbone: "dilated_resnet", the paper's; or "efficientnet_lite0", ours, for processors without a GPU.
        output_stride: what the image's sides are divided by at most: 8; or 16 or 32, of EfficientNet-Lite0 alone.
        backbone_blocks: bottleneck blocks of the dilated ResNet's four stages; the default is ResNet-101.
        backbone_width: inner channels of its first stage.
        head_width: channels of the parsing head and the edge branches; the context has twice as many.
        weights: of the backbone. None (random), "imagenet" as in the paper, or a file.

    Returns:
        keras.Model: image -> dict of logits in float32. "parsing" is [batch, H, W, num_classes]; with edges there are
        "binary_edge" [batch, H, W, 2] (no edge, edge) and "category_edge" [batch, H, W, num_classes], whose class 0 is
        "no part's edge". All three are computed at C2's size and resized to the image's; layers "{name}_logits" have
        them before that. `without_edges` removes the branches.

    Raises:
        ValueError: for an unknown context, kernel or backbone, fewer than two classes, a head width that isn't a
            multiple of 16, and what the backbone rejects.
        OSError: if "imagenet" can't be had.
    """
    if context not in ("ddgcn", "conv"):
        raise ValueError(f"context is 'ddgcn' or 'conv', received {context!r}.")
    if backbone not in ("dilated_resnet", "efficientnet_lite0"):
        raise ValueError(f"backbone is 'dilated_resnet' or 'efficientnet_lite0', received {backbone!r}.")
    if context_kernel not in (1, 3):
        raise ValueError(f"context_kernel is 1 or 3, received {context_kernel!r}.")
    if num_classes < 2:
        raise ValueError(f"Parsing needs at least two classes, received num_classes={num_classes}.")
    if head_width < 16 or head_width % 16:
        raise ValueError(f"C2 is reduced to 3/16 of head_width, a multiple of 16; received head_width={head_width}.")
    image = keras.Input(input_shape, name="image")
    if backbone == "dilated_resnet":
        if output_stride != 8:
            raise ValueError(f"The dilated ResNet has an output stride of 8, received output_stride={output_stride}.")
        features = dilated_resnet(input_shape, backbone_blocks, backbone_width, weights)(image)
    else:
        features = _lite0(input_shape, output_stride, weights)(image)
    if context == "ddgcn":
        embedded = _context_embedding(features["C5"], 2 * head_width, context_kernel)
    else:
        embedded = conv_abn(features["C5"], head_width, 3, name="context")
    logits = {"parsing": _parsing_head(embedded, features["C2"], num_classes, head_width)}
    if edges:
        logits.update(_edge_branches([features[level] for level in ("C2", "C3", "C4")], num_classes, head_width))
    outputs = {name: AlignedResize(dtype="float32", name=name)(x, like=image) for name, x in logits.items()}
    return keras.Model(image, outputs, name="dml_csr")


def without_edges(network: keras.Model) -> keras.Model:
    """The network for inference: image -> {"parsing"}, sharing the layers of `network`, without its edge branches."""
    return keras.Model(network.input, {"parsing": network.output["parsing"]}, name=network.name)


def _lite0(input_shape, output_stride, weights):
    """image -> C2 to C5: the last bottlenecks of 1/4, 1/8 and so on of the image, C5 without the classifier's head."""
    network = build_backbone("efficientnet_lite0", input_shape, 64, weights, (2, 3, 4, 5), output_stride)
    features = {f"C{block}": network.output[f"block{block}"] for block in (2, 3, 4, 5)}
    return keras.Model(network.input, features, name=network.name)


def _context_embedding(c5, channels, kernel):
    """[batch, h, w, C] -> [batch, h, w, channels], by dual graph convolution and without pooling (Fig. 2)."""
    x = conv_abn(c5, channels, kernel, name="context_a")
    x = DynamicDualGraphConv(name="context_ddgcn")(x)
    x = conv_abn(x, channels, 3, name="context_b")
    x = layers.Concatenate(name="context_concat")([c5, x])
    return conv_abn(x, channels, 3, name="context")


def _parsing_head(context, c2, num_classes, width):
    """Context [batch, h, w, C] and C2 [batch, H/4, W/4, C'] -> logits [batch, H/4, W/4, num_classes]."""
    deep = conv_abn(context, width, 1, name="parsing_context")
    deep = AlignedResize(name="parsing_context_up")(deep, like=c2)
    shallow = conv_abn(c2, 3 * width // 16, 1, name="parsing_c2")
    x = layers.Concatenate(name="parsing_concat")([deep, shallow])
    x = conv_abn(x, width, 1, name="parsing_1")
    x = conv_abn(x, width, 1, name="parsing_2")
    return _logits(x, num_classes, name="parsing")


def _edge_branches(features, num_classes, width):
    """C2, C3, C4 -> logits [batch, H/4, W/4, 2] and [batch, H/4, W/4, num_classes], from one decoder."""
    c2 = features[0]
    # One convolution for all levels: a level's own 1 × 1 brings it to the common features.
    decode = layers.Conv2D(num_classes, 3, padding="same", name="edge_decoder")
    maps = []
    for level, x in enumerate(features, start=2):
        x = decode(conv_abn(x, width, 1, name=f"edge_c{level}"))
        maps.append(x if level == 2 else AlignedResize(name=f"edge_c{level}_up")(x, like=c2))
    x = layers.Concatenate(name="edge_concat")(maps)
    return {
        "binary_edge": _logits(x, 2, name="binary_edge"),
        "category_edge": _logits(x, num_classes, name="category_edge"),
    }


def _logits(x, classes, name):
    return layers.Conv2D(classes, 1, dtype="float32", name=f"{name}_logits")(x)
