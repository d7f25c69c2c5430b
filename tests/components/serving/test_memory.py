"""What a served model may take, whatever it is sent: measured in a process of its own.

As a script: serves the requests that took most, one kind after the other, and prints what each added.
"""

from __future__ import annotations

import concurrent.futures
import io
import json
import os
import pathlib
import subprocess
import sys
import threading

import pytest

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parents[3]
# Two processors decode an image of 33.5 million pixels each, in 3 bytes a pixel and once more while it is turned or
# resized; the label maps of a request take 134 MB and are answered as one tensor more.
MOST = 800  # megabytes


def test_the_worst_requests_stay_below_a_bound():
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "tests.components.serving.test_memory"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    grown = json.loads(ended.stdout.splitlines()[-1])
    assert len(grown) == 4 and max(grown.values()) < MOST, grown


def _png(width: int, height: int) -> bytes:
    """Of one colour: a few kilobytes, whatever its size."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 90, 30)).save(file, "PNG")
    return file.getvalue()


def _jpeg(width: int, height: int) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.effect_noise((width, height), 40).convert("RGB").save(file, "JPEG")
    return file.getvalue()


class _Peak(threading.Thread):
    """Watches, while it is entered, what the process takes; `most` has it, in megabytes."""

    def __enter__(self):
        self._done, self.most = threading.Event(), 0.0
        self.start()
        return self

    def __exit__(self, *exception):
        self._done.set()
        self.join()

    def run(self):
        while not self._done.wait(0.005):
            self.most = max(self.most, _megabytes())


def _megabytes():
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Asks; prints the megabytes that each kind of request added at most, as JSON."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # on which the bound depends
    import tensorflow as tf

    from tests.support import serving

    module = serving.served(serving.colours(), *serving.COLOURS)
    module.from_images(tf.constant([_png(40, 48)]))
    requests = {
        "two of 16,000 on a side": [[_png(16_000, 1), _png(1, 16_000)]],
        "twelve megapixels": [[_jpeg(4000, 3000)]],
        "eight of 25 megapixels": [[_png(5000, 5000)] * 8],
        "four at once": [[_png(5500, 6000)]] * 4,
    }
    before, grown = _megabytes(), {}
    for name, batches in requests.items():
        with _Peak() as peak, concurrent.futures.ThreadPoolExecutor(len(batches)) as clients:
            list(clients.map(lambda batch: module.from_images(tf.constant(batch)), batches))
        grown[name] = round(peak.most - before)
    print(json.dumps(grown))


if __name__ == "__main__":
    main()
