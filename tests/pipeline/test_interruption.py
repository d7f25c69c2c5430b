"""Ctrl-C as a person presses it: one line, no traceback, whatever is at work."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
WAITING = """
from pipeline import interruption
interruption.end_in_a_line()
import time
print("ready", flush=True)
time.sleep(60)
"""
IN_BEAM = """
import types
from pipeline import interruption
interruption.end_in_a_line()
import logging, time
import apache_beam as beam
from pipeline.console import told_in_a_line
logging.basicConfig(level=logging.INFO)

def step(element):
    print("ready", flush=True)
    time.sleep(60)

interruption.at("in FacesExampleGen")
with told_in_a_line(types.SimpleNamespace(current="FacesExampleGen")), beam.Pipeline() as pipeline:
    _ = pipeline | beam.Create([1]) | beam.Map(step)
"""


def interruptible(*arguments):
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # These tests may run in the background, where a shell has jobs ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_a_job_in_the_background_goes_on():
    code = WAITING.replace("time.sleep(60)", "time.sleep(2); print('done')")
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "done\n" and process.returncode == 0


@pytest.mark.parametrize(
    ("script", "where"), [(WAITING, "before anything ran"), (IN_BEAM, "in FacesExampleGen")], ids=["alone", "beam"]
)
def test_one_line(script, where):
    process = interruptible("-c", script)
    for line in process.stdout:
        if line == "ready\n":
            break
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert said == f"\nStopped {where}. The same command goes on from what is done.\n"
    assert process.returncode in (1, -signal.SIGINT)


def test_one_line_while_tfx_is_imported():
    process = interruptible("-X", "importtime", "-m", "pipeline.tfx_command", "--help")
    for line in process.stderr:
        if "ml_metadata" in line:
            break
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    told = [line for line in said.splitlines() if not line.startswith("import time:")]
    assert told == ["", "Stopped before anything ran. The same command goes on from what is done."]
    assert process.returncode
