"""synthetic_faces: drawn faces with every kind of label, for trying and testing; no claim rests on them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from components.datasets.base import FaceDataset, Reference
from components.datasets.synthetic_faces.attributes import ATTRIBUTES, CLOTHING, EMOTIONS
from components.datasets.synthetic_faces.face import draw_face
from components.datasets.synthetic_faces.renderer import render
from components.tasks.annotation import Annotation, points
from components.tasks.segmentation.label_maps import CELEBAMASK_PARTS, encode_grey

_DRAWING = 1  # counts up when the same arguments give other images


class SyntheticFaces(FaceDataset):
    """Drawn faces with CelebA's 40 attributes, 68 landmarks, a 19-class label map, emotion and clothing.

    Nothing is read or downloaded: record i of a seed is drawn from (seed, i) alone, always to the same bytes. The
    splits follow each other in the numbering, so that they share no record.

    Args:
        num_train, num_validation, num_test: how many faces.
        image_size: width and height in pixels.
        seed: of all randomness.
        source: not used.
        **options: of tfds.core.GeneratorBasedBuilder.
    """

    name = "synthetic_faces"
    TERMS = "Drawn by this project, under its own licence, Apache 2.0; nobody is shown."
    OF_PEOPLE = False
    ANNOTATIONS = MappingProxyType(
        {
            "attributes": Annotation("multi_label", ATTRIBUTES),
            "landmarks": Annotation("landmarks", points(68)),
            "parsing": Annotation("segmentation", CELEBAMASK_PARTS),
            "emotion": Annotation("classification", EMOTIONS),
            "clothing": Annotation("classification", CLOTHING),
        }
    )

    def __init__(
        self,
        num_train: int = 1600,
        num_validation: int = 200,
        num_test: int = 200,
        image_size: int = 128,
        seed: int = 0,
        source: str | None = None,
        **options,
    ):
        self._sizes = {"train": num_train, "validation": num_validation, "test": num_test}
        self._image_size = image_size
        self._seed = seed
        super().__init__(source=source, **options)

    def paths(self) -> list[str]:
        """None: nothing can be missing."""
        return []

    def references(self) -> Iterator[Reference]:
        """Train, validation, test, numbered through."""
        index = 0
        for split, size in self._sizes.items():
            for _ in range(size):
                yield Reference(f"synthetic-{index:08d}", split, index)
                index += 1

    def read(self, reference: Reference) -> tuple[bytes, Mapping[str, Any]]:
        """A face, drawn."""
        face = draw_face(np.random.default_rng([self._seed, reference.payload]))
        drawn = render(face, self._image_size)
        return _jpeg(drawn.image), {
            "attributes": np.array([face.has(name) for name in ATTRIBUTES], np.int64),
            "landmarks": drawn.landmarks,
            "parsing": encode_grey(drawn.labels),
            "emotion": face.emotion,
            "clothing": face.clothing,
        }

    def fingerprint(self) -> str:
        """The arguments: all that the images depend on."""
        sizes = "-".join(map(str, self._sizes.values()))
        return f"drawing{_DRAWING}-{sizes}-{self._image_size}px-seed{self._seed}"


def _jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()


__all__ = ["SyntheticFaces"]
