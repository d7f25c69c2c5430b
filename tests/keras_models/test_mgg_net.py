"""MGG-Net: the paper's parameter counts, its outputs, what they are made of, and its variants."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from keras_models import MGGNet
from keras_models.attribute_groups import PART_GROUPS
from keras_models.attributes import CELEBA_ATTRIBUTES
from keras_models.mgg_net import attention_groups, attention_maps

pytestmark = pytest.mark.slow

SMALL = {"input_shape": (64, 48, 3), "backbone": "resnet10", "backbone_width": 4}
BASELINE = 11_197_032


def _trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def _images(count=2):
    return np.random.default_rng(0).uniform(0, 255, (count, 64, 48, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def published():
    """The paper's network."""
    return MGGNet((224, 224, 3))


@pytest.fixture(scope="module")
def small():
    """The same at a sixteenth of the width."""
    keras.utils.set_random_seed(0)
    return MGGNet(**SMALL)


def test_parameters_of_the_baseline():
    assert _trainable(MGGNet((224, 224, 3), attention=None)) == BASELINE


def test_parameters_of_the_paper(published):
    added = _trainable(published) - BASELINE
    # GAL 214,800 + 855,568; GCL 132,096 + 526,336; their heads 2·(40·128 + 40) + 2·(40·256 + 40).
    assert added == 214_800 + 855_568 + 132_096 + 526_336 + 30_880 == 1_759_680
    assert 1.70e6 <= added <= 1.85e6 and 0.15 <= added / BASELINE <= 0.17
    assert 12.75e6 <= _trainable(published) <= 13.05e6


def test_masks_and_affinities_of_the_paper(published):
    shapes = {name: output.shape for name, output in attention_maps(published).output.items()}
    assert shapes == {
        "masks_block3": (None, 28, 28, 8),
        "masks_block4": (None, 14, 14, 8),
        "affinities_block3": (None, 8, 8),
        "affinities_block4": (None, 8, 8),
    }
    assert published.get_layer("block3_attention").output[1].shape == (None, 28, 28, 8)
    assert published.get_layer("block4_graph").output[1].shape == (None, 8, 8)


def test_240_predictions(published):
    # Eq. 5: 2N + 2NB with N = 40 attributes and B = 2 taps.
    assert set(published.output) == {"attributes", "base", "gal_block3", "gal_block4", "gcl_block3", "gcl_block4"}
    assert sum(output.shape[-1] for output in published.output.values()) == 240
    assert {output.dtype for output in published.output.values()} == {tf.float32}


def test_every_attribute_is_in_one_group():
    assert len(PART_GROUPS) == 8
    assert sorted(name for names in PART_GROUPS.values() for name in names) == sorted(CELEBA_ATTRIBUTES)


def test_equation_4(small):
    outputs = small(_images())
    mean = (outputs["base"] + outputs["gcl_block3"] + outputs["gcl_block4"]) / 3
    np.testing.assert_allclose(outputs["attributes"], mean, rtol=1e-6)
    assert np.ptp(outputs["base"]) > 0.01


def test_without_a_graph_the_group_features_decide():
    outputs = MGGNet(**SMALL, graph=False)(_images())
    assert set(outputs) == {"attributes", "base", "gal_block3", "gal_block4"}
    mean = (outputs["base"] + outputs["gal_block3"] + outputs["gal_block4"]) / 3
    np.testing.assert_allclose(outputs["attributes"], mean, rtol=1e-6)


@pytest.mark.parametrize("head", ["gal_block4", "gcl_block4"])
def test_an_attribute_is_predicted_from_its_own_group(head):
    keras.utils.set_random_seed(0)
    model = MGGNet(**SMALL)
    source = model.get_layer("block4_attention" if head.startswith("gal") else "block4_graph").output[0]
    features = keras.Model(model.input, source)(_images()).numpy()
    kernel, bias = model.get_layer(head).get_weights()
    bias = np.random.default_rng(0).normal(size=bias.shape)
    model.get_layer(head).set_weights([kernel, bias])
    probabilities = model(_images())[head].numpy()
    for group, names in enumerate(PART_GROUPS.values()):
        for n in map(CELEBA_ATTRIBUTES.index, names):
            expected = 1 / (1 + np.exp(-(features[:, group] @ kernel[n] + bias[n])))
            np.testing.assert_allclose(probabilities[:, n], expected, rtol=1e-4)


