"""`make tensorboard`: the runs under OUTPUT_DIR (default out) in TensorBoard, named by experiment and seed.

TensorBoard names runs by their folders, and TFX calls those by numbers. So the folder `tensorboard` under OUTPUT_DIR
has a link to each: `<run>/training` to what the Trainer wrote, `<run>/test` to what the report did. What runs now, what
has no report, and what a later run of the same seed replaced is `<experiment>/<number>`.
"""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import signal
import subprocess
import sys

from pipeline import interruption

if __name__ == "__main__":
    interruption.end_in_a_line()  # also while the libraries are imported

from components.overrides import slug
from components.report.executor import SUMMARIES
from pipeline.compare import latest_results
from pipeline.request import DEFAULT_OUTPUT_DIR

_REFRESHED = 20  # seconds after which runs that began since then get their links


def link_runs(output_dir: str) -> pathlib.Path:
    """Makes the links anew and returns their folder."""
    output = pathlib.Path(output_dir).absolute()
    wanted = {}
    for experiment, seeds in latest_results(output_dir).items():
        for seed, results in seeds.items():
            name = f"{slug(experiment)}-seed{seed}"
            wanted[f"{name}/training"] = pathlib.Path(results["places"]["logs"]).absolute()
            wanted[f"{name}/test"] = pathlib.Path(results["folder"], SUMMARIES).absolute()
    reported = set(wanted.values())
    for logs in output.glob("pipeline/Trainer-*/model_run/*"):
        if logs not in reported:
            wanted[f"{logs.parent.parent.name.removeprefix('Trainer-')}/{logs.name}"] = logs
    links = output / "tensorboard"
    for link in links.glob("*/*"):
        if wanted.get(str(link.relative_to(links))) != link.readlink():
            link.unlink()
    for name, target in wanted.items():
        link = links / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not link.is_symlink():
            with contextlib.suppress(FileExistsError):  # of another TensorBoard's
                link.symlink_to(target)
    return links


def main() -> None:
    """Runs TensorBoard until it ends or is stopped; runs that begin meanwhile get their links."""
    output_dir = os.environ.get("OUTPUT_DIR") or DEFAULT_OUTPUT_DIR
    command = ["tensorboard", "--logdir", str(link_runs(output_dir)), *sys.argv[1:]]
    with contextlib.suppress(KeyboardInterrupt), subprocess.Popen(command) as board:
        signal.signal(signal.SIGTERM, lambda number, frame: board.terminate())
        while board.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                board.wait(_REFRESHED)
            with contextlib.redirect_stderr(io.StringIO()):  # what it leaves out it has said at the start
                link_runs(output_dir)
    sys.exit(board.returncode)


if __name__ == "__main__":
    main()
