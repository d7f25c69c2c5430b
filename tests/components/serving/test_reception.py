"""What a request sends: what is decoded, what is not and why, before memory is taken for it."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from components.images.crop import WHOLE
from components.images.limits import MAX_BYTES, MAX_SIDE
from components.images.status import Status
from components.serving.reception import admitted, receive
from tests.support import fuzz, serving
from tests.support.serving import IMAGES, SIZE, pixels, png, seen


def received(*images, crops=None):
    return [each.numpy() for each in receive(tf.constant(images), tf.constant(crops or [WHOLE] * len(images)), SIZE)]


def header(width, height):
    """A PNG of black pixels of one bit whose data nobody wrote: only its header can be read."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))


def encoded(file_format):
    file = io.BytesIO()
    PIL.Image.new("RGB", (8, 8)).save(file, file_format)
    return file.getvalue()


def test_images_are_decoded_as_ever():
    images, sizes, status = received(*IMAGES)
    np.testing.assert_array_equal(images, np.concatenate([seen(image) for image in IMAGES]))
    expected = [PIL.Image.open(io.BytesIO(image)).size[::-1] for image in IMAGES]
    assert sizes.tolist() == [list(size) for size in expected] and not status.any()


def test_each_image_has_its_crop():
    """The lower half of the second, rows 24 to 47 of 48."""
    image = png(pixels(IMAGES[5]))
    half = png(pixels(IMAGES[5])[24:])
    images, sizes, _ = received(image, image, half, crops=[WHOLE, (0.5, 0.0, 0.5, 1.0), WHOLE])
    np.testing.assert_array_equal(images[1], images[2])
    assert sizes.tolist() == [[48, 40], [48, 40], [24, 40]]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (b"", Status.NEITHER_JPEG_NOR_PNG),
        (b"no image", Status.NEITHER_JPEG_NOR_PNG),
        (encoded("GIF"), Status.NEITHER_JPEG_NOR_PNG),
        (encoded("BMP"), Status.NEITHER_JPEG_NOR_PNG),
        (IMAGES[0][:200], Status.NOT_DECODED),
        (IMAGES[0][:3], Status.NOT_DECODED),
        (png(np.zeros((8, 8, 3)))[:40], Status.NOT_DECODED),
        (png(np.zeros((8, 8, 3)))[:10], Status.NOT_DECODED),
        (header(8, 8), Status.NOT_DECODED),
        (header(20_000, 1), Status.TOO_LARGE),
        (header(10_000, 10_000), Status.TOO_LARGE),
        (header(2**31 - 1, 2**31 - 1), Status.TOO_LARGE),
        (header(0, 8), Status.TOO_LARGE),
        (IMAGES[0] + bytes(MAX_BYTES), Status.TOO_MANY_BYTES),
    ],
    ids=lambda value: value.name if isinstance(value, Status) else f"{len(value)} bytes",
)
def test_what_is_not_answered_says_why_and_changes_nothing_for_its_neighbours(image, expected):
    images, sizes, status = received(IMAGES[0], image, IMAGES[1])
    assert status.tolist() == [0, expected, 0]
    assert not images[1].any() and sizes[1].tolist() == [1, 1]
    np.testing.assert_array_equal(images[[0, 2]], np.concatenate([seen(IMAGES[0]), seen(IMAGES[1])]))


def test_a_side_as_long_as_allowed():
    _, sizes, status = received(png(np.zeros((1, MAX_SIDE, 3))))
    assert status.tolist() == [0] and sizes.tolist() == [[1, MAX_SIDE]]


@pytest.mark.parametrize(
    "crop", [(0.2, 0.2, 0.9, 0.5), (-0.01, 0, 1, 1), (np.nan,) * 4, (0, 0, 0, 1), (0, 0, np.inf, 1)]
)
def test_a_crop_that_is_none(crop):
    _, _, status = received(IMAGES[0], IMAGES[0], crops=[crop, (0.1, 0.1, 0.9, 0.9)])
    assert status.tolist() == [Status.CROP_BEYOND_THE_IMAGE, 0]


def test_none_of_a_request_may_be_an_image():
    images, _, status = received(b"a", b"b")
    assert status.tolist() == [Status.NEITHER_JPEG_NOR_PNG] * 2 and not images.any()


def test_admitted_worked_by_hand():
    # 4 x 5 = 20; with it 2 x (6 x 5) = 60; 3 x (6 x 9) = 162 is too large; 3 x (6 x 5) = 90 with the last.
    sizes, status = [[4, 5], [6, 2], [1, 9], [9, 9], [3, 3]], [0, 0, 0, Status.NOT_DECODED, 0]
    found = admitted(tf.constant(sizes), tf.constant(status, tf.int64), 100)
    assert found.numpy().tolist() == [0, 0, Status.REQUEST_TOO_LARGE, Status.NOT_DECODED, 0]


def test_requests_that_nobody_should_send():
    """A few hundred; tests/benchmarks/serving_fuzz.py sends thousands."""
    counts = fuzz.answered(serving.served(serving.colours(), *serving.COLOURS), 200)
    assert sum(counts.values()) > 200 and set(counts) > {"ANSWERED", "NOT_DECODED", "CROP_BEYOND_THE_IMAGE"}
