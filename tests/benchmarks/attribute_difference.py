"""How much accuracy each attribute loses from one run to another, as an image: Fig. 3 of Lu et al. 2017.

    make run EXPERIMENT=branching/celeb_a-retrained-tiny DATA_DIR=...
    make run EXPERIMENT=branching/celeb_a-shuffled-tiny DATA_DIR=...
    python -m tests.benchmarks.attribute_difference out branching/celeb_a-retrained-tiny branching/celeb_a-shuffled-tiny

Reads the reports of the latest runs under OUTPUT_DIR, prints the differences and writes
OUTPUT_DIR/<first>-<second>.png. Above 0: the first is more accurate.
"""

import argparse
import json
import pathlib

import matplotlib.pyplot as plt


def own(name):
    """A folder's name for an experiment."""
    return name.replace("/", "-")


def accuracies(output, name):
    """By attribute, in percent."""
    results = json.loads((output / "reports" / own(name) / "results.json").read_text())
    return {attribute: 100 * value for attribute, value in results["accuracy"].items()}


def draw(losses, first, second, file):
    """Bars from the largest loss to the largest gain."""
    figure, axes = plt.subplots(figsize=(11, 4.5), layout="constrained")
    axes.bar(
        range(len(losses)), losses.values(), color=["#2a78b5" if loss > 0 else "#c05a1c" for loss in losses.values()]
    )
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(losses)), [name.replace("_", " ") for name in losses], rotation=90)
    axes.set_ylabel(f"accuracy of {first}\nless that of {second}, points", fontsize=8)
    figure.savefig(file, dpi=120)


def main():
    """Prints, and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=pathlib.Path, help="OUTPUT_DIR of the runs")
    parser.add_argument("first")
    parser.add_argument("second")
    options = parser.parse_args()
    first, second = (accuracies(options.output, name) for name in (options.first, options.second))
    losses = dict(sorted(((name, first[name] - second[name]) for name in first), key=lambda item: -item[1]))
    for name, loss in losses.items():
        print(f"{name:24} {loss:+.2f}")
    worse, better = sum(loss > 0 for loss in losses.values()), sum(loss < 0 for loss in losses.values())
    mean = sum(losses.values()) / len(losses)
    print(
        f"{worse} of {len(losses)} are less accurate in {options.second}, {better} more; mean loss {mean:+.2f} points"
    )
    file = options.output / f"{own(options.first)}-{own(options.second)}.png"
    draw(losses, options.first, options.second, file)
    print(file)


if __name__ == "__main__":
    main()
