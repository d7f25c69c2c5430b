"""DMM-CNN: the paper's parameter counts, what comes out in which order, and its variants."""

import json
import subprocess
import sys

import numpy as np
import pytest
from tensorflow import keras

from keras_models import DMMCNN
from keras_models.attributes import CELEBA_ATTRIBUTES
from keras_models.dmm_cnn import SUBJECTIVE_ATTRIBUTES

pytestmark = pytest.mark.slow

SMALL = {
    "num_landmarks": 5,
    "backbone": "resnet10",
    "backbone_width": 4,
    "objective_units": (6,),
    "subjective_units": (6, 5),
    "landmark_units": (4,),
}


def _images(*size):
    return np.random.default_rng(0).uniform(0, 255, (2, *size, 3)).astype(np.float32)


def _set_outputs(model, layer, values):
    """Makes a branch answer `values` whatever it sees."""
    kernel, bias = model.get_layer(layer).get_weights()
    model.get_layer(layer).set_weights([np.zeros_like(kernel), np.asarray(values).reshape(bias.shape)])


@pytest.fixture(scope="module")
def published():
    """The paper's network."""
    return DMMCNN((224, 224, 3), num_landmarks=72)


@pytest.fixture
def mixed_precision():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_global_policy("float32")


def test_parameters_of_the_paper(published):
    # 23,587,712 in ResNet-50; 354.9 MB as float32: "about 360M".
    assert published.count_params() == 23_587_712 + 2_120_726 + 60_838_930 + 2_245_776 == 88_793_144


@pytest.mark.parametrize(
    ("branch", "parameters"),
    [
        ("objective", 2048 * 1024 + 1024 + 1024 * 22 + 22),
        ("subjective", 28_672 * 2048 + 2048 + 2048 * 1024 + 1024 + 1024 * 18 + 18),
        ("landmarks", 2048 * 1024 + 1024 + 1024 * 144 + 144),
    ],
)
def test_parameters_of_the_branches(published, branch, parameters):
    counted = sum(layer.count_params() for layer in published.layers if layer.name.startswith(f"{branch}_"))
    assert counted == parameters
    assert parameters in (2_120_726, 60_838_930, 2_245_776)


def test_lengths_of_the_pyramids(published):
    assert published.get_layer("spp1").output_shape == (None, 2048)
    assert published.get_layer("spp3").output_shape == (None, 28_672)
    assert published.get_layer("resnet50").output_shape == (None, 7, 7, 2048)


def test_resnet50_sees_bgr_less_the_imagenet_mean(published):
    mean = np.broadcast_to(np.array([123.68, 116.779, 103.939], np.float32), (1, 224, 224, 3))
    assert np.abs(published.get_layer("resnet50")(mean)).max() == 0


def test_attribute_lists():
    assert len(CELEBA_ATTRIBUTES) == len(set(CELEBA_ATTRIBUTES)) == 40
    assert list(CELEBA_ATTRIBUTES) == sorted(CELEBA_ATTRIBUTES, key=str.lower)
    assert len(SUBJECTIVE_ATTRIBUTES) == len(set(SUBJECTIVE_ATTRIBUTES)) == 18
    assert set(SUBJECTIVE_ATTRIBUTES) < set(CELEBA_ATTRIBUTES)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (None, None), (64, None)])
def test_outputs_for_any_input_size(size):
    outputs = DMMCNN((*size, 3), **SMALL)(_images(*(side or 50 for side in size)))
    assert set(outputs) == {"attributes", "landmarks"}
    assert outputs["attributes"].shape == (2, 40)
    assert outputs["landmarks"].shape == (2, 10)
    assert {output.dtype.name for output in outputs.values()} == {"float32"}


def test_an_unknown_size_has_the_same_weights():
    fixed, free = DMMCNN((32, 32, 3), **SMALL), DMMCNN((None, None, 3), **SMALL)
    free.set_weights(fixed.get_weights())
    for name, output in fixed(_images(32, 32)).items():
        np.testing.assert_allclose(free(_images(32, 32))[name], output, rtol=1e-5, atol=1e-6)


