"""Thousands of requests that nobody should send to a served model: what they are answered, and what memory they take.

    python -m tests.benchmarks.serving_fuzz [--requests 10000] [--seed 0]

A small network of all kinds of tasks. Images are cut, spoilt, swollen, or no images at all; crops are beyond the image
or no numbers; a whole image is beside them in each request and has to be answered as if it were alone.
"""

from __future__ import annotations

import argparse
import os
import resource

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tqdm import trange

from tests.support import fuzz, serving

ROUNDS = 20


def megabytes() -> int:
    """What the process has taken at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    """Sends and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    module = serving.served(serving.colours(), *serving.COLOURS)
    counts, after_first = fuzz.answered(module, 1), 0
    for number in trange(ROUNDS, unit="round"):
        counts += fuzz.answered(module, arguments.requests // ROUNDS, seed=arguments.seed + number)
        after_first = after_first or megabytes()
    print(f"{arguments.requests} requests, no crash, every answer finite: {dict(counts.most_common())}")
    print(f"memory at most {after_first} MB after the first {arguments.requests // ROUNDS}, {megabytes()} MB after all")


if __name__ == "__main__":
    main()
