"""A run that is stopped anywhere continues from the last finished epoch to the same result."""

from __future__ import annotations

import json
import os
import sys
import time

import numpy as np
import tensorflow as tf
from tensorflow import keras

# Of a disk or a bucket that is away for a while. For files that are cut or spoilt TensorFlow has no class of its own.
_AWAY = (
    tf.errors.UnavailableError,
    tf.errors.PermissionDeniedError,
    tf.errors.ResourceExhaustedError,
    tf.errors.DeadlineExceededError,
)
_KEPT = (tf.Variable, tf.Module, tf.data.Iterator)


class _CallbackState(tf.train.experimental.PythonState):
    """The plain numbers among a callback's attributes (ReduceLROnPlateau's patience, say), for tf.train.Checkpoint."""

    def __init__(self, callback):
        self._callback = callback

    def serialize(self):
        numbers = {k: v for k, v in vars(self._callback).items() if isinstance(v, bool | int | float | np.number)}
        return json.dumps({k: v.item() if isinstance(v, np.number) else v for k, v in numbers.items()})

    def deserialize(self, string_value):
        vars(self._callback).update(json.loads(string_value))


class History(tf.train.experimental.PythonState, keras.callbacks.Callback):
    """What every epoch left, kept across restarts: logs, learning rate, what the model counts by attribute or class.

    Attributes:
        epochs: list of dicts; values are numbers or lists of numbers.
        seconds: that all epochs took, validation and saving among them; of a stopped run up to its last save.
        processor_seconds: likewise, of all threads.
    """

    def __init__(self):
        super().__init__()
        self.epochs = []
        self.seconds = self.processor_seconds = 0.0

    def on_train_begin(self, logs=None):
        self._clocks = time.monotonic(), time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        before, self._clocks = self._clocks, (time.monotonic(), time.process_time())
        self.seconds += self._clocks[0] - before[0]
        self.processor_seconds += self._clocks[1] - before[1]
        self.epochs.append(
            {
                **{name: float(value) for name, value in logs.items()},
                "learning_rate": float(keras.backend.get_value(self.model.optimizer.learning_rate)),
                **self.model.epoch_record(),
            }
        )

    def serialize(self):
        """For tf.train.Checkpoint."""
        return json.dumps([self.epochs, self.seconds, self.processor_seconds])

    def deserialize(self, string_value):
        """For tf.train.Checkpoint."""
        self.epochs, self.seconds, self.processor_seconds = json.loads(string_value)


class EpochCheckpoint(keras.callbacks.Callback):
    """Saves model, optimizer and callbacks after each epoch, and restores the last save before training.

    The last two are kept: where the last one can't be read, the one before is taken, and without any, training begins
    anew; stderr says what was left out.

    Args:
        folder: where the checkpoints lie; the same for a run and its continuation, another for any other run.
        callbacks: the other callbacks of the run, which stand before this one. Their tf.Variables, tf.Modules, tf.data
            iterators and plain numbers are part of the state.
        scratch: where this process saves instead, if another one of several machines writes to `folder`.
    """

    def __init__(self, folder: str, callbacks: list[keras.callbacks.Callback], scratch: str | None = None):
        super().__init__()
        self._folder = folder
        self._written = os.path.join(scratch, "checkpoints") if scratch else folder
        self._callbacks = list(callbacks)
        self._epochs_done = tf.Variable(0, dtype=tf.int64)
        self._current: str | None = None

    def restore(self, model: keras.Model) -> int:
        """Brings `model` (compiled, built) and the callbacks to the last save; returns the epochs done, 0 if none."""
        self._keep(model)
        self._current = newest_whole(self._folder)
        self._restore()
        return int(self._epochs_done)

    def restore_first(self, callback: tf.train.experimental.PythonState) -> None:
        """Keeps one more callback, which doesn't watch the training, and brings it alone to the last save.

        For what the model can't be built without.
        """
        if path := newest_whole(self._folder):
            state = {f"callback{len(self._callbacks)}": callback}
            tf.train.Checkpoint(**state).restore(path).expect_partial()
        self._callbacks.append(callback)

    def replace(self, model: keras.Model) -> None:
        """Saves at once `model`, which has another network or optimizer since the last save, and goes on with it."""
        saves = self._manager.checkpoint.save_counter
        self._keep(model)
        # The next number: a save under the last one's would be in its way until it is whole.
        self._manager.checkpoint.save_counter.assign(saves)
        self._current = self._manager.save()

    def _keep(self, model):
        """What is saved from now on."""
        states = {}
        for i, callback in enumerate(self._callbacks):
            callback.set_model(model)
            if isinstance(callback, tf.train.experimental.PythonState):
                states[f"callback{i}"] = callback
                continue
            states[f"callback{i}"] = _CallbackState(callback)
            kept = {k: v for k, v in vars(callback).items() if isinstance(v, _KEPT) and v is not model}
            states.update({f"callback{i}_{name}": value for name, value in kept.items()})
        model.optimizer.build(model.trainable_variables)
        checkpoint = tf.train.Checkpoint(
            model=model, optimizer=model.optimizer, epochs_done=self._epochs_done, **states
        )
        try:
            tf.train.get_checkpoint_state(self._written)
        except ValueError:  # TensorFlow's list of the saves is damaged: the manager wouldn't begin, and needs none
            tf.io.gfile.remove(os.path.join(self._written, "checkpoint"))
        self._manager = tf.train.CheckpointManager(checkpoint, self._written, max_to_keep=2)

    def on_train_begin(self, logs=None):
        # Keras' own callbacks have just forgotten what was restored (ReduceLROnPlateau its patience).
        self._restore()

    def on_epoch_end(self, epoch, logs=None):
        self._epochs_done.assign(epoch + 1)
        self._current = self._manager.save()

    def _restore(self):
        if self._current:
            self._manager.checkpoint.restore(self._current)


def newest_whole(folder: str) -> str | None:
    """The path of the newest save whose every tensor can be read; None if there is none. Says which were left out."""
    numbers = (
        int(os.path.basename(index).removeprefix("ckpt-").removesuffix(".index"))
        for index in tf.io.gfile.glob(os.path.join(folder, "ckpt-*.index"))
    )
    for number in sorted(numbers, reverse=True):
        path = os.path.join(folder, f"ckpt-{number}")
        try:
            reader = tf.train.load_checkpoint(path)
            for name, dtype in reader.get_variable_to_dtype_map().items():
                if dtype != tf.variant:  # a tf.data iterator's state can't be had as NumPy
                    reader.get_tensor(name)
        except _AWAY:
            raise
        except (tf.errors.OpError, ValueError, IndexError) as error:
            reason = str(error).splitlines()[0]
            print(f"  {path} can't be read and is left out: {reason}", file=sys.stderr)
        else:
            return path
    return None
