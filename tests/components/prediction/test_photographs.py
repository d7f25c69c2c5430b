"""Files as people have them: found, read, or told why not."""

from __future__ import annotations

import importlib.util
import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from components.prediction.photographs import PhotographError, find_photographs, read_photograph

PIXELS = np.zeros((20, 30, 3), np.uint8)
PIXELS[:, :15] = (200, 40, 40)


def file_of(image: Image.Image, file_format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is as large as that, and has a few bytes of it."""
    chunks = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(bytes(100))
    written = (struct.pack(">I", len(each) - 4) + each + struct.pack(">I", zlib.crc32(each)) for each in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP"])
def test_every_format(tmp_path, file_format):
    path = tmp_path / f"image.{file_format.lower()}"
    path.write_bytes(file_of(Image.fromarray(PIXELS), file_format))
    assert [photograph.name for photograph in find_photographs([str(tmp_path)])[0]] == [path.name]
    pixels = read_photograph(str(path))
    assert pixels.shape == (20, 30, 3) and pixels.dtype == np.uint8
    assert np.abs(pixels[10, 3].astype(int) - (200, 40, 40)).max() < 30


@pytest.mark.parametrize("pixels", [np.full((4, 4), 0.5, np.float32), np.full((4, 4), 2**20, np.int32)])
def test_pixels_of_no_known_range_are_told(tmp_path, pixels):
    path = tmp_path / "depth.tiff"
    Image.fromarray(pixels).save(path)
    with pytest.raises(PhotographError, match="nothing says which is white: save it with 8 or 16 bits"):
        read_photograph(str(path))


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "RGBA", "CMYK"])
def test_every_mode_is_rgb(tmp_path, mode):
    path = tmp_path / "image"
    path.write_bytes(file_of(Image.fromarray(PIXELS).convert(mode), "JPEG" if mode == "CMYK" else "PNG"))
    assert read_photograph(str(path)).shape == (20, 30, 3)


def test_of_sixteen_bits_the_upper_eight(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(file_of(Image.fromarray(np.full((4, 5), 0x80FF, np.uint16)), "PNG"))
    assert (read_photograph(str(path)) == 0x80).all()


def test_a_photograph_is_upright(tmp_path):
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    path.write_bytes(file_of(Image.fromarray(PIXELS), "JPEG", exif=exif))
    pixels = read_photograph(str(path))
    assert pixels.shape == (30, 20, 3) and pixels[3, 10, 0] > 150 > pixels[26, 10, 0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"no image", "no image that Pillow can read"),
        (file_of(Image.fromarray(PIXELS), "JPEG")[:-200], "(?i)truncated"),
        (png_header(20_000, 20_000), "more than the 134,217,728 pixels"),
        (png_header(12_000, 12_000), "12,000 × 12,000 pixels, allowed are 134,217,728"),
    ],
    ids=["empty", "text", "cut", "bomb", "large"],
)
def test_what_cannot_be_read_says_why(tmp_path, content, reason):
    path = tmp_path / "image.jpg"
    path.write_bytes(content)
    with pytest.raises(PhotographError, match=reason):
        read_photograph(str(path))


def test_a_file_that_has_gone(tmp_path):
    with pytest.raises(PhotographError, match="No such file"):
        read_photograph(str(tmp_path / "gone.jpg"))


@pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is not None, reason="pillow-heif is installed")
def test_heic_says_what_to_install(tmp_path):
    path = tmp_path / "photo.HEIC"
    path.write_bytes(b"\0\0\0\x18ftypheic")
    assert len(find_photographs([str(tmp_path)])[0]) == 1
    with pytest.raises(PhotographError, match="pip install pillow-heif"):
        read_photograph(str(path))


def test_folders_files_and_patterns(tmp_path):
    for name in ("b.jpg", "a/c.PNG", "a/.hidden.png", ".trash/d.jpg", "notes.txt", "x.pdf", "e.data"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    found, others = find_photographs([str(tmp_path)])
    assert [photograph.name for photograph in found] == ["a/c.PNG", "b.jpg"]
    assert others == 3
    named, others = find_photographs([str(tmp_path / "e.data"), str(tmp_path / "*.jpg"), str(tmp_path / "b.jpg")])
    assert sorted(photograph.path for photograph in named) == [str(tmp_path / "b.jpg"), str(tmp_path / "e.data")]
    assert others == 0


@pytest.mark.parametrize("pattern", ["nothing/*.jpg", "none", "empty"])
def test_nothing_found_is_named(tmp_path, pattern):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=f"No photographs in '.*{pattern.split('/')[0]}"):
        find_photographs([str(tmp_path / pattern)])


def test_a_changed_file_has_another_version(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x")
    (before,) = find_photographs([str(path)])[0]
    path.write_bytes(b"xy")
    (after,) = find_photographs([str(path)])[0]
    assert before.version != after.version and before.name == after.name


def test_links_that_lead_nowhere_or_in_a_circle(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "again").symlink_to(tmp_path)
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    (elsewhere / "c.jpg").write_bytes(b"x")
    (tmp_path / "linked").symlink_to(elsewhere)
    found, _ = find_photographs([str(tmp_path)])
    assert [photograph.name for photograph in found] == ["a.jpg", "b.jpg", "linked/c.jpg"]
    with pytest.raises(PhotographError, match="No such file"):
        read_photograph(found[1].path)


def test_a_name_that_is_not_utf_8(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    with open(path, "wb") as file:
        file.write(b"x")
    ((photograph,), _) = find_photographs([str(tmp_path)])
    assert photograph.name == r"caf\xe9.jpg"
    with pytest.raises(PhotographError, match="its name isn't UTF-8"):
        read_photograph(photograph.path)


def test_a_pipe_is_no_photograph(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(PhotographError, match="this is no file"):
        read_photograph(str(tmp_path / "pipe.jpg"))


def test_of_two_folders_names_differ(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.jpg").write_bytes(b"x")
    found, _ = find_photographs([str(tmp_path / "a"), str(tmp_path / "b")])
    assert len({photograph.name for photograph in found}) == 2


def test_what_was_written_is_not_found(tmp_path):
    for name in ("a.jpg", "faces.csv.maps/0/a.jpg.1.parsing.png", "old.parquet.maps/0/a.jpg.1.parsing.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found, others = find_photographs([str(tmp_path)])
    assert [photograph.name for photograph in found] == ["a.jpg"] and others == 0
