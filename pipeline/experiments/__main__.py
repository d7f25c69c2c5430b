"""`make experiments`: every experiment with its line; `--markdown` is what pipeline/experiments/README.md holds.

python -m pipeline.experiments [PATTERN] [--markdown]
"""

from __future__ import annotations

import argparse
import fnmatch

from components.config import Experiment
from pipeline import experiments

_HEAD = """# The experiments

Made by `python -m pipeline.experiments --markdown`. `make run EXPERIMENT=<name>`; the file of each system says what its
variants are.

| experiment | what | data sets | first |
| --- | --- | --- | --- |"""


def datasets(experiment: Experiment) -> str:
    """The builders of its data sets."""
    return ", ".join(dict.fromkeys(each.builder or each.name for each in experiment.data.datasets))


def prerequisites(experiment: Experiment) -> str:
    """The experiments whose blessed models it needs; "" for none."""
    needed = [experiment.training.warm_start, *(teacher.experiment for teacher in experiment.data.teachers)]
    return ", ".join(dict.fromkeys(filter(None, needed)))


def markdown() -> str:
    """The table of all experiments."""
    rows = []
    for name in experiments.names():
        experiment = experiments.get(name)
        cells = (f"`{name}`", experiment.summary, datasets(experiment), prerequisites(experiment))
        rows.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    return "\n".join([_HEAD, *rows, ""])


def listing(pattern: str) -> str:
    """A line an experiment whose name the pattern fits."""
    names = [name for name in experiments.names() if fnmatch.fnmatch(name, pattern)]
    width = max(map(len, names), default=0)
    lines = []
    for name in names:
        experiment = experiments.get(name)
        after = f"; after {needed}" if (needed := prerequisites(experiment)) else ""
        lines.append(f"{name:{width}}  {experiment.summary} [{datasets(experiment)}{after}]")
    return "\n".join(lines or [f"No experiment's name fits {pattern!r}."])


def main() -> None:
    """Prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="?", default="*", help="of names, such as 'mgg_net/*-tiny'")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    print(markdown() if options.markdown else listing(options.pattern), end="" if options.markdown else "\n")


if __name__ == "__main__":
    main()
