"""Requests that nobody should send: images that are cut, spoilt, swollen, or none."""

from __future__ import annotations

import collections
import struct
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from components.images.status import STATUS, Status
from components.serving.module import ServingModule
from tests.support.serving import IMAGES, record

_PNG_SIZE = slice(16, 24)
_SIZES = (0, 1, 2, 7, 5_792, 16_384, 16_385, 100_000, 2**31 - 1)


def damaged(image: bytes, random: np.random.Generator) -> bytes:
    """An image with one kind of damage."""
    content = bytearray(image)
    kind = random.integers(7)
    if kind == 0:
        return bytes(content[: random.integers(len(content))])
    if kind == 1:
        for _ in range(random.integers(1, 20)):
            content[random.integers(len(content))] ^= 1 << random.integers(8)
    elif kind == 2:
        at = random.integers(len(content))
        content[at:at] = random.bytes(random.integers(1, 64))
    elif kind == 3:
        at = random.integers(len(content))
        del content[at : at + random.integers(1, 64)]
    elif kind == 4 and image.startswith(b"\x89PNG"):
        content[_PNG_SIZE] = struct.pack(">II", *random.choice(_SIZES, 2).tolist())
    elif kind == 5:
        return random.bytes(random.integers(200))
    else:
        content += random.bytes(random.integers(1, 200))
    return bytes(content)


def damaged_crop(random: np.random.Generator) -> list[float]:
    """Four numbers, most of them no crop."""
    return random.choice([0.0, 0.25, 0.5, 1.0, -1.0, 1e9, -1e9, np.nan, np.inf], 4).tolist()


def requests(count: int, seed: int) -> Iterator[tuple[str, list[bytes]]]:
    """Signatures and what they are sent: up to four images or records, the last one whole."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        images = [damaged(IMAGES[random.integers(len(IMAGES))], random) for _ in range(random.integers(4))]
        if random.random() < 0.5:
            yield "from_images", [*images, IMAGES[0]]
        else:
            records = [record(image, damaged_crop(random) if random.random() < 0.5 else None) for image in images]
            yield "from_examples", [*records, record(IMAGES[0])]


def answered(module: ServingModule, count: int, seed: int = 0) -> collections.Counter:
    """Sends requests; how many images had which status. AssertionError for an answer that is none."""
    counts: collections.Counter = collections.Counter()
    whole = module.from_images(tf.constant([IMAGES[0]]))
    for signature, values in requests(count, seed):
        answers = getattr(module, signature)(tf.constant(values))
        status = answers[STATUS].numpy()
        assert status[-1] == Status.ANSWERED, "a whole image beside damaged ones"
        for name, value in answers.items():
            assert len(value) == len(values), name
            assert np.isfinite(value.numpy()).all(), name
            last = value[-1].numpy()
            expected = whole[name][0].numpy()
            last = last[tuple(slice(side) for side in expected.shape)]
            np.testing.assert_allclose(last, expected, atol=1e-5, err_msg=name)
        counts.update(Status(code).name for code in status[:-1])
    return counts
