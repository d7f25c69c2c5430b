"""ShowProgress: it counts in threads and bundles, says where it stopped, and passes elements through."""

from __future__ import annotations

import io
import os
import pickle

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from components import beam_progress
from components.beam_progress import ShowProgress, closing_line


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("mode", ["in_memory", "multi_threading"])
def test_counts_all_elements_and_passes_them_through(mode):
    stream = io.StringIO()
    options = PipelineOptions(direct_running_mode=mode, direct_num_workers=2)
    with ShowProgress("Counting", 1200, "numbers", stream) as shown, beam.Pipeline(options=options) as pipeline:
        first = pipeline | "First" >> beam.Create(range(1000)) | beam.Reshuffle() | shown.count("CountFirst")
        second = pipeline | "Second" >> beam.Create(range(200)) | shown.count("CountSecond")
        assert_that(first, equal_to(range(1000)))
        assert_that(second, equal_to(range(200)), label="second")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "Counting: 1,200 numbers ..."
    assert lines[-1].startswith("Counting: 1,200 numbers done, 00:")


def test_a_terminals_interruption_does_not_reach_worker_processes():
    options = PipelineOptions(direct_running_mode="multi_processing", direct_num_workers=1)
    here = os.getpgid(0)
    with ShowProgress("Counting", 3, stream=io.StringIO()) as shown, beam.Pipeline(options=options) as pipeline:
        counted = pipeline | beam.Create(range(3)) | shown.count()
        assert_that(counted | beam.Map(lambda _: os.getpgid(0) != here), equal_to([True] * 3))
    assert os.getpgid(0) == here


def test_an_error_is_not_called_done():
    stream = io.StringIO()
    with pytest.raises(RuntimeError, match="disk"), ShowProgress("Reading", 5, stream=stream) as shown:
        feed(shown, 3)
        raise RuntimeError("disk full")
    assert stream.getvalue().splitlines()[-1] == "Reading: stopped by an error after 3 records, 00:00."


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("KeyboardInterrupt [while running 'Read']")])
def test_an_interruption_is_no_error(error):
    stream = io.StringIO()
    with pytest.raises(type(error)), ShowProgress("Reading", 5, stream=stream) as shown:
        feed(shown, 3)
        raise error
    assert stream.getvalue().splitlines()[-1] == "Reading: stopped after 3 records, 00:00."


def test_elsewhere_than_on_a_terminal_there_are_plain_lines(monkeypatch):
    monkeypatch.setattr(beam_progress, "REFRESH_SECONDS", 0.05)
    monkeypatch.setattr(beam_progress, "LINE_SECONDS", 0.1)
    stream = io.StringIO()
    with ShowProgress("Reading", 4, "faces", stream) as shown:
        feed(shown, 1)
        shown._finished.wait(0.5)
    said = stream.getvalue()
    assert "\r" not in said
    assert sum("25% 1/4" in line for line in said.splitlines()) == 1  # one line, because the count didn't change again


@pytest.mark.parametrize("total", [4, None])
def test_on_a_terminal_there_is_one_line(monkeypatch, total):
    monkeypatch.setattr(beam_progress, "REFRESH_SECONDS", 0.05)
    stream = Terminal()
    with ShowProgress("Reading", total, "faces", stream) as shown:
        feed(shown, 1)
        shown._finished.wait(0.5)
    said = stream.getvalue()
    assert ("1/4" if total else "1 faces") in said
    assert said.count("\n") == 1  # the closing line's


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
@pytest.mark.parametrize(("counted", "times"), [(0, 1), (2, 0)])
def test_where_to_look_when_no_worker_counts(monkeypatch, stream, counted, times):
    monkeypatch.setattr(beam_progress, "REFRESH_SECONDS", 0.05)
    monkeypatch.setattr(beam_progress, "SILENT_SECONDS", 0.2)
    said = stream()
    with ShowProgress("Reading", 4, stream=said) as shown:
        feed(shown, counted)
        shown._finished.wait(0.6)
    assert said.getvalue().count("what they print themselves why one can't start") == times


def test_a_worker_without_the_file_passes_elements_through():
    with ShowProgress("Reading", stream=io.StringIO()) as shown:
        counter = beam_progress._AppendByte(shown._path)
    assert not os.path.exists(shown._path)
    counter.setup()
    assert list(counter.process("x")) == ["x"]
    counter.teardown()


def test_closing_line_leaves_out_a_count_that_nobody_made():
    assert closing_line("Reading", "records", counted=0, seconds=65, stopped=None) == "Reading: done, 01:05."


def feed(shown: ShowProgress, elements: int) -> None:
    """What a worker does that got the DoFn by mail."""
    worker = pickle.loads(pickle.dumps(beam_progress._AppendByte(shown._path)))
    worker.setup()
    for element in range(elements):
        assert list(worker.process(element)) == [element]
    worker.teardown()
