"""Experiments side by side, several seeds each: a table of a paper in one command.

    python -m tests.benchmarks.variants mgg_net/celeb_a-baseline-tiny mgg_net/celeb_a-tiny --data-dir ... --seeds 0 1 2
    python -m tests.benchmarks.variants ifan/3t-tiny ifan/3t-shared_bn-tiny --data-dir ... --set training.epochs=3

Each is a `make run` of its own, so that whatever its recipe it is trained, exported and measured as a user's run is.
What ran before is found in the cache: a stopped table goes on. Prints what `make compare` prints of these runs.
"""

import argparse
import os
import shlex
import subprocess
import sys

from rich.console import Console

from components.overrides import run_name
from pipeline import compare


def main():
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", nargs="*", default=[], help="other values than the experiments', as of SET")
    parser.add_argument("--data-dir", default="")
    parser.add_argument("--output-dir", default="out")
    options = parser.parse_args()
    for seed in options.seeds:
        for name in options.experiments:
            print(f"{run_name(name, options.set)}, seed {seed}", flush=True)
            run = {
                "EXPERIMENT": name,
                "SEED": str(seed),
                "SET": shlex.join(options.set),
                "DATA_DIR": options.data_dir,
                "OUTPUT_DIR": options.output_dir,
            }
            subprocess.run([sys.executable, "-m", "pipeline.local_runner"], env={**os.environ, **run}, check=True)
    found = compare.latest_results(options.output_dir)
    wanted = {run_name(name, options.set) for name in options.experiments}
    console = Console()
    for table in compare.compared({name: runs for name, runs in found.items() if name in wanted}, console.width):
        console.print(table)


if __name__ == "__main__":
    main()
