"""The recipe end to end on tiny images: what it leaves, and that a stopped run ends where an unbroken one does."""

import types

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from components.config import configured
from components.tasks.base import learning_of
from components.trainer.checkpoint import EpochCheckpoint
from components.trainer.recipe import Run
from components.trainer.supervised import Supervised
from tests.support import tiny_faces

pytestmark = pytest.mark.slow

DMM_CNN = configured(
    "keras_models.DMMCNN",
    num_landmarks=5,
    backbone="resnet10",
    backbone_width=8,
    attributes=list(tiny_faces.ATTRIBUTES),
    subjective=["F", "B"],
    objective_units=[8],
    subjective_units=[8],
    landmark_units=[8],
)
THRESHOLDS = configured("components.systems.dmm_cnn.adaptive.AdaptiveThresholds")
# The loss never falls by 100: the rate falls in the 3rd epoch, if the 1st and 2nd are remembered.
PLATEAU = configured(
    "tensorflow.keras.callbacks.ReduceLROnPlateau", monitor="val_loss", factor=0.5, patience=2, min_delta=100.0
)
DW = configured("components.systems.dmm_cnn.adaptive.DynamicWeights")
DWA = configured("components.systems.dmm_cnn.adaptive.DynamicWeightAverage")
AW = configured("components.systems.dmm_cnn.adaptive.AdaptiveWeighting", batch_size=7, window=2, every=2)
EARLY = configured("tensorflow.keras.callbacks.EarlyStopping", monitor="val_loss", patience=9)
ATTRIBUTES = (tiny_faces.SIGNED,)
MOVED = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
ONE_CYCLE = configured("components.trainer.schedules.one_cycle", peak=0.01)


@pytest.fixture(autouse=True)
def _no_stop():
    yield
    tiny_faces.StopAt.where = None


def test_what_a_run_leaves(tiny_files, tmp_path, in_bfloat16):
    tiny = tiny_faces.experiment(DMM_CNN, (THRESHOLDS, DW), learning_rate=ONE_CYCLE, precision="mixed_bfloat16")
    trained = tiny_faces.fit(tiny, tmp_path, tiny_files)
    assert keras.mixed_precision.global_policy().name == "float32"
    assert {layer.compute_dtype for layer in trained.network.layers} == {"float32"}
    assert len(trained.epochs) == 4
    for epoch in trained.epochs:
        scalars = {"loss", "attribute_loss", "landmark_loss", "learning_rate"}
        validated = {"val_loss", "val_attribute_loss", "val_landmark_loss"}
        lists = {f"attributes_{name}" for name in ("losses", "weights", "thresholds")}
        figures = {"val_attributes_accuracy", "val_landmarks_nme", "landmarks_nme_by_point"}
        assert epoch.keys() == scalars | validated | lists | figures
        assert {len(epoch[name]) for name in lists} == {6}
        assert np.mean(epoch["landmarks_nme_by_point"]) == pytest.approx(epoch["val_landmarks_nme"], rel=1e-4)
        assert np.mean(epoch["attributes_losses"]) == pytest.approx(epoch["val_attribute_loss"], rel=1e-4)
    assert trained.epochs[-1]["attributes_thresholds"] == trained.tasks["attributes"].thresholds.numpy().tolist()
    assert trained.epochs[-1]["attribute_loss"] < trained.epochs[0]["attribute_loss"]
    # 20 steps, of which 6 rise. What an epoch notes is the rate of its last step, counted from 0.
    cosine = [0.01 * (1 + np.cos(np.pi * (step - 6) / 14)) / 2 for step in (9, 14, 19)]
    rates = [epoch["learning_rate"] for epoch in trained.epochs]
    assert rates == pytest.approx([0.0004 + 0.0096 * 4 / 6, *cosine], abs=1e-7)
    assert list((tmp_path / "logs").rglob("*.by_name")) and list((tmp_path / "logs" / "validation").iterdir())
    assert trained.network(tf.zeros([1, *tiny_faces.SIZE, 3]))["attributes"].dtype == tf.float32
    assert trained.record == {"trained_in": "mixed_bfloat16"}


def test_the_same_seed_is_the_same_run(tiny_files, tmp_path):
    tiny = tiny_faces.experiment(callbacks=(THRESHOLDS, DW), epochs=2)
    tiny_faces.assert_same(*(tiny_faces.fit(tiny, tmp_path / run, tiny_files) for run in "ab"))


@pytest.fixture(scope="module")
def unbroken_and_continued(tiny_folder, tiny_files, tmp_path_factory):
    """Four epochs at a stretch; and four that are killed with SIGKILL in the third, then continued."""
    folder = tmp_path_factory.mktemp("killed")
    tiny = tiny_faces.experiment(callbacks=(THRESHOLDS, DW, PLATEAU, tiny_faces.STOP))
    tiny_faces.fit_and_be_killed(tiny, folder / "killed", tiny_folder, "2/3")
    assert tiny_faces.newest_save(folder / "killed") == 2
    return tuple(tiny_faces.fit(tiny, folder / run, tiny_files) for run in ("unbroken", "killed"))


def test_a_killed_run_continues_to_the_same_result(unbroken_and_continued):
    unbroken, continued = unbroken_and_continued
    tiny_faces.assert_same(continued, unbroken)


def test_the_plateau_is_remembered(unbroken_and_continued):
    for trained in unbroken_and_continued:
        rates = [epoch["learning_rate"] for epoch in trained.epochs]
        assert rates == pytest.approx([0.001, 0.001, 0.0005, 0.0005])


