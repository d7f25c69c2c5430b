"""`make compare`: the runs of this machine side by side, mean and spread over seeds.

Reads the results of every run under OUTPUT_DIR (default out); of several runs with one seed the latest counts.
"""

from __future__ import annotations

import collections
import json
import os
import pathlib
import statistics

from rich.console import Console
from rich.table import Table

COLUMNS = (
    "mean accuracy",
    "mean balanced accuracy",
    "mean F1",
    "top-10 recall",
    "landmark NME",
    "parsing mean F1",
    "mean IoU",
    "pixel accuracy",
    "overall F1",
    "emotion accuracy",
    "clothing top-3",
    "clothing top-5",
    "branches",
    "parameters",
    "training minutes",
)


def latest_results(output_dir: str) -> dict[str, dict[int, dict]]:
    """{experiment: {seed: results.json}} of the latest run of each."""
    files = pathlib.Path(output_dir).glob("pipeline/Report-*/report/*/results.json")
    found = collections.defaultdict(dict)
    for file in sorted(files, key=lambda file: int(file.parent.name)):
        results = json.loads(file.read_text())
        found[results["experiment"]][results["seed"]] = results
    return dict(sorted(found.items()))


def cell(values: list[float]) -> str:
    """Mean, and the sample standard deviation where there is more than one value; a dash for none."""
    if not values:
        return "–"
    form = ",.0f" if all(isinstance(value, int) for value in values) else ".4f"
    spread = f" ± {statistics.stdev(values):{form}}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{form}}{spread}"


def compared(found: dict[str, dict[int, dict]]) -> Table:
    """A row for each experiment of `latest_results`, a column for each figure that one of them has."""
    figures = {name: [run["figures"] for run in runs.values()] for name, runs in found.items()}
    columns = [column for column in COLUMNS if any(column in f for runs in figures.values() for f in runs)]
    table = Table("experiment", "seeds", *columns)
    for name, runs in found.items():
        cells = (cell([f[column] for f in figures[name] if column in f]) for column in columns)
        table.add_row(name, " ".join(map(str, sorted(runs))), *cells)
    return table


def main() -> None:
    """Prints the table."""
    output_dir = os.environ.get("OUTPUT_DIR") or "out"
    found = latest_results(output_dir)
    Console(width=160).print(compared(found) if found else f"No run has left a report under {output_dir!r} yet.")


if __name__ == "__main__":
    main()
