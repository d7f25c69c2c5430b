"""Whether a served model answered for an image, as its answers say it."""

from __future__ import annotations

import enum

from components.images.limits import MAX_BYTES, MAX_PIXELS, MAX_SIDE

STATUS = "image_status"  # the output's name


class Status(enum.IntEnum):
    """Whether an image was answered; if not, why."""

    ANSWERED = 0
    NOT_DECODED = 1
    NEITHER_JPEG_NOR_PNG = 2
    TOO_MANY_BYTES = 3
    TOO_LARGE = 4
    CROP_BEYOND_THE_IMAGE = 5
    REQUEST_TOO_LARGE = 6


WORDS = {
    Status.ANSWERED: "answered",
    Status.NOT_DECODED: "the file can't be decoded",
    Status.NEITHER_JPEG_NOR_PNG: "the file is neither JPEG nor PNG",
    Status.TOO_MANY_BYTES: f"the file has more than {MAX_BYTES:,} bytes",
    Status.TOO_LARGE: f"the image has more than {MAX_PIXELS:,} pixels, or more than {MAX_SIDE:,} on a side",
    Status.CROP_BEYOND_THE_IMAGE: "the crop is not four shares of the image's sides, within it and of some area",
    Status.REQUEST_TOO_LARGE: "with it, the request's label maps would be too large: send fewer images at once",
}