@pytest.mark.parametrize(
    ("callbacks", "where"),
    [
        ((THRESHOLDS, DW), (0, 2)),  # before the first save
        ((THRESHOLDS, DW), (1, "end")),  # the second epoch is trained, not saved
        ((DWA, THRESHOLDS), (2, 0)),
        ((AW,), (2, 4)),
        ((EARLY, PLATEAU), (3, 0)),
    ],
    ids=["dw-0-2", "dw-1-end", "dwa-2-0", "aw-2-4", "keras-3-0"],
)
def test_stopped_anywhere(tiny_files, tmp_path, callbacks, where):
    tiny = tiny_faces.experiment(tiny_faces.LINEAR, (*callbacks, tiny_faces.STOP), tasks=ATTRIBUTES)
    with tiny_faces.eagerly():
        unbroken = tiny_faces.fit(tiny, tmp_path / "unbroken", tiny_files)
        tiny_faces.StopAt.where = where
        with pytest.raises(tiny_faces.Stopped):
            tiny_faces.fit(tiny, tmp_path / "stopped", tiny_files)
        tiny_faces.StopAt.where = None
        continued = tiny_faces.fit(tiny, tmp_path / "stopped", tiny_files)
    tiny_faces.assert_same(continued, unbroken)


def test_a_finished_run_is_not_trained_again(tiny_files, tmp_path):
    tiny = tiny_faces.experiment(tiny_faces.LINEAR, (THRESHOLDS, DW), tasks=ATTRIBUTES, epochs=2)
    finished = tiny_faces.fit(tiny, tmp_path, tiny_files)
    tiny_faces.assert_same(tiny_faces.fit(tiny, tmp_path, tiny_files), finished)


def test_a_batch_in_parts_updates_as_a_whole(tmp_path):
    """A network without batch norm, on records that are all annotated."""
    records = [tiny_faces.serialized(number) for number in range(24)]
    files = {split: tiny_faces.write(tmp_path / split, records) for split in ("train", "validation")}
    whole, parts = (
        tiny_faces.fit(
            tiny_faces.experiment(tiny_faces.LINEAR, tasks=ATTRIBUTES, epochs=2, accumulate=n), tmp_path / str(n), files
        )
        for n in (1, 3)
    )
    tiny_faces.assert_same(parts, whole, rtol=1e-4, atol=1e-6)


def test_a_share_of_a_batch_that_has_no_such_parts(tiny_files, tmp_path):
    """A batch of 12 is 6 on each of two devices: no four parts."""
    tiny = tiny_faces.experiment(tiny_faces.LINEAR, tasks=ATTRIBUTES, accumulate=4)
    splits = ({name: tiny_files[name]} for name in ("train", "validation"))
    two_devices = types.SimpleNamespace(num_replicas_in_sync=2)
    recipe = Supervised(Run(tiny, tuple(tiny_faces.bound(*ATTRIBUTES)), *splits, str(tmp_path), None, two_devices))
    with pytest.raises(ValueError, match=r"12 on 2 devices can't be parted in 4 on each: .* multiple of 8"):
        recipe.build(None)


def test_nothing_is_restored_from_an_empty_folder(tmp_path):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD())
    model.build((None, 2))
    before = model.get_weights()
    assert EpochCheckpoint(str(tmp_path), []).restore(model) == 0
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_fewer_images_than_a_batch(tiny_files, tmp_path):
    tiny = tiny_faces.experiment(tiny_faces.LINEAR, tasks=ATTRIBUTES, batch_size=65, precision="mixed_bfloat16")
    with pytest.raises(ValueError, match="fewer images than one batch of 65"):
        tiny_faces.fit(tiny, tmp_path, tiny_files)
    assert keras.mixed_precision.global_policy().name == "float32"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A SavedModel of a convolutional network with thresholds, and the network."""
    folder = str(tmp_path_factory.mktemp("exported"))
    network = tiny_faces.convolutional_network((*tiny_faces.SIZE, 3))
    network.set_weights([np.full_like(weight, 0.01 * k) for k, weight in enumerate(network.get_weights())])
    tasks = {
        task.name: learning_of(task, tiny_faces.SIZE)
        for task in tiny_faces.bound(tiny_faces.SIGNED, tiny_faces.LANDMARKS)
    }
    tasks["attributes"].thresholds.assign(MOVED)
    tiny_faces.export_network(network, tasks, folder)
    return folder, network


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_warm_start_begins_with_the_exported_model(exported, tiny_files, tmp_path, precision, in_bfloat16):
    folder, network = exported
    tiny = tiny_faces.experiment(epochs=1, learning_rate=0.0, precision=precision)
    trained = tiny_faces.fit(tiny, tmp_path, tiny_files, warm_start=folder)
    for one, other in zip(trained.network.trainable_weights, network.trainable_weights, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(trained.tasks["attributes"].thresholds, MOVED)


def test_a_continued_run_does_not_start_warm_again(exported, tiny_files, tmp_path):
    tiny = tiny_faces.experiment(callbacks=(THRESHOLDS,), epochs=1)
    finished = tiny_faces.fit(tiny, tmp_path, tiny_files, warm_start=exported[0])
    tiny_faces.assert_same(tiny_faces.fit(tiny, tmp_path, tiny_files, warm_start=exported[0]), finished)


def test_a_warm_start_from_another_architecture_is_an_error(exported, tiny_files, tmp_path):
    tiny = tiny_faces.experiment(tiny_faces.LINEAR, tasks=ATTRIBUTES)
    with pytest.raises(ValueError, match="another architecture than the experiment's"):
        tiny_faces.fit(tiny, tmp_path, tiny_files, warm_start=exported[0])
