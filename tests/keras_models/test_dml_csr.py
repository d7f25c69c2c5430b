"""DML-CSR: the counts of paper and released code, its outputs, and edge branches that vanish without a trace."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from keras_models.aligned_resize import AlignedResize
from keras_models.dml_csr import DMLCSR, without_edges

pytestmark = pytest.mark.slow

TINY = {"num_classes": 5, "backbone_blocks": (1, 1, 1, 1), "backbone_width": 4, "head_width": 16}


def _parameters(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def _images(*size, count=2):
    return np.random.default_rng(0).uniform(0, 255, (count, *size, 3)).astype(np.float32)


def _graph(model, shape):
    """Operations of the model's forward pass over one image."""
    specification = tf.TensorSpec((1, *shape, 3))
    return tf.function(lambda x: model(x)).get_concrete_function(specification).graph.get_operations()


def _multiply_adds(operations):
    """Of convolutions and matrix products, from the shapes of what goes in and comes out."""
    total = 0
    for operation in operations:
        shapes = [x.shape for x in operation.inputs]
        if operation.type in ("Conv2D", "DepthwiseConv2dNative"):
            # An output pixel takes the kernel's window, through all input channels unless depthwise.
            window = shapes[1][:3] if operation.type == "Conv2D" else shapes[1][:2]
            total += int(np.prod(operation.outputs[0].shape)) * int(np.prod(window))
        elif operation.type == "Einsum":
            terms = operation.get_attr("equation").decode().split("->")[0].split(",")
            sizes = {
                axis: n for term, shape in zip(terms, shapes, strict=True) for axis, n in zip(term, shape, strict=True)
            }
            total += int(np.prod(list(sizes.values())))
        else:
            assert "MatMul" not in operation.type, "a product that isn't counted"
    return total


@pytest.fixture(scope="module")
def released():
    """The released network at the paper's size."""
    return DMLCSR((473, 473, 3), num_classes=19)


@pytest.fixture(scope="module")
def paper():
    """The network that gives the paper's counts."""
    return DMLCSR((224, 224, 3), num_classes=19, context_kernel=1)


@pytest.fixture(scope="module")
def tiny():
    """All parts, one block a stage."""
    return DMLCSR((96, 64, 3), **TINY)


def test_parameters_of_the_released_network(released):
    assert _parameters(without_edges(released)) == 68_060_213
    assert _parameters(released) == 68_565_514
    assert _parameters(released.get_layer("context_ddgcn")) == 1_547_010


def test_parameters_of_the_paper(paper):
    assert _parameters(without_edges(paper)) == 59_671_605
    assert _parameters(paper) == 60_176_906


def test_parameters_of_the_edge_branches(released):
    kept = {id(weight) for weight in without_edges(released).weights}
    edges = [weight for weight in released.weights if id(weight) not in kept]
    assert all("edge" in weight.name for weight in edges) and len(edges) == 3 * 5 + 2 + 2 * 2
    assert sum(int(np.prod(w.shape)) for w in released.trainable_weights if id(w) not in kept) == 505_301


def test_parameters_with_11_classes(released):
    # Of the same backbone in front, so that one block a stage will do for the rest.
    short = DMLCSR((473, 473, 3), num_classes=11, backbone_blocks=(1, 1, 1, 1))
    missing = _parameters(released.get_layer("dilated_resnet")) - _parameters(short.get_layer("dilated_resnet"))
    assert _parameters(without_edges(short)) + missing == 68_058_157
    assert _parameters(short) + missing == 68_544_242


def test_multiply_adds_of_the_paper(paper):
    operations = _graph(without_edges(paper), (224, 224))
    assert _multiply_adds(operations) == pytest.approx(48.55e9, rel=0.01)


def test_sizes_of_the_paper(released):
    shapes = {name: x.shape for name, x in released.get_layer("dilated_resnet").output.items()}
    assert shapes == {
        "C2": (None, 119, 119, 256),
        "C3": (None, 60, 60, 512),
        "C4": (None, 60, 60, 1024),
        "C5": (None, 60, 60, 2048),
    }
    assert {name: x.shape for name, x in released.output.items()} == {
        "parsing": (None, 473, 473, 19),
        "binary_edge": (None, 473, 473, 2),
        "category_edge": (None, 473, 473, 19),
    }
    for name, channels in (("parsing", 19), ("binary_edge", 2), ("category_edge", 19)):
        assert released.get_layer(f"{name}_logits").output_shape == (None, 119, 119, channels)
    # The last shrunken map of the spatial graph: 60, 30, 15, 8.
    assert released.get_layer("context_ddgcn").local.compute_output_shape((None, 60, 60, 512)) == (None, 8, 8, 512)


