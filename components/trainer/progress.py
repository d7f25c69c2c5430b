"""How far training is, for the person who waits for it."""

from __future__ import annotations

import sys
import time

from tensorflow import keras
from tqdm import tqdm

from components.progress import LINE_SECONDS, REFRESH_SECONDS
from components.trainer.devices import has_gpu
from components.trainer.recipe import Stage

_CLEAR = "\x1b[K"  # what a terminal has from here to the end of the line
_LONG = 6 * 3600.0  # seconds that are left, from which on somebody who has no GPU is told so


class TrainingProgress(keras.callbacks.Callback):
    """One line on stderr while an epoch runs (steps, time left of the stage and of all), and its results when it ends.

    Args:
        stage: what is trained now.
        resumed: whether an earlier, stopped run did its first epochs.
    """

    def __init__(self, stage: Stage, resumed: bool = False):
        super().__init__()
        self._stage = stage
        self._resumed = resumed
        self._warned = False
        self._terminal = sys.stderr.isatty()
        self._to_the_end = _CLEAR if self._terminal else ""  # of a longer line that stood there
        self._interval = REFRESH_SECONDS if self._terminal else LINE_SECONDS

    def on_train_begin(self, logs=None):
        self._started = self._shown = time.monotonic()
        self._steady = None
        if self._resumed:
            print(f"Continuing after epoch {self._stage.first_epoch}.", file=sys.stderr)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        now = time.monotonic()
        if self._steady is None:
            # The first step builds the graph, which says nothing about the time left.
            self._steady = now
            return
        if now - self._shown < self._interval:
            return
        self._shown = now
        steps = self.params["steps"]
        done = (self._epoch - self._stage.first_epoch) * steps + batch + 1
        step_seconds = (now - self._steady) / (done - 1)
        left = step_seconds * ((self._stage.epochs - self._stage.first_epoch) * steps - done)
        of_all = left + step_seconds * self._stage.following
        line = f"  {self._heading(self._epoch)}, step {batch + 1}/{steps}, loss {logs['loss']:.4g}"
        if of_all > _LONG and not self._warned and not has_gpu():
            self._warned = True
            print(
                f"  At this rate the training takes another {of_all / 3600:,.0f} hours on processors alone: it is work "
                "for a GPU. Experiments whose names end in -tiny are for processors.",
                file=sys.stderr,
            )
        of_stage = f" of this stage, about {tqdm.format_interval(of_all)} of all" if self._stage.following else ""
        print(
            f"{line}, {tqdm.format_interval(left)} left{of_stage}{self._to_the_end}",
            end="\r" if self._terminal else "\n",
            file=sys.stderr,
            flush=True,
        )

    def on_epoch_end(self, epoch, logs=None):
        results = ", ".join(f"{name} {value:.4g}" for name, value in logs.items())
        elapsed = tqdm.format_interval(time.monotonic() - self._started)
        line = f"  {self._heading(epoch)} after {elapsed}: {results}{self._to_the_end}"
        print(line, file=sys.stderr, flush=True)

    def _heading(self, epoch):
        name = f"{self._stage.name}, " if self._stage.name else ""
        return f"{name}epoch {epoch + 1}/{self._stage.epochs}"
