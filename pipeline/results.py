"""`make results`: published figures and ours, from the records beside the experiments; `make record` adds runs to them.

python -m pipeline.results [--keep]

A record is what `make compare` compares of one run, with the commit that it ran on. It is of an experiment as it was:
where the experiment has changed since, its row says so.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import statistics
import sys
from collections.abc import Iterable, Mapping

from components.config import form
from pipeline import experiments
from pipeline.compare import cell, latest_results

RECORDS = pathlib.Path(__file__).parent / "experiments" / "results"
RESULTS = RECORDS / "README.md"
README = pathlib.Path(__file__).parent.parent / "README.md"
# What the project's README shows, of those that are recorded.
SMALL_RUNS = (
    "dmm_cnn/celeb_a-lite0-tiny",
    "mgg_net/celeb_a-lite0-tiny",
    "dml_csr/celebamask_hq-lite0-tiny",
    "ifan/3t-tiny",
    "branching/celeb_a-w32-a1-tiny",
)

Records = dict[str, dict[str, dict]]  # by experiment and seed

_HEAD = """# What the experiments reach here

Made by `make results` from the records in this folder, which `make record` takes from runs; no figure is typed. Mean ±
standard deviation over seeds, on two CPU cores and the samples that each system's notes name; tests are the data sets'
test splits. A row with * is of an earlier form of its experiment.
"""
_BLOCK = re.compile(r"(<!-- make results -->\n).*?(<!-- end -->)", re.DOTALL)
_COST = ("training minutes", "processor minutes", "parameters")


def kept(runs: Iterable[Mapping]) -> tuple[Records, list[str]]:
    """Records of runs, and a sentence on each run that can't be one.

    Args:
        runs: results.json of each.
    """
    records: Records = {}
    left_out = []
    for run in runs:
        name, commit = run["experiment"], run.get("commit") or ""
        which = f"{name}, seed {run['seed']}"
        if name not in experiments.names():
            left_out.append(f"{which}: no experiment of that name; register what should be recorded")
        elif run["form"] != form(experiments.get(name)):
            left_out.append(f"{which}: the experiment is another by now; run it again")
        elif not commit or commit.endswith("-dirty"):
            left_out.append(f"{which}: it ran on code that is not committed")
        else:
            records.setdefault(name, {})[str(run["seed"])] = {
                "commit": commit,
                "form": run["form"],
                "figures": {figure: run["figures"][figure] for figure in run["compared"]},
                "shares": [figure for figure in run["compared"] if figure in run["shares"]],
            }
    return records, left_out


def read(folder: pathlib.Path = RECORDS) -> Records:
    """All records of a folder."""
    found = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    return {name: seeds for records in found for name, seeds in records.items()}


def write(records: Records, folder: pathlib.Path = RECORDS) -> None:
    """A file for each system."""
    folder.mkdir(exist_ok=True)
    for system in {_system(name) for name in records}:
        own = {name: dict(sorted(seeds.items())) for name, seeds in sorted(records.items()) if _system(name) == system}
        (folder / f"{system}.json").write_text(json.dumps(own, indent=1) + "\n")


def merged(records: Records, newer: Records) -> Records:
    """Both; where a form is new, what was recorded of an experiment's earlier one goes."""
    both = dict(records)
    for name, seeds in newer.items():
        forms = {seed["form"] for seed in seeds.values()}
        both[name] = {s: each for s, each in records.get(name, {}).items() if each["form"] in forms} | seeds
    return both


def markdown(records: Records) -> str:
    """A table for each system."""
    parts = [_HEAD]
    for system in sorted({_system(name) for name in records}):
        rows = {name: list(seeds.values()) for name, seeds in sorted(records.items()) if _system(name) == system}
        figures = dict.fromkeys(figure for runs in rows.values() for run in runs for figure in run["figures"])
        columns = [*(figure for figure in figures if figure not in _COST), *_COST]
        head = ["experiment", *columns, "seeds", "commit"]
        lines = [head, ["---"] * len(head)]
        for name, runs in rows.items():
            cells = [cell([run["figures"][c] for run in runs if c in run["figures"]]) for c in columns]
            commits = ", ".join(dict.fromkeys(run["commit"] for run in runs))
            lines.append([f"`{name}`{_mark(name, runs)}", *cells, " ".join(sorted(records[name])), commits])
        published = dict.fromkeys(filter(None, map(_published, rows)))
        parts += [f"## {system}\n", *(f"Published: {target}\n" for target in published)]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n")
    return "\n".join(parts)


def small_runs(records: Records) -> str:
    """A row for each of `SMALL_RUNS` that is recorded, for the project's README."""
    lines = ["| small run | reaches | training | seeds |", "| --- | --- | --- | --- |"]
    for name in filter(records.get, SMALL_RUNS):
        runs = list(records[name].values())
        means = {
            figure: statistics.mean(run["figures"][figure] for run in runs)
            for figure in runs[0]["figures"]
            if all(figure in run["figures"] for run in runs)
        }
        shares = set(runs[0]["shares"])
        reached = ", ".join(
            f"{figure} {100 * mean:.2f} %" if figure in shares else f"{figure} {mean:.2f}"
            for figure, mean in means.items()
            if figure not in _COST
        )
        cost = f"{means['training minutes']:.1f} min, {means['processor minutes']:.1f} of all processors"
        lines.append(f"| `{name}`{_mark(name, runs)} | {reached} | {cost} | {len(runs)} |")
    return "\n".join(lines) + "\n"


def _system(name):
    return name.split("/")[0]


def _mark(name, runs):
    """Says of a row that its experiment is another by now."""
    known = name in experiments.names() and form(experiments.get(name))
    return "" if all(run["form"] == known for run in runs) else "\\*"


def _published(name):
    """What the paper reports for an experiment in its full form."""
    full = name.removesuffix("-tiny").removesuffix("-lite0")
    return experiments.get(full).target if full in experiments.names() else ""


def main() -> None:
    """Renders, after keeping what ran if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="add the runs under OUTPUT_DIR to the records first")
    records = read()
    if parser.parse_args().keep:
        output_dir = os.environ.get("OUTPUT_DIR") or "out"
        newer, left_out = kept(run for runs in latest_results(output_dir).values() for run in runs.values())
        for sentence in left_out:
            print(f"Left out: {sentence}.", file=sys.stderr)
        print(f"Recorded: {', '.join(f'{n} (seeds {chr(32).join(s)})' for n, s in newer.items()) or 'nothing'}.")
        records = merged(records, newer)
        write(records)
    RESULTS.write_text(markdown(records))
    readme = README.read_text()
    README.write_text(_BLOCK.sub(lambda block: f"{block[1]}{small_runs(records)}{block[2]}", readme))
    print(f"Written: {RESULTS} and the small runs in {README}.")


if __name__ == "__main__":
    main()
