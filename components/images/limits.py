"""What an image may be, for ingestion and serving alike: nothing is trained or measured that isn't answered."""

from __future__ import annotations

MAX_BYTES = 2**25  # of a file: 32 MiB
MAX_PIXELS = 2**25  # 33.5 million; a picture is decoded as a whole
MAX_SIDE = 2**14
