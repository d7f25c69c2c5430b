"""Photographs as people have them: found in folders and patterns, read in whatever format Pillow reads."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import os
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

from components.prediction.places import FOLDERS

MAX_PIXELS = 2**27  # 134 million, which take 400 MB
_HEIC = (".heic", ".heif")
_HEIC_BRANDS = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc")  # how such a file says what it is
_OTHERS_THAN_PHOTOGRAPHS = (".pdf", ".eps", ".ps", ".mpg", ".mpeg")  # which Pillow knows, too


class PhotographError(ValueError):
    """A photograph that can't be read; the message is the reason."""


@dataclasses.dataclass(frozen=True)
class Photograph:
    """A file that was found.

    Attributes:
        path: that tf.io.gfile reads.
        name: below the folder that was asked for; else the path.
        version: changes when the file does.
    """

    path: str
    name: str
    version: str


def find_photographs(patterns: Sequence[str]) -> tuple[list[Photograph], int]:
    """The photographs of files, folders (with all below them) and patterns, in the order of their names.

    A million take about 500 MB. Folders that answers were written to are none of photographs.

    Returns:
        They, and how many files of the folders have another suffix than an image's. What is named itself is taken
        whatever its suffix.

    Raises:
        FileNotFoundError: naming it, if a pattern fits nothing.
    """
    found, others = {}, 0
    suffixes = _suffixes()
    for pattern in patterns:
        is_folder = tf.io.gfile.isdir(pattern)
        if is_folder:
            files = list(_below(pattern))
            images = [file for file in files if file.lower().endswith(suffixes) or os.path.isdir(file)]
            others += len(files) - len(images)
        else:
            images = [pattern] if tf.io.gfile.exists(pattern) else tf.io.gfile.glob(pattern)
            images = [image for image in images if not tf.io.gfile.isdir(image)]
        if not images:
            raise FileNotFoundError(f"No photographs in {pattern!r}: expected a file, a folder or a pattern of files.")
        # Of several folders two may have a photograph of one name.
        base = pattern if is_folder and len(patterns) == 1 else None
        for path in images:
            found[path] = _readable(os.path.relpath(path, base) if base else path)
    photographs = (Photograph(path, name, _version(path)) for path, name in found.items())
    return sorted(photographs, key=lambda photograph: photograph.name), others


def _below(folder: str) -> Iterator[str]:
    """All files, without hidden ones; also folders that can't be looked into, for a row that says so."""
    unreadable: list[str] = []
    if "://" in folder:
        walk = tf.io.gfile.walk(folder)
    else:  # Python's own reads names that aren't UTF-8
        walk = os.walk(folder, onerror=lambda error: unreadable.append(error.filename), followlinks=True)
    seen = {os.path.realpath(folder)}
    for parent, folders, files in walk:
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not name.lower().endswith(FOLDERS))
        # Links may lead in a circle.
        real = {name: os.path.realpath(os.path.join(parent, name)) for name in folders}
        folders[:] = [name for name in folders if real[name] not in seen]
        seen.update(real.values())
        yield from (os.path.join(parent, name) for name in sorted(files) if not name.startswith("."))
    yield from unreadable


def _readable(name):
    """A name in whatever bytes as one that can be written."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _version(path):
    try:
        stat = tf.io.gfile.stat(path)
    except (tf.errors.OpError, TypeError):  # a link to nothing, a name that TensorFlow takes for none: reading it says
        return ""
    return f"{stat.length}:{stat.mtime_nsec}"


def _suffixes() -> tuple[str, ...]:
    Image.init()
    readable = {suffix for suffix, name in Image.EXTENSION.items() if name in Image.OPEN}
    return tuple(readable.difference(_OTHERS_THAN_PHOTOGRAPHS).union(_HEIC))


def read_photograph(path: str) -> np.ndarray:
    """A file's pixels, [H, W, 3] uint8 RGB, turned as its Exif data say.

    Raises:
        PhotographError: for what can't be read, whatever the cause.
    """
    try:
        if "://" not in path and os.path.exists(path) and not os.path.isfile(path):
            # Reading a pipe would wait for ever.
            raise PhotographError("this folder can't be read" if os.path.isdir(path) else "this is no file")
        with tf.io.gfile.GFile(path, "rb") as file:
            encoded = file.read()
    except tf.errors.OpError as error:
        raise PhotographError(" ".join(str(error.message).split())[:200]) from error
    except TypeError as error:
        raise PhotographError("its name isn't UTF-8: give it another one") from error
    return decoded(encoded)


def decoded(encoded: bytes) -> np.ndarray:
    """An image file's pixels; errors as of `read_photograph`."""
    if not encoded:
        raise PhotographError("the file is empty")
    is_heic = encoded[4:12] in _HEIC_BRANDS
    if is_heic and importlib.util.find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener()
    try:
        return _pixels(encoded)
    except PhotographError:
        raise
    except UnidentifiedImageError as error:
        if is_heic:
            raise PhotographError("HEIC is read with the package pillow-heif: pip install pillow-heif") from error
        raise PhotographError("this is no image that Pillow can read") from error
    except Image.DecompressionBombError as error:
        raise PhotographError(f"it has more than the {MAX_PIXELS:,} pixels that are allowed") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise PhotographError(" ".join(str(error).split())[:200] or type(error).__name__) from error


def _pixels(encoded):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is ours
        with Image.open(io.BytesIO(encoded)) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise PhotographError(f"it has {width:,} × {height:,} pixels, allowed are {MAX_PIXELS:,}")
            seen = ImageOps.exif_transpose(image)
            if seen.mode == "F":
                raise PhotographError(
                    "its pixels are floats, and nothing says which is white: save it with 8 or 16 bits"
                )
            if seen.mode.startswith("I"):  # 16 bits, of which Pillow would keep the lower eight
                numbers = np.asarray(seen).astype(np.int64)
                if numbers.min() < 0 or numbers.max() >= 2**16:
                    raise PhotographError(
                        "its pixels have 32 bits, and nothing says which is white: save it with 8 or 16 bits"
                    )
                seen = Image.fromarray((numbers >> 8).astype(np.uint8))
            return np.asarray(seen.convert("RGB"))
