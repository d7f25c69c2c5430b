"""Two processes that train together, as two machines would, against one. As a script: one of the processes."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest
import tensorflow as tf

from components.config import configured
from components.trainer.task_model import TaskModel
from components.trainer.workers import num_machines
from tests.support import tiny_faces, tiny_tasks

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parents[3]
SGD = configured("tensorflow.keras.optimizers.SGD")
REGULATION = configured("components.systems.dml_csr.self_regulation.SelfRegulation", first_epochs=1, cycle_epochs=1)
TWO = ("landmarks", "emotion")
SECONDS = 300


def attributes():
    """Adaptive thresholds, and no batch norm, which is over a machine's share of the batch."""
    return tiny_faces.experiment(
        tiny_faces.LINEAR,
        tasks=(tiny_faces.SIGNED,),
        loss=configured("components.trainer.objectives.TaskLosses"),
        epochs=2,
        batch_size=20,
        optimizer=SGD,
        learning_rate=1e-5,
        callbacks=(
            configured("components.systems.dmm_cnn.adaptive.AdaptiveThresholds"),
            configured("tests.support.tiny_faces.StopAt"),
        ),
    )


EXPERIMENTS = {
    "attributes": attributes,
    "parsing": lambda: tiny_faces.parsing_experiment((REGULATION,), epochs=2, optimizer=SGD),
    "widening": lambda: tiny_faces.widening_experiment(epochs=1, optimizer=SGD),
    "hybrid": lambda: tiny_tasks.experiment(TWO, 1, pretraining=0, epochs=1, optimizer=SGD),
}
KINDS = {"parsing": "parsing", "hybrid": "hybrid"}  # of the data; the others have faces


def train(kind: str, folder: pathlib.Path):
    """Trains with everything in `folder`."""
    tiny, files = EXPERIMENTS[kind](), tiny_faces.files_in(folder / "data" / KINDS.get(kind, "faces"))
    fit = tiny_tasks.fit if kind == "hybrid" else tiny_faces.fit
    return fit(tiny, folder / kind, files)


@pytest.fixture(scope="module")
def data(tiny_folder, tmp_path_factory):
    """A folder for all, with the data of all kinds in it."""
    folder = tmp_path_factory.mktemp("workers")
    (folder / "data").mkdir()
    (folder / "data" / "faces").symlink_to(tiny_folder)
    for split, numbers in (("train", range(16)), ("validation", range(16, 24))):
        examples = [tiny_faces.serialized_parsing(number) for number in numbers]
        tiny_faces.write(folder / "data" / "parsing" / split, examples)
    tiny_tasks.write(folder / "data" / "hybrid", dict.fromkeys(TWO, 8), validation=4)
    return folder


@contextlib.contextmanager
def machines(folder: pathlib.Path, *kinds: str, killed_at: str = "", other: str = ""):
    """Starts a process for each of two machines, which train the kinds one after the other; yields them, chief first.

    Args:
        killed_at: "<epoch>/<batch>" at which the other one gets SIGKILL.
        other: a kind that the other one trains instead.
    """
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    processes = []
    for index in range(2):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(task), "TF_CPP_MIN_LOG_LEVEL": "3"}
        if index and killed_at:
            environment[tiny_faces.KILL_AT] = killed_at
        trained = [other] if index and other else kinds
        command = [sys.executable, "-m", "tests.components.trainer.test_workers", str(folder), *trained]
        with said_by(folder, index).open("w") as said:
            processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=said, stderr=said))
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def said_by(folder: pathlib.Path, index: int) -> pathlib.Path:
    return folder / f"machine-{index}.txt"


def together(folder: pathlib.Path, *kinds: str) -> dict:
    """What two machines find, by kind, as the chief says."""
    with machines(folder, *kinds) as processes:
        codes = [process.wait(SECONDS) for process in processes]
    said = [said_by(folder, index).read_text() for index in range(2)]
    assert codes == [0, 0], "\n".join(text[-3000:] for text in said)
    if "attributes" in kinds:  # of its batches of 20 each has half: with all of them the losses would be the same
        assert all("images 10\n" in text and "images 20\n" not in text for text in said)
    assert "epoch 1/" not in said[1] and "Training on" not in said[1]  # one alone tells the person who waits
    return json.loads(said[0].splitlines()[-1])


@pytest.fixture(scope="module")
def of_two(data):
    return together(data, *EXPERIMENTS)


@pytest.fixture(scope="module")
def of_one(data, tmp_path_factory):
    alone = tmp_path_factory.mktemp("alone")
    (alone / "data").symlink_to(data / "data")
    with tiny_faces.eagerly():
        return {kind: train(kind, alone).epochs for kind in EXPERIMENTS}


# Lovász-softmax is over a machine's share of the batch; of the others a few kernels round otherwise.
@pytest.mark.parametrize(
    ("kind", "tolerance"), [("attributes", 1e-5), ("parsing", 0.05), ("widening", 0.02), ("hybrid", 0.02)]
)
def test_two_machines_train_as_one(kind, tolerance, of_two, of_one):
    assert [epoch.keys() for epoch in of_two[kind]] == [epoch.keys() for epoch in of_one[kind]]
    expected = [epoch["loss"] for epoch in of_one[kind]]
    assert [epoch["loss"] for epoch in of_two[kind]] == pytest.approx(expected, rel=tolerance)


def test_a_machine_that_is_killed_ends_all_and_a_restart_goes_on(data, tmp_path, of_two):
    folder = tmp_path / "killed"
    folder.mkdir()
    (folder / "data").symlink_to(data / "data")
    with machines(folder, "attributes", killed_at="1/1") as (chief, other):
        assert other.wait(SECONDS) == -signal.SIGKILL
        assert chief.wait(SECONDS) != 0
    continued = together(folder, "attributes")["attributes"]
    for found, unbroken in zip(continued, of_two["attributes"], strict=True):
        assert found.keys() == unbroken.keys()
        for name, value in unbroken.items():
            assert found[name] == pytest.approx(value, rel=1e-5), name
    assert "Continuing after epoch 1." in said_by(folder, 0).read_text()


def test_machines_that_were_told_different_things_end(data, tmp_path):
    folder = tmp_path / "different"
    folder.mkdir()
    (folder / "data").symlink_to(data / "data")
    with machines(folder, "attributes", other="widening") as processes:
        assert all(process.wait(SECONDS) for process in processes)
    for index in range(2):
        assert "were told to train different things" in said_by(folder, index).read_text()


@pytest.mark.parametrize("told", ["no json", "[]", '{"cluster": 3}', '{"cluster": {"worker": "one:2222"}}'])
def test_a_tf_config_that_is_none(told, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", told)
    with pytest.raises(ValueError, match="expected JSON with cluster and task"):
        num_machines()


def say_shares():
    """Says on stderr how many images of each batch this process is given."""
    parts_of = TaskModel._parts

    def parts(model, image, labels):
        tf.print("images", tf.shape(image)[0])
        return parts_of(model, image, labels)

    TaskModel._parts = parts


if __name__ == "__main__":
    say_shares()
    print(json.dumps({kind: train(kind, pathlib.Path(sys.argv[1])).epochs for kind in sys.argv[2:]}))
