"""Folders as other people fill them."""

from __future__ import annotations

import tensorflow as tf


def listed(folder: str) -> list[str]:
    """The names in a folder, those of folders with a slash at the end where a bucket has it so.

    Raises:
        ValueError: for a name that isn't UTF-8, with the bytes that it has.
        tf.errors.OpError: if the folder can't be listed.
    """
    try:
        return tf.io.gfile.listdir(folder)
    except UnicodeDecodeError as error:
        raise ValueError(f"Folder {folder!r} has a name that is not UTF-8, {error.object!r}: rename it.") from error
