"""A standalone Flink cluster on this machine: all Beam steps run there, a worker is killed in the middle of one.

    make cluster                                           # 20,000 drawn faces
    .venv/bin/python -m tests.flink.cluster out/flink --images 2000

A job manager, two task managers, Beam's job server and a pool of Python workers, a process each, as on several
machines; what the steps give is compared with the direct runner (tests/benchmarks/beam_runners.py). Then workers are
killed while a step reads, and the same command is given again. At the end stand the jobs as Flink's web page has them.
FOLDER is where tests/flink/job_server.sh has put Flink and the job server.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import psutil

WEB, JOBS, WORKERS = 8081, 8099, 50000  # ports
TASK_MANAGERS = 2
SECONDS = 120  # that starting may take
HANGS_AFTER = 120
# What Flink's own scripts would work out: a task manager that is started by hand has to be told.
TASK_MANAGER = {
    "taskmanager.cpu.cores": "1.0",
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.task.heap.size": "512m",
    "taskmanager.memory.task.off-heap.size": "0m",
    "taskmanager.memory.managed.size": "512m",
    "taskmanager.memory.network.min": "256m",
    "taskmanager.memory.network.max": "256m",
    "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.min": "192m",
    "taskmanager.memory.jvm-overhead.max": "192m",
    "taskmanager.numberOfTaskSlots": "1",
    "taskmanager.host": "localhost",
}
CONFIGURATION = {
    "jobmanager.rpc.address": "localhost",
    "rest.port": str(WEB),
    "rest.bind-address": "localhost",
    "parallelism.default": str(TASK_MANAGERS),
    # Flink's own classes come first: the job server's are the same.
    "classloader.resolve-order": "parent-first",
    # Batch shuffles take 512 buffers each otherwise, which the 140 tasks of FacesExampleGen have not.
    "taskmanager.network.sort-shuffle.min-buffers": "16",
}
OPENED = [
    f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in ("lang", "util", "net", "nio", "util.concurrent")
]


@contextlib.contextmanager
def cluster(flink: pathlib.Path, logs: pathlib.Path) -> Iterator[str]:
    """Starts a cluster and ends it -> Beam's arguments for running there.

    Args:
        flink: has job-server.jar and lib.
        logs: folder for the configuration, and what each process prints.

    Raises:
        RuntimeError: if something ends, or hasn't started after SECONDS, with where it says why.
    """
    (logs / "flink-conf.yaml").write_text("".join(f"{key}: {value}\n" for key, value in CONFIGURATION.items()))
    java = ["java", *OPENED, "-cp", f"{flink.resolve()}/lib/*"]
    runtime, configured = "org.apache.flink.runtime", ["--configDir", str(logs)]
    told = [argument for key, value in TASK_MANAGER.items() for argument in ("-D", f"{key}={value}")]
    commands = {
        "job-manager": [
            *java, "-Xmx512m", f"{runtime}.entrypoint.StandaloneSessionClusterEntrypoint", *configured
        ],
        **{
            f"task-manager-{number}": [
                *java, "-Xmx640m", f"{runtime}.taskexecutor.TaskManagerRunner", *configured, *told
            ]
            for number in range(TASK_MANAGERS)
        },
        "job-server": [
            "java", "-Xmx512m", "-jar", f"{flink.resolve()}/job-server.jar", f"--flink-master=localhost:{WEB}",
            f"--job-port={JOBS}", "--artifact-port=0", "--expansion-port=0", f"--artifacts-dir={logs}/staged",
        ],
        "workers": [
            sys.executable, "-m", "tests.flink.worker_pool", str(WORKERS),
        ],
    }  # fmt: skip
    # The pool starts `python` by name.
    environment = {**os.environ, "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}
    processes = {}
    try:
        for name, command in commands.items():
            with (logs / f"{name}.log").open("w") as log:
                processes[name] = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        _wait(processes, logs)
        yield (
            f"--runner=FlinkRunner --flink_master=localhost:{WEB} --job_endpoint=localhost:{JOBS} "
            f"--environment_type=EXTERNAL --environment_config=localhost:{WORKERS} --parallelism={TASK_MANAGERS}"
        )
    finally:
        for process in processes.values():
            _end(process.pid)


def _wait(processes, logs):
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if ended := [name for name, process in processes.items() if process.poll() is not None]:
            raise RuntimeError(f"{ended[0]} ended at once; see {logs / ended[0]}.log.")
        with contextlib.suppress(urllib.error.URLError):
            if len(asked("taskmanagers")["taskmanagers"]) == TASK_MANAGERS and "JobService" in (
                (logs / "job-server.log").read_text()
            ):
                return
        time.sleep(1)
    raise RuntimeError(f"The cluster had not started after {SECONDS} seconds; its logs are in {logs}.")


def _end(number):
    """A process and those that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(number)
        for each in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


