"""What is too large is told from an image's header, by the rule of the served models."""

import struct

import numpy as np
import pytest
import tensorflow as tf

from components.example_gen.checks import check_record
from components.images import limits
from components.record import FaceRecord, RecordError
from tests.support.serving import IMAGES, png

HEADER = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR"  # of a PNG, up to its size


def check(image):
    check_record(FaceRecord("a", "test", image), {})


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (
            HEADER + struct.pack(">II", 10_000, 9_000),
            "has 10,000 x 9,000 pixels, allowed are 33,554,432 and 16,384 on a",
        ),
        (HEADER + struct.pack(">II", 20_000, 1), "has 20,000 x 1 pixels"),
        (HEADER, "the image can't be decoded"),
        (IMAGES[0] + bytes(limits.MAX_BYTES), "bytes, allowed are 33,554,432"),
    ],
)
def test_what_is_too_large(image, reason):
    with pytest.raises(RecordError, match=reason):
        check(image)


def test_a_jpeg_that_is_too_large(monkeypatch):
    check(IMAGES[0])
    monkeypatch.setattr("components.example_gen.checks.MAX_SIDE", 63)
    with pytest.raises(RecordError, match=r"has 20 x 64 pixels, allowed are .* 63 on a side"):
        check(IMAGES[0])


def test_a_jpeg_whose_bytes_were_changed():
    """TensorFlow's decoder makes pixels of both, without a word."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    image = tf.io.encode_jpeg(pixels, quality=90).numpy()
    check(image)
    middle = len(image) // 2
    overwritten = image[:middle] + bytes(100) + image[middle + 100 :]
    inserted = image[:middle] + b"facetfx" + image[middle:]
    for damaged in (overwritten, inserted):
        assert tf.io.decode_jpeg(damaged, channels=3).shape == (64, 64, 3)
        with pytest.raises(RecordError, match="the image is damaged: Corrupt JPEG data"):
            check(damaged)


def test_a_side_as_long_as_allowed():
    check(png(np.zeros((1, limits.MAX_SIDE, 3))))
