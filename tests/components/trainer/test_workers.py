"""Two processes that train together, as two machines would, against one. As a script: one of the processes."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys

import pytest

from components.config import configured
from tests.support import tiny_faces, tiny_tasks

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parents[3]
SGD = configured("tensorflow.keras.optimizers.SGD")
REGULATION = configured("components.systems.dml_csr.self_regulation.SelfRegulation", first_epochs=1, cycle_epochs=1)
TWO = ("landmarks", "emotion")
SECONDS = 300


def attributes():
    """A small MGG-Net with adaptive thresholds; at 0.01 the steps would grow what kernels round."""
    network = configured(
        "keras_models.MGGNet",
        backbone_width=4,
        attributes=list(tiny_faces.ATTRIBUTES),
        groups={"first": ["A", "B", "C"], "second": ["D", "E", "F"]},
    )
    return tiny_faces.experiment(
        network,
        tasks=(tiny_faces.LIKELY,),
        epochs=2,
        batch_size=20,
        optimizer=SGD,
        learning_rate=1e-5,
        loss=configured("components.systems.mgg_net.loss.MGGLoss", balanced=True),
        callbacks=(configured("components.systems.dmm_cnn.adaptive.AdaptiveThresholds"),),
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
def machines(kind: str, folder: pathlib.Path):
    """Starts a process for each of two machines; yields them, the chief first."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    processes = []
    for index in range(2):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(task), "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-m", "tests.components.trainer.test_workers", kind, str(folder)]
        said = (folder / f"{kind}-{index}.txt").open("a")
        processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=said, stderr=said))
        said.close()
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def together(kind: str, folder: pathlib.Path) -> dict:
    """What two machines find, by the chief."""
    with machines(kind, folder) as processes:
        codes = [process.wait(SECONDS) for process in processes]
    said = (folder / f"{kind}-0.txt").read_text()
    assert codes == [0, 0], said[-3000:] + (folder / f"{kind}-1.txt").read_text()[-3000:]
    return json.loads(said.splitlines()[-1])


# The network's batch norm takes its statistics over both machines where it is ours; a few kernels round otherwise.
@pytest.mark.parametrize(
    ("kind", "tolerance"), [("attributes", 1e-5), ("parsing", 0.05), ("widening", 0.02), ("hybrid", 0.02)]
)
def test_two_machines_train_as_one(kind, tolerance, data, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "data").symlink_to(data / "data")
    with tiny_faces.eagerly():
        one = train(kind, alone)
    two = together(kind, data)
    assert two["chief"] and [epoch.keys() for epoch in two["epochs"]] == [epoch.keys() for epoch in one.epochs]
    expected = [epoch["loss"] for epoch in one.epochs]
    assert [epoch["loss"] for epoch in two["epochs"]] == pytest.approx(expected, rel=tolerance)


if __name__ == "__main__":
    trained = train(sys.argv[1], pathlib.Path(sys.argv[2]))
    print(json.dumps({"chief": trained.chief, "epochs": trained.epochs}))
