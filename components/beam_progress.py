"""How far a Beam pipeline is, for the person who waits for it."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
import time
from typing import TextIO

import apache_beam as beam
from tqdm import tqdm

from components.progress import LINE_SECONDS, REFRESH_SECONDS

SILENT_SECONDS = 60.0


class ShowProgress:
    """Shows on stderr what runs, how far it is and the time left, while a Beam pipeline runs.

        with ShowProgress("Annotating landmarks", total=10_000, unit="images") as progress, beam.Pipeline() as pipeline:
            pipeline | ReadRecords() | beam.ParDo(SlowStep()) | progress.count() | ...

    `count` goes right behind the slow step; it passes elements through. On a terminal there is one line,
    drawn anew every second; elsewhere a plain line every ten seconds. A closing line says how many and how long, or
    where an exception stopped the pipeline.

    The workers of a local runner may be threads or processes: each appends one byte an element to a temporary file, and
    this process shows the file's size. The workers of a cluster have no such file and count nothing: the first and the
    last line remain, and the cluster's own page shows the rest. An engine waits for ever for workers that can't start:
    after a minute without a count a line says where to look.

    Args:
        label: what runs.
        total: how many elements will come; None if it isn't known.
        unit: what the elements are, in the plural.
        stream: where to write; None for stderr.
    """

    def __init__(self, label: str, total: int | None = None, unit: str = "records", stream: TextIO | None = None):
        self._label = label
        self._total = total
        self._unit = unit
        self._stream = stream or sys.stderr
        descriptor, self._path = tempfile.mkstemp(prefix="facetfx-progress-")
        os.close(descriptor)
        self._silence_told = False
        self._finished = threading.Event()
        self._drawing = threading.Thread(target=self._draw, daemon=True)

    def count(self, name: str = "CountProgress") -> beam.PTransform:
        """A transform that passes its elements through and counts them; give each use in a pipeline its own name."""
        return name >> beam.ParDo(_AppendByte(self._path))

    def __enter__(self) -> ShowProgress:
        self._started = time.monotonic()
        self._drawing.start()
        return self

    def __exit__(self, exception_type, exception, traceback) -> None:
        self._finished.set()
        self._drawing.join()
        # Beam may raise an interruption as an error of its own.
        interrupted = exception is not None and "KeyboardInterrupt" in f"{exception_type.__name__}: {exception}"
        stopped = None if exception is None else "" if interrupted else " by an error"
        self._say(closing_line(self._label, self._unit, self._counted(), self._elapsed(), stopped))
        os.unlink(self._path)

    def _draw(self) -> None:
        if self._stream.isatty():
            self._draw_bar()
        else:
            self._draw_lines()

    def _draw_bar(self) -> None:
        shown = {"desc": self._label, "total": self._total, "unit": f" {self._unit}", "file": self._stream}
        with tqdm(**shown, mininterval=0, miniters=0, leave=False, dynamic_ncols=True) as bar:
            while not self._finished.wait(REFRESH_SECONDS):
                bar.update(self._counted() - bar.n)
                self._tell_of_silence()

    def _draw_lines(self) -> None:
        self._say(f"{self._label} ..." if self._total is None else f"{self._label}: {self._total:,} {self._unit} ...")
        said, said_at, began = 0, self._elapsed(), 0.0
        while not self._finished.wait(REFRESH_SECONDS):
            counted, elapsed = self._counted(), self._elapsed()
            self._tell_of_silence()
            if not counted:
                began = elapsed  # workers are still starting, which says nothing about the time left
            if counted != said and elapsed - said_at >= LINE_SECONDS:
                rate = {"unit": f" {self._unit}", "rate": counted / (elapsed - began)}
                self._say(tqdm.format_meter(counted, self._total, elapsed, prefix=self._label, ncols=0, **rate))
                said, said_at = counted, elapsed

    def _tell_of_silence(self) -> None:
        if self._silence_told or self._counted() or self._elapsed() < SILENT_SECONDS:
            return
        self._silence_told = True
        tqdm.write(
            f"{self._label}: nothing was counted for {SILENT_SECONDS:.0f} seconds. Workers elsewhere don't count here: "
            "the page of their engine shows what they do, and what they print themselves why one can't start.",
            file=self._stream,
        )

    def _counted(self) -> int:
        return os.path.getsize(self._path)

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _say(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


def closing_line(label: str, unit: str, counted: int, seconds: float, stopped: str | None) -> str:
    """The last line; a count of 0 is left out, because the workers of a cluster don't count.

    Args:
        stopped: None if it ran to its end; else by what it didn't, " by an error", or "" for a person.
    """
    took = tqdm.format_interval(seconds)
    if stopped is not None:
        return f"{label}: stopped{stopped} after {counted:,} {unit}, {took}."
    if not counted:
        return f"{label}: done, {took}."
    return f"{label}: {counted:,} {unit} done, {took} ({counted / max(seconds, 1e-9):,.1f}/s)."


class _AppendByte(beam.DoFn):
    """Appends a byte to `path` for each element; does nothing where there is no such file.

    A worker process leaves its starter's group of processes: a terminal's Ctrl-C is for the one that shows the
    progress, and the workers, which end with it, would tell it in forty lines.
    """

    def __init__(self, path: str):
        self._path = path
        self._starter = os.getpid(), os.getpgid(0)
        self._descriptor = None

    def setup(self):
        if os.getpid() != self._starter[0] and os.getpgid(0) == self._starter[1]:
            with contextlib.suppress(PermissionError):  # the first process of a container
                os.setpgid(0, 0)
        try:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        except FileNotFoundError:
            self._descriptor = None

    def process(self, element):
        if self._descriptor is not None:
            os.write(self._descriptor, b".")
        yield element

    def teardown(self):
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
