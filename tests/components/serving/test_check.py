"""ServingCheck's process: what it is given, what it leaves, and that it ends."""

from __future__ import annotations

import json
import pathlib
import sys

import pytest
from tfx.types import artifact_utils, standard_artifacts

from components.serving import check
from tests.support import serving, tiny_faces
from tests.support.serving import IMAGES


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A Model artifact's folder, as TFX's Trainer leaves it."""
    folder = tmp_path_factory.mktemp("model")
    serving.exported(serving.colours(), serving.learnt(*serving.COLOURS), folder / "Format-Serving")
    return folder


def run_check(model: pathlib.Path, folder: pathlib.Path, **splits) -> tuple[int, str, str]:
    """ServingCheck's executor on records of the splits' images: blessed, message, the file in the blessing."""
    made = standard_artifacts.Model(), standard_artifacts.Examples(), standard_artifacts.InfraBlessing()
    model_artifact, examples, blessing = made
    model_artifact.uri, examples.uri, blessing.uri = str(model), str(folder / "examples"), str(folder / "blessing")
    examples.split_names = artifact_utils.encode_split_names(list(splits))
    for name, images in splits.items():
        split = pathlib.Path(artifact_utils.get_split_uri([examples], name))
        serving.write_records(split / "data_tfrecord-00000-of-00001.gz", images, serving.CROPS)
    check.Executor().Do(
        {"model": [model_artifact], "examples": [examples]},
        {"blessing": [blessing]},
        {"splits": json.dumps(list(splits)), "code_version": ""},
    )
    message = blessing.get_string_custom_property("message")
    (file,) = pathlib.Path(blessing.uri).iterdir()
    assert file.read_text() == message
    return blessing.get_int_custom_property("blessed"), message, file.name


def test_a_model_that_serves_is_blessed(model, tmp_path, monkeypatch):
    """A few records of each split are tried, in a process that doesn't see this project."""
    monkeypatch.setenv("PYTHONPATH", str(tiny_faces.ROOT))
    monkeypatch.chdir(tiny_faces.ROOT)
    blessed, message, file = run_check(model, tmp_path, a_test=IMAGES, b_test=IMAGES[:3])
    assert (blessed, file) == (1, "INFRA_BLESSED"), message
    assert message.startswith("2 warm-up requests replayed, 8 records alike by both signatures, alone and together, ")


def test_a_model_that_does_not_is_not(model, tmp_path):
    """The last of eight in turn is torn: the splits take turns, and the second has no more."""
    blessed, message, file = run_check(model, tmp_path, a_test=IMAGES, b_test=[*IMAGES[:3], b"no image"])
    assert (blessed, file) == (0, "INFRA_NOT_BLESSED")
    assert message.endswith("images that should be answered are not: the file is neither JPEG nor PNG")
    assert len(message.splitlines()) == 1


def test_project_code_on_the_path_is_no_clean_process(model, tmp_path):
    command = [sys.executable, "-S", check.replay.__file__, str(tiny_faces.ROOT), str(model / "Format-Serving")]
    assert check.run(command) == (
        False,
        "AssertionError: components is on the path: this is no clean process",
    )


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("print('a'); print('b')", (True, "b")),
        ("import sys; print('a'); sys.exit('c')", (False, "c")),
        ("", (True, "the process ended with 0 and without a word")),
        ("import sys; print('a'); sys.exit(3)", (False, "the process ended with 3 and without a word")),
        (
            "import os, sys; print('a log line', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)",
            (False, "the process was ended by signal 9"),
        ),
    ],
)
def test_the_last_line_of_a_process(code, expected):
    assert check.run([sys.executable, "-S", "-c", code]) == expected


def test_a_process_that_takes_too_long_is_ended():
    command = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
    assert check.run(command, seconds=1) == (
        False,
        "the process that serves the model had not ended after 1 seconds",
    )