def test_shared_heads_are_those_of_equation_3(small):
    shared = MGGNet(**SMALL, share_heads=True)
    # Block 3 has 2·4 and block 4 has 4·4 channels; 40 attributes have a weight each for every one, and a bias.
    assert _trainable(small) - _trainable(shared) == 40 * 8 + 40 + 40 * 16 + 40
    assert set(shared.output) == set(small.output)


def test_independent_attention_has_a_module_for_each_attribute():
    model = MGGNet(**SMALL, attention="independent", graph=False)
    assert model.get_layer("block3_attention").output[1].shape == (None, 8, 6, 40)
    assert attention_groups(model) == CELEBA_ATTRIBUTES


@pytest.mark.parametrize("taps", [(3,), (4,), (2, 3, 4)])
def test_other_taps(taps):
    outputs = MGGNet(**SMALL, taps=taps).output
    assert set(outputs) == {"attributes", "base"} | {f"{kind}_block{tap}" for kind in ("gal", "gcl") for tap in taps}


@pytest.mark.parametrize(
    ("backbone", "masks3", "masks4", "channels"),
    [
        ("resnet34", (28, 28), (14, 14), (128, 256)),
        ("resnet50", (28, 28), (14, 14), (512, 1024)),
        ("vgg16", (28, 28), (14, 14), (256, 512)),
        ("alexnet", (13, 13), (13, 13), (384, 256)),
    ],
)
def test_other_backbones(backbone, masks3, masks4, channels):
    model = MGGNet((224, 224, 3), backbone=backbone)
    for block, size, width in zip((3, 4), (masks3, masks4), channels, strict=True):
        grouped, masks = model.get_layer(f"block{block}_attention").output
        assert masks.shape == (None, *size, 8) and grouped.shape == (None, 8, width)


def test_other_attributes_and_groups():
    groups = {"top": ["Hat", "Hair"], "bottom": ["Beard"]}
    model = MGGNet(**SMALL, attributes=("Beard", "Hair", "Hat"), groups=groups)
    assert model.output["attributes"].shape == (None, 3)
    assert attention_groups(model) == ("top", "bottom")


def test_a_network_without_attention_has_no_maps():
    baseline = MGGNet(**SMALL, attention=None)
    assert set(baseline.output) == {"attributes"}
    assert attention_maps(baseline) is None and attention_groups(baseline) == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attention": "self"}, "received 'self'"),
        ({"attributes": ("A", "B"), "groups": {"all": ["A"]}}, r"\{'B': 0\}"),
        ({"attributes": ("A",), "groups": {"one": ["A"], "two": ["A"]}}, r"\{'A': 2\}"),
        ({"attributes": ("A",), "groups": {"one": ["A", "Z"]}}, r"\['Z'\]"),
    ],
)
def test_errors_quote_what_was_received(arguments, message):
    with pytest.raises(ValueError, match=message):
        MGGNet(**SMALL, **arguments)


def test_mixed_precision_leaves_float32_probabilities():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = MGGNet(**SMALL)
        assert model.get_layer("block3_attention").compute_dtype == "bfloat16"
        outputs = {**model(_images()), **attention_maps(model)(_images())}
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert {output.dtype for output in outputs.values()} == {tf.float32}
    np.testing.assert_allclose(outputs["affinities_block3"].numpy().sum(axis=-1), 1, rtol=1e-3)


def test_a_model_is_used_without_tfx():
    code = (
        "import sys, json, keras_models; keras_models.MGGNet((64, 64, 3), backbone_width=4); "
        "print(json.dumps([m for m in sys.modules if m.split('.')[0] in ('tfx', 'apache_beam')]))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(printed.splitlines()[-1]) == []
