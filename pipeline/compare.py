"""`make compare`: the runs of this machine side by side, mean and spread over seeds.

Reads the results of every run under OUTPUT_DIR (default out); of several runs with one seed the latest counts.
"""

from __future__ import annotations

import collections
import json
import os
import pathlib
import statistics
import sys

from rich import box
from rich.console import Console
from rich.table import Table

_COLUMN_WIDTH = 17  # characters, with the frame: "5.2000 ± 0.0707" and blanks


def latest_results(output_dir: str) -> dict[str, dict[int, dict]]:
    """{experiment: {seed: results.json}} of the latest run of each, with the "folder" that it lies in.

    What an earlier facetfx left is named on stderr.
    """
    files = pathlib.Path(output_dir).glob("pipeline/Report-*/report/*/results.json")
    found = collections.defaultdict(dict)
    for file in sorted(files, key=lambda file: int(file.parent.name)):
        try:
            results = json.loads(file.read_text())
        except ValueError:
            print(f"Left out, of a run that was stopped while it wrote: {file}.", file=sys.stderr)
            continue
        if "compared" not in results:
            print(f"Left out, of an earlier facetfx: {file}. Run the experiment again to compare it.", file=sys.stderr)
            continue
        found[results["experiment"]][results["seed"]] = {**results, "folder": str(file.parent)}
    return dict(sorted(found.items()))


def cell(values: list[float], share: bool = False) -> str:
    """Mean, and the sample standard deviation of several values; shares in percent; a dash for no value."""
    if not values:
        return "–"
    form = ",.0f" if all(isinstance(value, int) for value in values) else ".2f" if share else ".4f"
    mean, *spread = (statistics.mean(values), statistics.stdev(values)) if len(values) > 1 else values
    factor = 100 if share else 1
    found = " ± ".join(f"{factor * value:{form}}" for value in (mean, *spread))
    return f"{found} %" if share else found


def compared(found: dict[str, dict[int, dict]], width: int) -> list[Table]:
    """A row for each experiment of `latest_results`, a column for each figure that one of them names in "compared".

    Args:
        width: of the terminal, in characters. What doesn't fit goes into a further table with the same rows.
    """
    columns = list(dict.fromkeys(name for runs in found.values() for run in runs.values() for name in run["compared"]))
    seeds = {name: " ".join(map(str, sorted(runs))) for name, runs in found.items()}
    # The names of runs with SET are long: they are folded so far that a figure fits beside them.
    beside = max(len("seeds"), *map(len, seeds.values())) + 8
    longest = max(len("experiment"), *map(len, found))
    named = min(longest, max(width - beside - _COLUMN_WIDTH, len("experiment")))
    count = max((width - beside - named) // _COLUMN_WIDTH, 1)
    tables = []
    for start in range(0, len(columns), count):
        shown = columns[start : start + count]
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("experiment", overflow="fold", min_width=named, max_width=named)
        table.add_column("seeds", no_wrap=True)
        for column in shown:
            table.add_column(column, justify="right", max_width=_COLUMN_WIDTH - 2)
        for name, runs in found.items():
            table.add_row(name, seeds[name], *(_cell_of(column, runs.values()) for column in shown))
        tables.append(table)
    return tables


def _cell_of(column, runs):
    share = any(column in run.get("shares", ()) for run in runs)
    return cell([run["figures"][column] for run in runs if column in run["figures"]], share)


def main() -> None:
    """Prints the tables."""
    output_dir = os.environ.get("OUTPUT_DIR") or "out"
    found = latest_results(output_dir)
    console = Console()
    if not found:
        console.print(f"No run has left a report under {output_dir!r} yet.")
    for table in compared(found, console.width) if found else ():
        console.print(table)


if __name__ == "__main__":
    main()
