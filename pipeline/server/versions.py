"""The versions of a pushed model: the newest answers, and gives way to a newer one when that has been loaded."""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
from collections.abc import Mapping

import tensorflow as tf

POLL_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class Version:
    """A version that is loaded; whoever holds it may ask it, whatever has been loaded since.

    Attributes:
        number: its folder's name.
        signatures: by name, functions of tensors.
    """

    number: int
    signatures: Mapping[str, tf.types.experimental.ConcreteFunction]


class Versions:
    """Watches the folder of a model, <folder>/<number>, and keeps its newest whole version loaded.

    Args:
        name: of the model.
        folder: that Pusher writes to.

    Raises:
        FileNotFoundError: if there is no version that can be loaded.
    """

    def __init__(self, name: str, folder: str):
        self.name = name
        self.folder = folder
        self.failed: dict[int, str] = {}  # by version, why it could not be loaded
        self._current: Version | None = None
        self._stopped = threading.Event()
        self.look()
        if self._current is None:
            reasons = "; ".join(f"version {number}: {reason}" for number, reason in self.failed.items())
            raise FileNotFoundError(f"No version of {name!r} can be loaded from {folder!r}. {reasons}".rstrip())
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def current(self) -> Version:
        """The one that answers."""
        assert self._current is not None
        return self._current

    def look(self) -> None:
        """Loads the newest version if it isn't loaded; one that can't be read is tried again at the next look."""
        names = os.listdir(self.folder) if os.path.isdir(self.folder) else []
        newest = max((int(name) for name in names if name.isdecimal()), default=0)
        if newest <= (self._current.number if self._current else 0):
            return
        try:
            model = tf.saved_model.load(os.path.join(self.folder, str(newest)))
        except Exception as error:
            # Of a version that is just being written this is no error: the next look finds it whole.
            self.failed[newest] = " ".join(str(error).split())[:200]
            return
        self.failed.pop(newest, None)
        # The signatures are functions of the model's variables, which go with it.
        self._current = Version(newest, dict(model.signatures) | {"": model.signatures["serving_default"]})
        self._model = model
        print(f"{self.name}: version {newest} answers.", file=sys.stderr, flush=True)

    def stop(self) -> None:
        """Looks for no newer version any more."""
        self._stopped.set()

    def _watch(self):
        while not self._stopped.wait(POLL_SECONDS):
            self.look()
