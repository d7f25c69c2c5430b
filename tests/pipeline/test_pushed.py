"""A pushed model comes back as a Keras model, here and in a process that has imported Keras alone."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from tensorflow import keras

from keras_models import DMLCSR, DMMCNN, IFAN, MGGNet, MultiTaskNetwork, ThinVGG16
from keras_models.trained_network import TrainedNetwork
from pipeline.pushed import load, model_folder
from tests.support import tiny_tasks
from tests.support.serving import COLOURS, SIZE, colours, exported, learnt

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parents[2]
SIDE = (64, 64, 3)
NETWORKS = {
    "dmm_cnn": lambda: DMMCNN(SIDE, num_landmarks=5, backbone="resnet10", backbone_width=8),
    "mgg_net": lambda: MGGNet(SIDE, backbone="resnet10", backbone_width=4),
    "dml_csr": lambda: DMLCSR(SIDE, num_classes=5, backbone_blocks=(1, 1, 1, 1), backbone_width=8, head_width=32),
    "ifan": lambda: IFAN(SIDE, {"parsing": 5, "landmarks": 5, "emotion": 3}, iterations=1, **tiny_tasks.SMALL),
    "branching": lambda: ThinVGG16(SIDE, width=8, num_tasks=3),
    "plain": lambda: MultiTaskNetwork(
        SIDE, {"age": 1, "mask": 3}, maps=["mask"], backbone="resnet10", backbone_width=8
    ),
}
FRESH = """
import pathlib, sys
import numpy as np
from tensorflow import keras
for path in pathlib.Path(sys.argv[1]).glob("*.keras"):
    answers = keras.models.load_model(path)(np.full((1, 64, 64, 3), 90.0), training=False)
    np.savez(path.with_suffix(".npz"), **{name: value.numpy() for name, value in answers.items()})
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "serving" / "plain-colours"
    (folder / "13" / "assets.extra").mkdir(parents=True)  # which is being written
    for version in ("2", "12"):
        exported(colours(), learnt(*COLOURS), folder / version)
    return folder


def test_by_experiment_or_folder(folder, monkeypatch):
    monkeypatch.setenv("OUTPUT_DIR", str(folder.parents[1]))
    assert model_folder("plain/colours") == model_folder(str(folder)) == str(folder / "12")
    assert model_folder(str(folder / "2")) == str(folder / "2")
    model = load("plain/colours")
    assert model.input_shape == (None, *SIZE, 3)
    assert model(np.full((1, *SIZE, 3), 51.0))["age"].numpy() == pytest.approx(0.2)


def test_a_model_of_an_earlier_version(folder, tmp_path):
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "saved_model.pb").touch()
    (tmp_path / "assets.extra" / "contract.json").write_text('{"version": 1}')
    with pytest.raises(ValueError, match="is of an earlier facetfx: train it again"):
        load(str(tmp_path))


def test_what_is_no_model(folder, tmp_path):
    for wrong in (None, 3):
        with pytest.raises(TypeError, match=f"A model is named by an experiment or a folder; received {wrong}"):
            load(wrong)
    with pytest.raises(FileNotFoundError, match=r"saved_model.pb' is a file: name the folder of the model"):
        load(str(folder / "12" / "saved_model.pb"))
    copy = shutil.copytree(folder / "12", tmp_path / "copy" / "12")
    (copy / "assets.extra" / "trained.keras").unlink()
    with pytest.raises(FileNotFoundError, match=r"copy/12' has no assets.extra/trained.keras: train it again"):
        load(str(copy))
    (copy / "assets.extra" / "contract.json").write_text('{"version":')
    with pytest.raises(ValueError, match=r"contract.json' is damaged .*: push the model again"):
        load(str(copy))


def test_a_pushed_model_as_h5(folder, tmp_path):
    load(str(folder)).save(tmp_path / "trained.h5")
    code = "import sys, keras_models; from tensorflow import keras; print(keras.models.load_model(sys.argv[1]).name)"
    command = [sys.executable, "-c", code, str(tmp_path / "trained.h5")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == load(str(folder)).name, done.stderr[-2000:]


def test_none(tmp_path, monkeypatch):
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="No experiment is called 'no/such'"):
        load("no/such")


WITHOUT = """
import sys
sys.modules["keras_models"] = None  # as where it isn't installed
from tensorflow import keras
keras.models.load_model(sys.argv[1])
"""


@pytest.fixture(scope="module")
def networks():
    return {name: build() for name, build in NETWORKS.items()}


@pytest.mark.parametrize("names", [("mgg_net",), tuple(NETWORKS)], ids=lambda names: f"{len(names)}")
def test_networks_in_a_fresh_process(tmp_path, networks, names):
    # One alone, too: of several the first may import what the others need.
    for name in names:
        TrainedNetwork.of(networks[name]).save(tmp_path / f"{name}.keras")
    subprocess.run([sys.executable, "-c", FRESH, str(tmp_path)], check=True, cwd=ROOT, capture_output=True)
    for name in names:
        expected = networks[name](np.full((1, *SIDE), 90.0), training=False)
        with np.load(tmp_path / f"{name}.npz") as answers:
            assert set(answers) == set(expected)
            for output, values in expected.items():
                np.testing.assert_allclose(answers[output], values, atol=1e-5, err_msg=f"{name}: {output}")


def test_without_facetfx_it_is_said_what_is_missing(tmp_path, networks):
    TrainedNetwork.of(networks["mgg_net"]).save(tmp_path / "model.keras")
    command = [sys.executable, "-c", WITHOUT, str(tmp_path / "model.keras")]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "its parent module keras_models.trained_network cannot be imported" in ended.stderr


@pytest.mark.parametrize("name", NETWORKS)
def test_h5_comes_back_or_is_refused(tmp_path, networks, name):
    network, path = networks[name], tmp_path / "model.h5"
    if name == "branching":
        with pytest.raises(ValueError, match=r"VGG16.*\.h5.*save it as \.keras"):
            network.save(path)
        return
    network.save(path)
    back = keras.models.load_model(path)
    for ours, theirs in zip(network.weights, back.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
