"""Kills runs at random moments, fills their disk, damages files of ended ones, starts them again and compares.

    .venv/bin/python -m tests.faults --trials 10            # make faults N=10
    .venv/bin/python -m tests.faults --trials 3 --kind damage --seed 7 --keep

Each trial ends in one of four ways: "survived", the figures and the pushed model are those of the undisturbed run;
"told", the start ends with a line of facetfx's that says why; "failed", it ends in another way; "WRONG", it claims to
have succeeded and something differs. Only the first two are as it should be.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import filecmp
import json
import math
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from components.overrides import slug
from components.report.executor import CARD
from tests.faults.damage import damage
from tests.faults.run import NAME

KINDS = ("kill", "fill", "damage")
_DISK = 400  # MB of the one that is filled: more than a run asks for at its start
_TIMES = ("training minutes", "processor minutes")
_TOLERANCE = 1e-6
_STARTS = 3  # after which a run that was disturbed should have ended


def started(output: pathlib.Path) -> subprocess.Popen:
    """The run, in a process group of its own."""
    environment = {**os.environ, "EXPERIMENT": NAME, "OUTPUT_DIR": str(output), "TF_ENABLE_ONEDNN_OPTS": "1"}
    command = [sys.executable, "-m", "tests.faults.run"]
    with (output.parent / f"{output.name}.txt").open("a") as said:
        return subprocess.Popen(command, env=environment, stdout=said, stderr=said, start_new_session=True)


def kill(output: pathlib.Path, seconds: float, chance: random.Random) -> str:
    """Ends a run somewhere in the time that it takes."""
    after = chance.uniform(0, seconds)
    process = started(output)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return f"killed after {after:.0f} s"


@contextlib.contextmanager
def small_disk(output: pathlib.Path) -> Iterator[None]:
    """A disk of its own for a run; for root on Linux."""
    output.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK}m", "tmpfs", output], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", output], check=True)


def fill(output: pathlib.Path, seconds: float, chance: random.Random) -> str:
    """Fills a run's disk somewhere in the time that it takes, and makes room again when it has ended."""
    after = chance.uniform(0, seconds)
    process, filler = started(output), output / "filler"
    try:
        process.wait(after)
        return f"ended within {after:.0f} s"
    except subprocess.TimeoutExpired:
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(2**16)):
                pass
    code = process.wait()
    filler.unlink()
    return f"disk full after {after:.0f} s, ended with {code}"


def outcome(output: pathlib.Path, undisturbed: dict) -> str:
    """Starts the run again until it ends, and says how that went."""
    for _ in range(_STARTS):
        code = started(output).wait()
        if not code:
            break
    if code:
        last = (output.parent / f"{output.name}.txt").read_text().strip().splitlines()[-3:]
        return "told" if any(line.startswith("facetfx: ") for line in last) else "failed"
    found = results(output)
    model, trained = pathlib.Path(found["places"]["model"]), pathlib.Path(found["trained"])
    same = figures_agree(found, undisturbed) and found["verdict"] == undisturbed["verdict"]
    return "survived" if same and model.is_dir() and alike(model, trained) else "WRONG"


def results(output: pathlib.Path) -> dict:
    """What the report says."""
    return json.loads((output / "reports" / slug(NAME) / "results.json").read_text())


def figures_agree(one: dict, other: dict) -> bool:
    """But for how long it took, and for the order in which numbers were added up."""
    ones, others = ({k: v for k, v in each["figures"].items() if k not in _TIMES} for each in (one, other))
    return ones.keys() == others.keys() and all(math.isclose(ones[k], others[k], rel_tol=_TOLERANCE) for k in ones)


def alike(one: pathlib.Path, other: pathlib.Path) -> bool:
    """Whether two folders have the same files, but for the card that the report leaves beside a pushed model."""
    names = {path.relative_to(folder) for folder in (one, other) for path in folder.rglob("*") if path.is_file()}
    names = {name for name in names if name.name != CARD}
    return all(
        (one / name).is_file() and (other / name).is_file() and filecmp.cmp(one / name, other / name, shallow=False)
        for name in names
    )


def main() -> None:
    """Tries, and prints how each trial ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10, help="of each kind; default 10")
    parser.add_argument("--kind", choices=KINDS, help="that kind alone")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn; default 0")
    parser.add_argument(
        "--keep", action="store_true", help="keep the folder of each trial that was neither told nor survived"
    )
    asked = parser.parse_args()
    chance, ended = random.Random(asked.seed), collections.Counter()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="facetfx-faults-"))
    print(f"The undisturbed run; everything is under {folder} ...", flush=True)
    ended_run, start = folder / "ended", time.monotonic()
    if started(ended_run).wait():
        sys.exit(f"It didn't end well: {ended_run}.txt")
    seconds = time.monotonic() - start
    undisturbed = results(ended_run)
    # Metadata name places: what is damaged lies where it was made.
    shutil.copytree(ended_run, folder / "kept")
    kinds = [asked.kind] if asked.kind else KINDS
    if "fill" in kinds and os.geteuid():
        print("No disk is filled: mounting a small one is root's.", flush=True)
        kinds = [kind for kind in kinds if kind != "fill"]
    for number in range(asked.trials):
        for kind in kinds:
            output = ended_run if kind == "damage" else folder / f"{kind}{number}"
            with small_disk(output) if kind == "fill" else contextlib.nullcontext():
                if kind == "kill":
                    what = kill(output, seconds, chance)
                elif kind == "fill":
                    what = fill(output, seconds, chance)
                else:
                    shutil.rmtree(output)
                    shutil.copytree(folder / "kept", output)
                    what = damage(output, chance)
                how = outcome(output, undisturbed)
                ended[kind, how] += 1
                print(f"{kind} {number + 1}/{asked.trials}: {what}: {how}", flush=True)
                if how in ("failed", "WRONG") and asked.keep:
                    shutil.copytree(output, folder / f"{kind}{number}-{how}")
            if kind != "damage":
                shutil.rmtree(output)
    for (kind, how), count in sorted(ended.items()):
        print(f"{kind}: {count} {how}")
    sys.exit(any(how in ("failed", "WRONG") for _, how in ended))


if __name__ == "__main__":
    main()
