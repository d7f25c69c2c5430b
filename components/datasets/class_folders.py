"""What the data sets share that keep their images in a folder for each class."""

from __future__ import annotations

import tensorflow as tf

from components.tasks.segmentation.label_maps import IMAGE_SUFFIXES


def images_below(folder: str) -> list[str]:
    """The paths of all images below a folder, however deep, relative to it and with slashes, sorted.

    Hidden files are left out: unpacked on a Mac, an archive may bring a ._0.jpg beside each 0.jpg.
    """
    root = folder.rstrip("/")
    paths = []
    for place, _, names in tf.io.gfile.walk(root):
        below = place[len(root) :].strip("/")
        paths += [f"{below}/{name}".lstrip("/") for name in names if _is_image(name)]
    return sorted(paths)


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
