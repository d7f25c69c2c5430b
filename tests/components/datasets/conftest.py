import io

import pytest
from PIL import Image


@pytest.fixture(scope="session")
def jpeg():
    """The bytes of a JPEG of one colour: jpeg(shade) differs from shade to shade."""

    def encode(shade: int = 0, size: tuple[int, int] = (178, 218)) -> bytes:
        file = io.BytesIO()
        Image.new("RGB", size, (shade, 0, 0)).save(file, "JPEG")
        return file.getvalue()

    return encode
