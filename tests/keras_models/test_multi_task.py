"""The plain multi-task network: what comes out of which mixture at which size, precision, saving, errors, learning."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from keras_models import MultiTaskNetwork

pytestmark = pytest.mark.slow

SMALL = {"backbone": "resnet10", "backbone_width": 4, "map_width": 8}
MIXTURE = {"attributes": 5, "parsing": 3, "emotion": 4, "depth": 1}
MAPS = ("parsing", "depth")


def _images(*size, batch=2):
    return np.random.default_rng(0).uniform(0, 255, (batch, *size, 3)).astype(np.float32)


def _assert_same_outputs(model, expected):
    images = _images(40, 33)
    outputs = model(images)
    assert list(outputs) == list(expected(images))
    for name, values in expected(images).items():
        np.testing.assert_allclose(outputs[name], values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(64, 64), (33, 33), (65, 49), (32, 47)])
@pytest.mark.parametrize(
    ("outputs", "maps"),
    [({"attributes": 40}, ()), ({"parsing": 19}, ("parsing",)), ({"landmarks": 10, "emotion": 7}, ()), (MIXTURE, MAPS)],
)
def test_shapes(size, outputs, maps):
    model = MultiTaskNetwork((*size, 3), outputs, maps, **SMALL)
    shapes = {name: (*size, number) if name in maps else (number,) for name, number in outputs.items()}
    assert model.output_shape == {name: (None, *shape) for name, shape in shapes.items()}
    predicted = model(_images(*size))
    assert list(predicted) == list(outputs)
    for name, shape in shapes.items():
        assert predicted[name].shape == (2, *shape) and predicted[name].dtype == "float32"


def test_any_size_at_run_time():
    model = MultiTaskNetwork((None, None, 3), MIXTURE, MAPS, **SMALL)
    for size in ((33, 33), (65, 49), (64, 32)):
        predicted = model(_images(*size))
        assert {name: tuple(predicted[name].shape) for name in MIXTURE} == {
            "attributes": (2, 5),
            "parsing": (2, *size, 3),
            "emotion": (2, 4),
            "depth": (2, *size, 1),
        }


@pytest.mark.parametrize("backbone", ["resnet50", "vgg16", "alexnet"])
def test_other_backbones(backbone):
    model = MultiTaskNetwork((65, 81, 3), MIXTURE, MAPS, backbone=backbone, map_width=8)
    assert model.output_shape == {
        "attributes": (None, 5),
        "parsing": (None, 65, 81, 3),
        "emotion": (None, 4),
        "depth": (None, 65, 81, 1),
    }


def test_layers_are_named_by_where_they_stand():
    names = [layer.name for layer in MultiTaskNetwork((33, 33, 3), MIXTURE, MAPS, dropout=0.5, **SMALL).layers]
    assert {"image", "resnet10", "pool", "dropout", *MIXTURE, "parsing_logits", "depth_logits"} <= set(names)
    decoder = {name for name in names if name.startswith("decoder_")}
    assert {name.removesuffix("_conv") for name in decoder if name.endswith("_conv")} == {
        "decoder_last",
        *(f"decoder_block{block}{part}" for block in (2, 3, 4) for part in ("", "_skip")),
    }
    # Nothing has a name that Keras numbered.
    assert len(names) == 4 + len(MIXTURE) + len(MAPS) + len(decoder)


def test_vectors_alone_have_no_decoder_and_maps_alone_no_pooling():
    vectors = {layer.name for layer in MultiTaskNetwork((33, 33, 3), {"attributes": 40}, **SMALL).layers}
    assert vectors == {"image", "resnet10", "pool", "attributes"}
    maps = {layer.name for layer in MultiTaskNetwork((33, 33, 3), {"depth": 1}, ("depth",), **SMALL).layers}
    assert "pool" not in maps and "decoder_block2_conv" in maps


def test_a_vector_is_linear_in_the_pooled_features():
    model = MultiTaskNetwork((32, 32, 3), {"attributes": 3}, **SMALL)
    kernel, bias = model.get_layer("attributes").get_weights()
    features = model.get_layer("resnet10")(_images(32, 32)).numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(model(_images(32, 32))["attributes"], features @ kernel + bias, rtol=1e-4, atol=1e-5)


def test_every_block_reaches_every_map():
    keras.utils.set_random_seed(1)
    model = MultiTaskNetwork((64, 64, 3), MIXTURE, MAPS, **SMALL)
    assert set(model.get_layer("resnet10").output) == {"block2", "block3", "block4", "last"}
    kernels = [layer.kernel for layer in model.layers if layer.name.startswith("decoder") and layer.name[-4:] == "conv"]
    assert len(kernels) == 1 + 2 * 3
    for name in MAPS:
        with tf.GradientTape() as tape:
            # Random weights, since batch norm fixes the plain sum.
            predicted = model(_images(64, 64), training=True)[name]
            target = tf.reduce_sum(predicted * np.random.default_rng(1).normal(size=predicted.shape))
        assert all(np.abs(gradient).max() > 1e-3 for gradient in tape.gradient(target, kernels))


def test_dropout_is_for_training_only_and_for_vectors_only():
    model = MultiTaskNetwork((32, 32, 3), {"attributes": 3, "depth": 1}, ("depth",), dropout=0.5, **SMALL)
    model.get_layer("resnet10").trainable = False  # batch norm as at inference: only dropout differs
    for layer in model.layers:
        if layer.name.endswith("_bn"):
            layer.trainable = False
    at_inference, in_training = model(_images(32, 32)), model(_images(32, 32), training=True)
    np.testing.assert_allclose(in_training["depth"], at_inference["depth"], rtol=1e-5, atol=1e-6)
    assert np.abs(in_training["attributes"] - at_inference["attributes"]).max() > 1e-3
    np.testing.assert_array_equal(model(_images(32, 32))["attributes"], at_inference["attributes"])


def test_mixed_precision_leaves_float32_outputs():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = MultiTaskNetwork((33, 49, 3), MIXTURE, MAPS, dropout=0.1, **SMALL)
        predicted = model(_images(33, 49), training=True)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert {output.dtype.name for output in predicted.values()} == {"float32"}
    assert {weight.dtype.name for weight in model.trainable_weights} == {"float32"}
    assert model.get_layer("decoder_block2_conv").output.dtype == "bfloat16"
    assert all(np.isfinite(output).all() for output in predicted.values())


def test_saved_and_loaded(tmp_path):
    model = MultiTaskNetwork((None, None, 3), MIXTURE, MAPS, dropout=0.1, **SMALL)
    model.save(tmp_path / "model.keras")
    _assert_same_outputs(keras.models.load_model(tmp_path / "model.keras"), model)
    model.save_weights(tmp_path / "model.weights.h5")
    again = MultiTaskNetwork((None, None, 3), MIXTURE, MAPS, dropout=0.1, **SMALL)
    again.load_weights(tmp_path / "model.weights.h5")
    _assert_same_outputs(again, model)


def test_weights_are_the_backbones(tmp_path):
    trained = MultiTaskNetwork((33, 33, 3), {"attributes": 2}, **SMALL).get_layer("resnet10")
    trained.save_weights(tmp_path / "backbone.weights.h5")
    model = MultiTaskNetwork((33, 33, 3), MIXTURE, MAPS, weights=str(tmp_path / "backbone.weights.h5"), **SMALL)
    for loaded, saved in zip(model.get_layer("resnet10").get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(loaded, saved)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"outputs": {}}, "at least one output"),
        ({"outputs": {"attributes": 40, "emotion": 0, "depth": -1}}, r"received \{'emotion': 0, 'depth': -1\}"),
        ({"maps": ("parsing", "edges", "depths")}, r"\['depths', 'edges'\] are not among the outputs"),
        ({"maps": MAPS, "map_width": 0}, "map_width=0"),
        ({"dropout": 1.0}, r"\[0, 1\), received 1.0"),
        ({"dropout": -0.1}, r"\[0, 1\), received -0.1"),
        ({"backbone": "resnet19"}, "No backbone is called 'resnet19'"),
        ({"backbone": "resnet19", "maps": MAPS}, "No backbone is called 'resnet19'"),
        ({"weights": "no_such_file"}, "no weights file 'no_such_file'"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        MultiTaskNetwork(**{"input_shape": (33, 33, 3), "outputs": MIXTURE, **SMALL, **arguments})


def test_a_mixture_learns():
    keras.utils.set_random_seed(1)
    # What there is to see: brightness of the image (value), of its left edge (class) and of each pixel (map).
    images = np.random.default_rng(0).uniform(0, 255, (16, 3, 3, 1)).repeat(11, axis=1).repeat(11, axis=2)
    images = np.broadcast_to(images, (16, 33, 33, 3)).astype(np.float32)
    labels = {
        "brightness": images.mean(axis=(1, 2, 3))[:, None] / 255,
        "left": (images[:, :, 0].mean(axis=(1, 2)) > 127).astype(np.int32),
        "bright": (images[..., 0] > 127).astype(np.int32),
    }
    model = MultiTaskNetwork((33, 33, 3), {"brightness": 1, "left": 2, "bright": 2}, ("bright",), **SMALL)
    model.compile(
        keras.optimizers.Adam(0.01),
        {
            "brightness": "mse",
            "left": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "bright": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        },
    )
    history = model.fit(images, labels, batch_size=16, epochs=12, verbose=0).history
    for name in ("loss", "left_loss", "bright_loss", "brightness_loss"):
        assert history[name][-1] < 0.6 * history[name][0], name
