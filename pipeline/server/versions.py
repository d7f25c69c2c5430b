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
        """Loads the newest version that can be loaded, if there is a newer one than the one that answers."""
        names = os.listdir(self.folder) if os.path.isdir(self.folder) else []
        for number in sorted((int(name) for name in names if name.isdecimal()), reverse=True):
            if self._current and number <= self._current.number:
                return
            try:
                model = tf.saved_model.load(os.path.join(self.folder, str(number)))
                signatures = dict(model.signatures) | {"": model.signatures["serving_default"]}
            except KeyError:
                self.failed[number] = "it has no signature serving_default: facetfx didn't export it"
                continue
            except Exception as error:
                # Of a version that is just being written this is no error: a later look finds it whole.
                self.failed[number] = " ".join(str(error).split())[:200]
                continue
            self.failed.pop(number, None)
            # The signatures are functions of the model's variables, which go with it.
            self._current = Version(number, signatures)
            self._model = model
            print(f"{self.name}: version {number} answers.", file=sys.stderr, flush=True)
            return

    def stop(self) -> None:
        """Looks for no newer version any more."""
        self._stopped.set()

    def _watch(self):
        while not self._stopped.wait(POLL_SECONDS):
            self.look()
