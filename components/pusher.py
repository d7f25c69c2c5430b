"""Pusher: TFX's, but a version is there whole or not at all, and a model isn't pushed twice in a row."""

from __future__ import annotations

import os
import re
import time

from tfx.components.pusher import executor as tfx_executor
from tfx.components.pusher.component import Pusher as TfxPusher
from tfx.dsl.components.base import executor_spec
from tfx.dsl.io import fileio
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, proto_utils

_HIDDEN = ".pushing-"  # before the name of a version that is being copied: servers look at numbers alone
_GRAPH = "saved_model.pb"  # what servers wait for
# TensorFlow's, of a SavedModel: another for each training, the same in a copy.
_FINGERPRINT = "fingerprint.pb"


def holds_model(folder: str) -> bool:
    """Whether a folder holds a SavedModel with its weights."""
    return all(fileio.exists(os.path.join(folder, name)) for name in (_GRAPH, "variables/variables.index"))


def push(model: str, version: str) -> None:
    """Copies a SavedModel to the folder of a version, which a server finds with all its files or doesn't find.

    What stands there gives way when the copy is whole, what a push that was stopped left before. Where a folder can't
    be renamed at once, as in a bucket, the file that servers wait for comes last.
    """
    base, name = os.path.split(version)
    fileio.makedirs(base)
    for entry in fileio.listdir(base):
        if entry.startswith(_HIDDEN):
            fileio.rmtree(os.path.join(base, entry))
    in_place = "://" in version
    target = version if in_place else os.path.join(base, f"{_HIDDEN}{name}")
    if in_place:
        _remove(version)
    io_utils.copy_dir(model, target, deny_regex_patterns=[f"{re.escape(_GRAPH)}$"])
    io_utils.copy_file(os.path.join(model, _GRAPH), os.path.join(target, _GRAPH))
    if not in_place:
        _remove(version)  # what stands there stays until the copy is whole
        fileio.rename(target, version)


def latest_push(model: str, base: str) -> str | None:
    """The latest version under `base` if it is a copy of the SavedModel `model`, else None."""
    if not fileio.exists(base):
        return None
    names = (name.strip("/") for name in fileio.listdir(base))
    versions = [os.path.join(base, name) for name in sorted(filter(str.isdecimal, names), key=int)]
    if not versions or not holds_model(versions[-1]):
        return None
    wanted = _fingerprint(model)
    return versions[-1] if wanted is not None and _fingerprint(versions[-1]) == wanted else None


def _remove(folder):
    if fileio.exists(folder):
        fileio.rmtree(folder)


def _fingerprint(model):
    path = os.path.join(model, _FINGERPRINT)
    return fileio.open(path, "rb").read() if fileio.exists(path) else None


class Executor(tfx_executor.Executor):
    """As TFX's, which copies in place: a push that is stopped leaves a newest version that nobody can load."""

    def Do(self, input_dict, output_dict, exec_properties) -> None:
        """Pushes a blessed model to the next version of its folder, named by the second."""
        pushed = artifact_utils.get_single_instance(output_dict[standard_component_specs.PUSHED_MODEL_KEY])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            return
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(exec_properties[standard_component_specs.PUSH_DESTINATION_KEY], destination)
        base, model = destination.filesystem.base_directory, self.GetModelPath(input_dict)
        version = latest_push(model, base)
        if version is None:
            version = os.path.join(base, str(int(time.time())))
            push(model, version)
        self._MarkPushed(pushed, pushed_destination=version, pushed_version=os.path.basename(version))


class Pusher(TfxPusher):
    """TFX's component with that executor; arguments as there, with a folder as the destination."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
