"""Photographs as cameras store them, held against Pillow; and damaged Exif data, which must stop nothing."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from components.images.decoding import decode, image_size, upright_size_of
from components.images.orientation import orientation, turned
from components.tasks.reporting import decoded

TAG = 0x0112
STORED = np.zeros((16, 32, 3), np.uint8)
STORED[:8, :8], STORED[:8, 24:], STORED[8:, :8] = (250, 0, 0), (0, 250, 0), (0, 0, 250)


def photograph(stored: int, byte_order: bytes = b"MM", before: bytes = b"") -> bytes:
    """A JPEG whose Exif data have other tags around the orientation; `before` stands between its start and them."""
    exif = Image.Exif()
    exif.endian = "<" if byte_order == b"II" else ">"
    exif[0x010F], exif[TAG], exif[0x0131] = "a camera", stored, "its software"
    file = io.BytesIO()
    Image.fromarray(STORED).save(file, "JPEG", quality=100, subsampling=0, exif=exif)
    encoded = file.getvalue()
    return encoded[:2] + before + encoded[2:]


def by_pillow(encoded: bytes) -> np.ndarray:
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))), float)


@pytest.mark.parametrize("byte_order", [b"MM", b"II"])
@pytest.mark.parametrize("stored", range(1, 9))
def test_every_way_to_hold_a_camera(stored, byte_order):
    encoded = photograph(stored, byte_order)
    assert byte_order in encoded[:40]
    assert orientation(tf.constant(encoded)) == stored
    expected = by_pillow(encoded)
    np.testing.assert_allclose(decode(encoded), expected, atol=12)
    assert upright_size_of(encoded).numpy().tolist() == list(expected.shape[:2])
    assert image_size(encoded) == expected.shape[:2]


def test_a_report_shows_it_as_it_was_seen():
    assert decoded(photograph(6)).shape == (32, 16, 3)  # stored 16 high and 32 wide


def test_by_hand_a_photograph_of_a_camera_that_was_turned():
    # Rotated by 90 degrees clockwise for display: the left column from below becomes the upper row.
    image = tf.constant([[[1, 1, 1], [2, 2, 2], [3, 3, 3]], [[4, 4, 4], [5, 5, 5], [6, 6, 6]]], tf.uint8)
    assert turned(image, tf.constant(6, tf.int64)).numpy()[..., 0].tolist() == [[4, 1], [5, 2], [6, 3]]


def test_other_application_data_and_comments_stand_before_it():
    segments = b"\xff\xe0\x00\x06JFIF" + b"\xff\xfe\x00\x05abc" + b"\xff\xe1\x00\x08http:/"
    assert orientation(tf.constant(photograph(8, before=segments))) == 8


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_an_image_without_exif_data_stays_as_it_is(file_format):
    file = io.BytesIO()
    Image.fromarray(STORED).save(file, file_format)
    assert orientation(tf.constant(file.getvalue())) == 1
    assert upright_size_of(file.getvalue()).numpy().tolist() == [16, 32]


def test_an_orientation_that_there_is_none_of_is_as_stored():
    assert orientation(tf.constant(photograph(9))) == 1
    assert orientation(tf.constant(photograph(0))) == 1


@given(st.binary(max_size=300), st.integers(0, 120))
def test_damaged_exif_data_are_none(noise, start):
    encoded = photograph(6)
    assert 1 <= int(orientation(tf.constant(encoded[:start] + noise))) <= 8
    assert 1 <= int(orientation(tf.constant(encoded[:start] + noise + encoded[start + len(noise) :]))) <= 8