def test_outputs_are_in_the_order_of_the_attributes():
    # Objective: b, c, e. Subjective, in the order given: d, a.
    model = DMMCNN((32, 32, 3), attributes=("a", "b", "c", "d", "e"), subjective=("d", "a"), **SMALL)
    _set_outputs(model, "objective_out", [2.0, 3.0, 5.0])
    _set_outputs(model, "subjective_out", [4.0, 1.0])
    assert model(_images(32, 32))["attributes"].numpy().tolist() == [[1, 2, 3, 4, 5]] * 2


def test_forty_outputs_are_in_the_order_of_celeba():
    model = DMMCNN((32, 32, 3), **SMALL)
    position = {name: float(i) for i, name in enumerate(CELEBA_ATTRIBUTES)}
    _set_outputs(model, "objective_out", [i for name, i in position.items() if name not in SUBJECTIVE_ATTRIBUTES])
    _set_outputs(model, "subjective_out", [position[name] for name in SUBJECTIVE_ATTRIBUTES])
    assert model(_images(32, 32))["attributes"].numpy().tolist() == [list(range(40))] * 2


def test_before_training_no_attribute_is_decided_and_points_are_in_the_middle():
    model = DMMCNN((32, 32, 3), **SMALL)
    outputs = model(_images(32, 32))
    assert not outputs["attributes"].numpy().any()
    assert outputs["landmarks"].numpy().tolist() == [[0.5] * 10] * 2
    _set_outputs(model, "landmarks_out", np.linspace(0, 1, 10))
    np.testing.assert_allclose(model(_images(32, 32))["landmarks"], [np.linspace(0, 1, 10)] * 2, rtol=1e-6)


def test_without_landmarks():
    model = DMMCNN((32, 32, 3), **{**SMALL, "num_landmarks": 0})
    assert set(model(_images(32, 32))) == {"attributes"}
    assert not [layer.name for layer in model.layers if "landmark" in layer.name]


def test_without_grouping():
    """DMM-SPP: all attributes from the 3-level pyramid, in their order."""
    model = DMMCNN((32, 32, 3), attributes=("a", "b", "c"), subjective=None, **SMALL)
    assert not [layer.name for layer in model.layers if layer.name.startswith("objective")]
    assert model.get_layer("subjective_fc1").input_shape == (None, 14 * 32)
    _set_outputs(model, "subjective_out", [1.0, 2.0, 3.0])
    assert model(_images(32, 32))["attributes"].numpy().tolist() == [[1, 2, 3]] * 2


def test_with_objective_attributes_alone():
    model = DMMCNN((32, 32, 3), attributes=("a", "b"), subjective=(), **SMALL)
    assert model(_images(32, 32))["attributes"].shape == (2, 2)
    assert not [layer.name for layer in model.layers if "subjective" in layer.name or layer.name == "spp3"]


def test_unknown_subjective_attribute():
    with pytest.raises(ValueError, match=r"\['Smilling'\] are not among the attributes \('Male', 'Smiling'\)"):
        DMMCNN((32, 32, 3), attributes=("Male", "Smiling"), subjective=("Smilling",), **SMALL)


def test_mixed_precision_answers_in_float32(mixed_precision):
    model = DMMCNN((32, 32, 3), **SMALL)
    outputs = model(_images(32, 32))
    assert {output.dtype.name for output in outputs.values()} == {"float32"}
    assert {weight.dtype.name for weight in model.trainable_weights} == {"float32"}
    assert model.get_layer("resnet10").output.dtype == "bfloat16"


def test_saved_and_loaded(tmp_path):
    model = DMMCNN((None, None, 3), **SMALL)
    model.save(f"{tmp_path}/model.keras")
    loaded = keras.models.load_model(f"{tmp_path}/model.keras")
    outputs = loaded(_images(40, 33))
    for name, expected in model(_images(40, 33)).items():
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-5, atol=1e-6)


def test_a_model_needs_neither_tfx_nor_beam():
    check = (
        "import json, sys; from keras_models import DMMCNN; "
        "print(json.dumps([m for m in ('tfx', 'apache_beam', 'tensorflow_transform', 'components', 'pipeline') "
        "if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
