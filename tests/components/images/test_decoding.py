"""decode_and_resize and decode_and_resize_labels: every kind of image, held against Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.images.decoding import checked_decode, decode_and_resize, decode_and_resize_labels, image_size
from components.record import RecordError

WIDTH, HEIGHT = 60, 44
X, Y = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))
PIXELS = np.stack([255 * X, 255 * Y, 127 + 100 * np.sin(6 * X) * np.cos(5 * Y)], axis=-1).round().astype(np.uint8)


def encode(mode="RGB", file_format="JPEG", pixels=PIXELS, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, file_format, **options)
    return file.getvalue()


def by_pillow(encoded: bytes, size=None) -> np.ndarray:
    image = Image.open(io.BytesIO(encoded)).convert("RGB")
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR) if size else image, float)


def decoded(encoded: bytes, size=(HEIGHT, WIDTH)) -> np.ndarray:
    return decode_and_resize(tf.constant(encoded), size).numpy()


@pytest.mark.parametrize(
    ("encoded", "tolerance"),
    [
        (encode(file_format="PNG"), 0),
        (encode("L", "PNG"), 0),
        (encode("P", "PNG"), 0),
        (encode("1", "PNG"), 0),
        (encode(quality=95), 8),  # the libraries smooth coarse chroma differently
        (encode(quality=95, progressive=True), 8),
        (encode(quality=95, subsampling=0), 4),
        (encode("L"), 2),
        (encode("CMYK"), 4),
    ],
    ids=["png", "grey png", "palette", "1 bit", "jpeg", "progressive", "4:4:4", "grey jpeg", "cmyk"],
)
def test_equals_pillow_at_the_image_s_own_size(encoded, tolerance):
    pixels = decoded(encoded)
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert pixels.dtype == np.uint8
    difference = np.abs(pixels - by_pillow(encoded))
    assert difference.max() <= tolerance
    assert difference.mean() <= 1.5  # TensorFlow decodes with the fast, less exact DCT


def test_the_size_is_in_the_headers():
    assert image_size(encode()[:800]) == image_size(encode(file_format="PNG")[:100]) == (HEIGHT, WIDTH)
    for damaged in (encode()[:100], b"no image"):
        with pytest.raises(RecordError, match="neither JPEG nor PNG, or its headers are damaged"):
            image_size(damaged)


def test_a_reason_is_without_the_graph_s_words():
    with pytest.raises(RecordError, match=r"^the image can't be decoded: [^{\[]+$"):
        checked_decode(tf.io.decode_jpeg, encode()[:-30], "image")


def test_sixteen_bits_become_the_upper_eight():
    deep = np.arange(0, 65536, 65536 // (HEIGHT * WIDTH) + 1, np.uint16)
    deep = np.resize(deep, (HEIGHT, WIDTH))
    file = io.BytesIO()
    Image.fromarray(deep).save(file, "PNG")
    np.testing.assert_array_equal(decoded(file.getvalue()), np.repeat((deep >> 8)[..., None], 3, axis=-1))


def test_alpha_is_dropped():
    alpha = np.full((HEIGHT, WIDTH, 1), 10, np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.concatenate([PIXELS, alpha], axis=-1)).save(file, "PNG")
    np.testing.assert_array_equal(decoded(file.getvalue()), PIXELS)


def test_grey_has_three_equal_channels():
    pixels = decoded(encode("L"))
    np.testing.assert_array_equal(pixels, np.repeat(pixels[..., :1], 3, axis=-1))


@pytest.mark.parametrize("size", [(22, 30), (16, 16), (88, 120), (1, 1), (88, 30), (44, 120)])
def test_resizing_equals_pillow(size):
    encoded = encode(file_format="PNG")
    assert np.abs(decoded(encoded, size) - by_pillow(encoded, size[::-1])).max() <= 1


def test_shrinking_does_not_alias():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    small = decoded(encode(file_format="PNG", pixels=stripes), (8, 8))
    assert np.abs(small.astype(int) - 127).max() <= 8


@pytest.mark.parametrize("size", [(12, 15), (24, 32), (90, 100)])
def test_a_crop_is_cut_out_before_it_is_resized(size):
    encoded, crop = encode(file_format="PNG"), [0.25, 0.1, 0.5, 0.35]  # rows 11 to 33, columns 6 to 27
    alone = encode(file_format="PNG", pixels=PIXELS[11:33, 6:27])
    cropped = decode_and_resize(tf.constant(encoded), size, tf.constant(crop))
    assert cropped.shape == (*size, 3) and cropped.dtype == tf.uint8
    np.testing.assert_array_equal(cropped, decoded(alone, size))


@pytest.mark.parametrize("size", [(22, 30), (16, 16), (88, 120), (HEIGHT, WIDTH)])
def test_cropped_to_the_whole_it_is_the_same(size):
    for encoded in (encode(), encode("L", "PNG"), encode(pixels=PIXELS[:20, :50]), encode("CMYK")):
        whole = decode_and_resize(tf.constant(encoded), size, tf.constant([0.0, 0.0, 1.0, 1.0]))
        np.testing.assert_array_equal(whole, decoded(encoded, size))


def label_map(labels: np.ndarray) -> tf.Tensor:
    file = io.BytesIO()
    Image.fromarray(labels).save(file, "PNG")
    return tf.constant(file.getvalue())


# At other sizes it may be rounding that decides between two pixels that are equally near.
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (22, 30), (16, 16), (88, 120), (32, 64), (128, 32)])
def test_labels_are_those_of_the_nearest_pixels(size):
    labels = np.random.default_rng(0).choice(np.array([0, 1, 7, 18, 255], np.uint8), (HEIGHT, WIDTH))
    resized = decode_and_resize_labels(label_map(labels), size)
    assert resized.shape == size
    assert resized.dtype == tf.uint8
    np.testing.assert_array_equal(resized, Image.fromarray(labels).resize(size[::-1], Image.Resampling.NEAREST))


def test_a_crop_of_labels_is_the_crop_of_their_image():
    labels = np.random.default_rng(0).choice(np.array([0, 1, 7, 18, 255], np.uint8), (HEIGHT, WIDTH))
    crop = tf.constant([0.25, 0.1, 0.5, 0.35])
    cropped = decode_and_resize_labels(label_map(labels), (44, 42), crop)
    np.testing.assert_array_equal(cropped, labels[11:33, 6:27].repeat(2, axis=0).repeat(2, axis=1))
    whole = decode_and_resize_labels(label_map(labels), (16, 16), tf.constant([0.0, 0.0, 1.0, 1.0]))
    np.testing.assert_array_equal(whole, decode_and_resize_labels(label_map(labels), (16, 16)))


@pytest.mark.parametrize("size", [(22, 30), (40, 40), (88, 120), (131, 77)])
def test_labels_lie_where_their_pixels_do(size):
    disc = (X - 0.4) ** 2 + (Y - 0.6) ** 2 < 0.09
    white = decoded(encode("L", "PNG", np.uint8(255 * disc)), size)[..., 0]
    labels = decode_and_resize_labels(label_map(np.uint8(disc)), size).numpy()
    # Where white and black are mixed the nearest pixel may be either.
    np.testing.assert_array_equal(labels[white == 255], 1)
    np.testing.assert_array_equal(labels[white == 0], 0)
    centres = [np.argwhere(part).mean(axis=0) / size for part in (white > 127, labels)]
    np.testing.assert_allclose(*centres, atol=0.5 / min(size))