def test_logits_are_resized_with_aligned_corners(tiny):
    before = {name: tiny.get_layer(f"{name}_logits").output for name in tiny.output}
    before = keras.Model(tiny.input, before)(_images(96, 64))
    outputs = tiny(_images(96, 64))
    for name, logits in outputs.items():
        assert before[name].shape == (2, 24, 16, logits.shape[-1])
        np.testing.assert_allclose(logits, AlignedResize((96, 64))(before[name]), atol=1e-6)
        np.testing.assert_allclose(logits[:, ::95, ::63], before[name][:, ::23, ::15], atol=1e-5)
        assert np.ptp(logits) > 0.01


def test_edges_vanish(tiny):
    inference = without_edges(tiny)
    built = DMLCSR((96, 64, 3), **TINY, edges=False)
    assert set(built.output) == set(inference.output) == {"parsing"}
    assert [(w.name, w.shape) for w in built.weights] == [(w.name, w.shape) for w in inference.weights]
    assert not [layer.name for layer in built.layers if "edge" in layer.name]

    operations = {
        name: _graph(model, (96, 64)) for name, model in (("view", inference), ("built", built), ("all", tiny))
    }
    types = {name: sorted(operation.type for operation in of) for name, of in operations.items()}
    assert types["view"] == types["built"]
    assert not [operation.name for operation in operations["view"] if "edge" in operation.name]
    assert [operation.name for operation in operations["all"] if "edge" in operation.name]
    # 5 convolutions and the decoder's, which runs three times.
    assert types["all"].count("Conv2D") - types["view"].count("Conv2D") == 3 + 3 + 2

    np.testing.assert_array_equal(inference(_images(96, 64))["parsing"], tiny(_images(96, 64))["parsing"])
    built.set_weights(inference.get_weights())
    np.testing.assert_allclose(built(_images(96, 64))["parsing"], tiny(_images(96, 64))["parsing"], atol=1e-6)


def test_edges_teach_the_first_four_stages_alone(tiny):
    backbone = tiny.get_layer("dilated_resnet")
    with tf.GradientTape() as tape:
        outputs = tiny(_images(96, 64), training=True)
        loss = tf.reduce_sum(outputs["binary_edge"] ** 2) + tf.reduce_sum(outputs["category_edge"] ** 2)
    gradients = tape.gradient(loss, backbone.trainable_weights)
    taught = {w.name.split("_")[0] for w, g in zip(backbone.trainable_weights, gradients, strict=True) if g is not None}
    assert taught == {"stem1", "stem2", "stem3", "conv2", "conv3", "conv4"}


def test_every_weight_is_trained(tiny):
    with tf.GradientTape() as tape:
        loss = tf.add_n([tf.reduce_sum(x**2) for x in tiny(_images(96, 64), training=True).values()])
    gradients = tape.gradient(loss, tiny.trainable_weights)
    assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)


def test_sizes_known_at_run_time(tiny):
    model = DMLCSR((None, None, 3), **TINY)
    model.set_weights(tiny.get_weights())
    np.testing.assert_allclose(model(_images(96, 64))["parsing"], tiny(_images(96, 64))["parsing"], atol=1e-5)
    assert {name: x.shape for name, x in model(_images(57, 44)).items()} == {
        "parsing": (2, 57, 44, 5),
        "binary_edge": (2, 57, 44, 2),
        "category_edge": (2, 57, 44, 5),
    }


def test_an_image_is_seen_alone(tiny):
    together = tiny(_images(96, 64))
    alone = tiny(_images(96, 64)[1:])
    for name, logits in together.items():
        np.testing.assert_allclose(logits[1:], alone[name], atol=1e-4)


