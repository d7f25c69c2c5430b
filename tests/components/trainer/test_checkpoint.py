"""What a run's checkpoint keeps of what comes first, and of a model that is replaced on the way."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from components.trainer.checkpoint import EpochCheckpoint


class Notes(tf.train.experimental.PythonState, keras.callbacks.Callback):
    """A callback with a text."""

    def __init__(self, text=""):
        super().__init__()
        self.text = text

    def serialize(self):
        return json.dumps(self.text)

    def deserialize(self, string_value):
        self.text = json.loads(string_value)


class Counter(keras.callbacks.Callback):
    """A callback with a number."""

    def __init__(self, count=0):
        super().__init__()
        self.count = count


def _model(units, value=0.0):
    """Two layers of so many units, all weights and moments at `value`, compiled and built."""
    model = keras.Sequential([keras.layers.Dense(units), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    model.build((None, 2))
    model.optimizer.build(model.trainable_variables)
    for variable in (*model.variables, *model.optimizer.variables[1:]):
        variable.assign(tf.cast(tf.fill(variable.shape, value), variable.dtype))
    return model


def _saved(folder):
    return sorted(path.stem for path in folder.glob("*.index"))


def test_one_callback_is_restored_before_there_is_a_model(tmp_path):
    kept = EpochCheckpoint(str(tmp_path), [Counter(3), Notes("wide")])
    kept.restore(_model(2))
    kept.on_epoch_end(0)
    counter, notes = Counter(), Notes()
    EpochCheckpoint(str(tmp_path), [counter]).restore_first(notes)
    assert (counter.count, notes.text) == (0, "wide")


def test_nothing_comes_first_in_an_empty_folder(tmp_path):
    notes = Notes("as it was")
    EpochCheckpoint(str(tmp_path / "none"), []).restore_first(notes)
    assert notes.text == "as it was"


@pytest.fixture
def replaced(tmp_path):
    """An epoch with a model of 2 units, of which the text is "narrow"; then one of 3 takes its place."""
    notes = Notes("narrow")
    checkpoint = EpochCheckpoint(str(tmp_path), [Counter(3), notes])
    checkpoint.restore(_model(2, 0.25))
    checkpoint.on_epoch_end(0)
    notes.text = "wide"
    model = _model(3, 0.5)
    checkpoint.replace(model)
    return checkpoint, model


def test_a_replaced_model_is_saved_at_once(replaced, tmp_path):
    assert _saved(tmp_path) == ["ckpt-1", "ckpt-2"]
    other, counter, notes = _model(3), Counter(), Notes()
    assert EpochCheckpoint(str(tmp_path), [counter, notes]).restore(other) == 1
    assert (counter.count, notes.text) == (3, "wide")
    for variable in (*other.variables, *other.optimizer.variables[1:]):
        np.testing.assert_array_equal(variable, tf.cast(tf.fill(variable.shape, 0.5), variable.dtype))


def test_training_goes_on_with_the_replaced_model(replaced, tmp_path):
    checkpoint, model = replaced
    model.layers[0].kernel.assign(tf.fill([2, 3], 0.75))
    checkpoint.on_epoch_end(1)
    assert _saved(tmp_path) == ["ckpt-2", "ckpt-3"]
    model.layers[0].kernel.assign(tf.zeros([2, 3]))
    checkpoint.on_train_begin()
    np.testing.assert_array_equal(model.layers[0].kernel, tf.fill([2, 3], 0.75))
    assert EpochCheckpoint(str(tmp_path), [Counter(), Notes()]).restore(_model(3)) == 2


def test_callbacks_have_the_replaced_model(replaced):
    checkpoint, model = replaced
    assert all(callback.model is model for callback in checkpoint._callbacks)


def test_the_old_save_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    checkpoint = EpochCheckpoint(str(tmp_path), [Notes("narrow")])
    checkpoint.restore(_model(2, 0.25))
    checkpoint.on_epoch_end(0)

    def fail(*_, **__):
        raise OSError("disk full")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(tf.train.Checkpoint, "_write", fail)
        checkpoint.replace(_model(3))
    assert _saved(tmp_path) == ["ckpt-1"]
    model, notes = _model(2), Notes()
    assert EpochCheckpoint(str(tmp_path), [notes]).restore(model) == 1
    assert notes.text == "narrow" and model.layers[0].kernel.numpy().tolist() == [[0.25] * 2] * 2


def _trained(folder, epochs):
    """So many epochs, each with all weights at its number."""
    checkpoint = EpochCheckpoint(str(folder), [])
    model = _model(2)
    checkpoint.restore(model)
    for epoch in range(epochs):
        model.layers[0].kernel.assign(tf.fill([2, 2], float(epoch + 1)))
        checkpoint.on_epoch_end(epoch)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-8])


def _spoil(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


DAMAGES = {
    "index removed": lambda folder: (folder / "ckpt-3.index").unlink(),
    "data removed": lambda folder: (folder / "ckpt-3.data-00000-of-00001").unlink(),
    "index cut": lambda folder: _cut(folder / "ckpt-3.index"),
    "data cut": lambda folder: _cut(folder / "ckpt-3.data-00000-of-00001"),
    "data empty": lambda folder: (folder / "ckpt-3.data-00000-of-00001").write_bytes(b""),
    "index empty": lambda folder: (folder / "ckpt-3.index").write_bytes(b""),
    "data spoilt": lambda folder: _spoil(folder / "ckpt-3.data-00000-of-00001"),
    "index spoilt": lambda folder: _spoil(folder / "ckpt-3.index"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_save_gives_way_to_the_one_before(tmp_path, damage, capsys):
    _trained(tmp_path, epochs=3)
    DAMAGES[damage](tmp_path)
    model = _model(2)
    checkpoint = EpochCheckpoint(str(tmp_path), [])
    assert checkpoint.restore(model) == 2
    assert model.layers[0].kernel.numpy().tolist() == [[2.0] * 2] * 2
    told = capsys.readouterr().err
    assert damage == "index removed" or f"{tmp_path}/ckpt-3 can't be read and is left out: " in told
    # It goes on from there, and what it saves is whole.
    model.layers[0].kernel.assign(tf.fill([2, 2], 7.0))
    checkpoint.on_epoch_end(2)
    again = _model(2)
    assert EpochCheckpoint(str(tmp_path), []).restore(again) == 3
    assert again.layers[0].kernel.numpy().tolist() == [[7.0] * 2] * 2


@pytest.mark.parametrize("names", ["*.index", "*.data*", "checkpoint", "*"])
def test_without_any_whole_save_training_begins_anew(tmp_path, names):
    _trained(tmp_path, epochs=3)
    for path in tmp_path.glob(names):
        path.write_bytes(b"")
    model = _model(2, 0.5)
    found = EpochCheckpoint(str(tmp_path), []).restore(model)
    assert found == (3 if names == "checkpoint" else 0)
    assert model.layers[0].kernel.numpy().tolist() == [[3.0 if found else 0.5] * 2] * 2
