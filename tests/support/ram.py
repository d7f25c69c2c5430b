"""Storage elsewhere, as a cluster has it: URIs of ram://, which no function for local files can open.

TensorFlow has such a file system itself; TFX and Beam learn of it here. What is written there is gone with the process.
"""

from __future__ import annotations

import io
import pathlib

import tensorflow as tf
from apache_beam.io.filesystem import CompressedFile, CompressionTypes, FileMetadata, FileSystem
from tfx.dsl.io import filesystem_registry
from tfx.dsl.io.plugins.tensorflow_gfile import TensorflowFilesystem

SCHEME = "ram"


class _Read(io.BytesIO):
    mode = "rb"


class _Written(io.BytesIO):
    """A file that is there when it is closed: TensorFlow's has no position while it is written."""

    mode = "wb"  # which Beam asks for

    def __init__(self, path: str):
        super().__init__()
        self._path = path

    def close(self):
        if not self.closed:
            with tf.io.gfile.GFile(self._path, "wb") as file:
                file.write(self.getvalue())
        super().close()


def listed(folder: str) -> list[str]:
    """The names in a folder."""
    return _that_are_there(folder, tf.io.gfile.listdir(folder))


def _that_are_there(folder, names):
    """TensorFlow finds `.extra` in `assets` where `assets.extra` is beside it."""
    stripped = (name.strip("/") for name in names)
    return [name for name in stripped if tf.io.gfile.exists(f"{folder.rstrip('/')}/{name}")]


class _OfTFX(TensorflowFilesystem):
    SUPPORTED_SCHEMES = (f"{SCHEME}://",)

    @staticmethod
    def listdir(path):
        return listed(path)

    @staticmethod
    def walk(top, topdown=True, onerror=None):
        for folder, folders, names in tf.io.gfile.walk(top, topdown, onerror):
            yield folder, folders, _that_are_there(folder, names)


class _OfBeam(FileSystem):
    @classmethod
    def scheme(cls):
        return SCHEME

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *(path.strip("/") for path in paths)])

    def split(self, path):
        folder, _, name = path.rpartition("/")
        return folder, name

    def mkdirs(self, path):
        if tf.io.gfile.isdir(path):
            raise OSError(f"{path} is there.")
        tf.io.gfile.makedirs(path)

    def has_dirs(self):
        return True

    def _list(self, dir_or_prefix):
        folder = dir_or_prefix.rstrip("/")
        names = listed(folder) if tf.io.gfile.isdir(folder) else []
        for path in (f"{folder}/{name}" for name in names):
            if tf.io.gfile.isdir(path):
                yield from self._list(path)
            else:
                yield self.metadata(path)

    def create(self, path, mime_type="application/octet-stream", compression_type=CompressionTypes.AUTO):
        return self._compressed(_Written(path), path, compression_type)

    def open(self, path, mime_type="application/octet-stream", compression_type=CompressionTypes.AUTO):
        return self._compressed(_Read(tf.io.gfile.GFile(path, "rb").read()), path, compression_type)

    def _compressed(self, file, path, compression_type):
        kind = self._get_compression_type(path, compression_type)
        return file if kind == CompressionTypes.UNCOMPRESSED else CompressedFile(file, kind)

    def copy(self, source_file_names, destination_file_names):
        for source, destination in zip(source_file_names, destination_file_names, strict=True):
            tf.io.gfile.copy(source, destination, overwrite=True)

    def rename(self, source_file_names, destination_file_names):
        for source, destination in zip(source_file_names, destination_file_names, strict=True):
            tf.io.gfile.rename(source, destination, overwrite=True)

    def exists(self, path):
        return tf.io.gfile.exists(path)

    def size(self, path):
        return self.metadata(path).size_in_bytes

    def last_updated(self, path):
        return self.metadata(path).last_updated_in_seconds

    def metadata(self, path):
        found = tf.io.gfile.stat(path)
        return FileMetadata(path, found.length, found.mtime_nsec / 1e9)

    def delete(self, paths):
        for path in paths:
            (tf.io.gfile.rmtree if tf.io.gfile.isdir(path) else tf.io.gfile.remove)(path)


def register() -> None:
    """TFX knows ram:// from now on; Beam does as soon as this is imported."""
    filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY.register(_OfTFX, priority=0)


def for_another_process(argument: str, folder: pathlib.Path) -> str:
    """A copy of what a URI of ram:// names, as a URI that is TensorFlow's alone, too; anything else as it is."""
    if not argument.startswith(f"{SCHEME}://"):
        return argument
    copy = folder / argument.removeprefix(f"{SCHEME}://")
    if tf.io.gfile.isdir(argument):
        copy.mkdir(parents=True, exist_ok=True)
        for name in listed(argument):
            for_another_process(f"{argument.rstrip('/')}/{name}", folder)
    else:
        copy.parent.mkdir(parents=True, exist_ok=True)
        tf.io.gfile.copy(argument, str(copy), overwrite=True)
    return copy.as_uri()