def asked(what: str) -> dict:
    """What the job manager's REST API says."""
    with urllib.request.urlopen(f"http://localhost:{WEB}/{what}") as answer:
        return json.load(answer)


def workers() -> list[psutil.Process]:
    """Those that the pool has started."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any("SdkHarness(" in argument for argument in process.info["cmdline"] or [])
    ]


def kill_workers(pipeline, benchmark) -> str:
    """Runs a pipeline's FacesExampleGen and kills its workers while it reads -> how that ended, in a line.

    An engine may wait for ever for what was killed: after HANGS_AFTER seconds its jobs are cancelled.
    """
    killed, over, cancelled, before = [], threading.Event(), [], _progress_files()

    def kill():
        while not over.wait(0.2) and not any(file.stat().st_size for file in _progress_files() - before):
            pass
        killed.extend(workers())
        for process in killed:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if not over.wait(HANGS_AFTER):
            cancelled.extend(job["id"] for job in asked("jobs")["jobs"] if job["status"] == "RUNNING")
            for job in cancelled:
                urllib.request.urlopen(urllib.request.Request(f"http://localhost:{WEB}/jobs/{job}", method="PATCH"))

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        benchmark.run(pipeline, "FacesExampleGen")
        ended = "it ran to its end"
    except Exception as error:  # Beam's
        ended = f"it ended with {type(error).__name__}"
    finally:
        over.set()
        killer.join()
    waited = f", cancelled after {HANGS_AFTER} seconds" if cancelled else ""
    return f"{len(killed)} workers killed while FacesExampleGen read: {ended}{waited}"


def _progress_files():
    """In which workers count, as they are on the machine of ShowProgress."""
    return set(pathlib.Path(tempfile.gettempdir()).glob("facetfx-progress-*"))


def main() -> None:
    """Starts, compares, kills, lists the jobs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("flink", type=pathlib.Path, metavar="FOLDER", help="of the job server and Flink")
    parser.add_argument("--only-kill", action="store_true", help="compare nothing")
    parser.add_argument("--images", type=int, default=20_000, help="drawn faces to train on; default 20,000")
    given = parser.parse_args()
    from tests.benchmarks import beam_runners  # imports TensorFlow

    with tempfile.TemporaryDirectory(prefix="facetfx-cluster-") as folder:
        logs = pathlib.Path(folder, "logs")
        logs.mkdir()
        with cluster(given.flink, logs) as beam_args:
            print(f"The cluster runs: http://localhost:{WEB}", file=sys.stderr)
            right = given.only_kill or beam_runners.compare(
                {beam_runners.DIRECT: "", "cluster": beam_args}, given.images
            )
            table, outputs = f"{folder}/table", [f"{folder}/{name}" for name in ("killed", "whole")]
            names = beam_runners.write_table(table, max(given.images, 1000))
            beam_runners.REGISTERED[beam_runners.NAME] = beam_runners.experiment(names)
            print(kill_workers(beam_runners.pipeline_of(outputs[0], table, beam_args), beam_runners))
            for output, arguments in zip(outputs, (beam_args, ""), strict=True):
                beam_runners.run(beam_runners.pipeline_of(output, table, arguments), "FacesExampleGen")
            same = all(
                beam_runners.records(outputs[0], "FacesExampleGen", split)
                == beam_runners.records(outputs[1], "FacesExampleGen", split)
                for split in beam_runners.SPLITS
            )
            print(f"Started again, its records are {'those' if same else 'NOT those'} of the direct runner.")
            for job in sorted(asked("jobs/overview")["jobs"], key=lambda job: job["start-time"]):
                print(f"{job['state']:10}{job['duration'] / 1000:8.1f} s  {job['name']}")
    sys.exit(not (right and same))


if __name__ == "__main__":
    main()