def test_the_baseline_has_one_convolution_for_context():
    model = DMLCSR((64, 64, 3), **TINY, context="conv", context_kernel=1, edges=False)
    assert [layer.name for layer in model.layers if layer.name.startswith("context")] == [
        "context_conv",
        "context_bn",
        "context_leaky_relu",
    ]
    assert model.get_layer("context_conv").kernel.shape == (3, 3, 128, 16)


def test_channels_of_context_and_head(released, paper, tiny):
    # C5 of the narrow backbone has 32·4 channels, and 2·16 the context.
    names = ("context_a", "context_b", "context", "parsing_context", "parsing_c2", "parsing_1", "parsing_2")
    for model, expected in (
        (released, [(3, 2048, 512), (3, 512, 512), (3, 2560, 512), (1, 512, 256), (1, 256, 48), (1, 304, 256)]),
        (paper, [(1, 2048, 512), (3, 512, 512), (3, 2560, 512), (1, 512, 256), (1, 256, 48), (1, 304, 256)]),
        (tiny, [(3, 128, 32), (3, 32, 32), (3, 160, 32), (1, 32, 16), (1, 16, 3), (1, 19, 16)]),
    ):
        kernels = [tuple(model.get_layer(f"{name}_conv").kernel.shape[1:]) for name in names]
        assert kernels == [*expected, (1, *[expected[-1][-1]] * 2)]


def test_mixed_precision_leaves_float32_logits():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = DMLCSR((64, 48, 3), **TINY)
        assert model.get_layer("parsing_1_conv").compute_dtype == "bfloat16"
        with tf.GradientTape() as tape:
            outputs = model(_images(64, 48), training=True)
            loss = tf.add_n([tf.reduce_mean(x**2) for x in outputs.values()])
        gradients = tape.gradient(loss, model.trainable_weights)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert {x.dtype for x in outputs.values()} == {tf.float32}
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_saved_and_loaded(tiny, tmp_path):
    without_edges(tiny).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(_images(96, 64))["parsing"], tiny(_images(96, 64))["parsing"])
    names = [weight.name for weight in tiny.weights]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"context": "psp"}, "received 'psp'"),
        ({"context_kernel": 5}, "received 5"),
        ({"num_classes": 1}, "num_classes=1"),
        ({"head_width": 24}, "head_width=24"),
        ({"head_width": 0}, "head_width=0"),
        ({"backbone_blocks": (3, 4, 6)}, r"\(3, 4, 6\)"),
        ({"weights": "imagenet"}, r"received blocks=\(1, 1, 1, 1\), width=4"),
    ],
)
def test_errors_quote_what_was_received(arguments, message):
    with pytest.raises(ValueError, match=message):
        DMLCSR((64, 64, 3), **{**TINY, **arguments})


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_lite0_as_the_backbone(output_stride):
    model = DMLCSR((65, 49, 3), 5, backbone="efficientnet_lite0", output_stride=output_stride, head_width=16)
    outputs = model(_images(65, 49))
    assert {name: tuple(each.shape) for name, each in outputs.items()} == {
        "parsing": (2, 65, 49, 5),
        "binary_edge": (2, 65, 49, 2),
        "category_edge": (2, 65, 49, 5),
    }
    shapes = {name: each.shape[1:] for name, each in model.get_layer("efficientnet_lite0").output.items()}
    sides = [tuple(-(-side // min(stride, output_stride)) for side in (65, 49)) for stride in (4, 8, 16, 32)]
    channels = {"C2": 24, "C3": 40, "C4": 112, "C5": 320}
    assert shapes == {name: (*s, c) for s, (name, c) in zip(sides, channels.items(), strict=True)}
    # The classifier's 1 x 1 convolution is no part of it.
    assert not any("head" in layer.name for layer in model.get_layer("efficientnet_lite0").layers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "resnet18"}, "backbone is 'dilated_resnet' or 'efficientnet_lite0', received 'resnet18'"),
        ({"output_stride": 16}, "The dilated ResNet has an output stride of 8, received output_stride=16"),
        ({"backbone": "efficientnet_lite0", "output_stride": 4}, "output_stride is 8, 16 or 32, received 4"),
    ],
)
def test_backbones_that_are_not_there(arguments, message):
    with pytest.raises(ValueError, match=message):
        DMLCSR((64, 48, 3), num_classes=5, head_width=16, **arguments)
