"""Holds new images against those that a pushed model was validated on: do they, and its answers, look alike?

    make check-data IMAGES=photos MODEL=mgg_net/celeb_a-lite0-tiny OUT=drift.html
    python -m pipeline.check_data photos/*.jpg --model mgg_net/celeb_a-lite0-tiny --as-is
    make check-data IMAGES=faces.csv MODEL=... AS_IS=1    a table: its labels, too

A table is CSV or Parquet with the column `image`, paths that begin where the table lies, and columns named as the
model's attributes, or as its tasks of classes and numbers.

Says in a sentence each what differs and leaves a page with both side by side. Ends with 0 if nothing differs by more
than chance and the thresholds of schemas/drift.pbtxt, with 1 if something does, and with 2 if it can't be told.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import warnings
from collections.abc import Sequence

from components.page.formatting import plural
from pipeline.predict import add_detection, detection_of
from pipeline.pushed import model_folder

DRIFTED, CAN_NOT_TELL = 1, 2


def parser() -> argparse.ArgumentParser:
    """Of the command's arguments."""
    arguments = argparse.ArgumentParser(
        "python -m pipeline.check_data", description="New images against a model's own."
    )
    arguments.add_argument("images", nargs="+", help="files, folders (with all below them) or patterns; or a table")
    arguments.add_argument("--model", required=True, help="the experiment whose pushed model it is, or a folder of one")
    arguments.add_argument("--out", default="drift.html", help="the page to write")
    arguments.add_argument("--most", type=int, default=1000, help="photographs to look at, drawn by chance from more")
    add_detection(arguments)
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    """Compares, and ends as the module's docstring says."""
    asked = parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # keras_models/_environment.py says why
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            drifted = check_data(asked)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        if os.environ.get("VERBOSE"):
            raise
        print(f"facetfx: {error}", file=sys.stderr)
        sys.exit(CAN_NOT_TELL)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        sys.exit(CAN_NOT_TELL)
    sys.exit(DRIFTED if drifted else 0)


def check_data(asked: argparse.Namespace) -> bool:
    """Looks at the photographs, says what differs and writes the page; returns whether anything drifted.

    Raises:
        ValueError: for a model that faces can't be shown to, or one of an earlier facetfx; if no image was answered.
        OSError: if there are no such images or no such model, or the page can't be written.
        ModuleNotFoundError: if faces are to be found without dlib.
    """
    from tqdm import tqdm

    from components.drift.comparison import find_drift, read_thresholds
    from components.drift.reference import LABEL, read_reference
    from components.prediction.answers import categories
    from components.prediction.drift_page import FEW, answered, drift_page
    from components.prediction.model import PushedModel, read_contract
    from components.prediction.new_images import measure_new
    from components.prediction.new_labels import add_labels, is_table, read_table
    from components.prediction.photographs import find_photographs
    from components.prediction.predictor import Predictor

    if asked.most < 1:
        raise ValueError(f"--most is 1 or more; received {asked.most}.")
    out = os.path.abspath(os.path.expanduser(asked.out))
    if os.path.isdir(out) or not os.access(os.path.dirname(out), os.W_OK):
        raise OSError(f"OUT is a page to write, and {asked.out!r} can't be written.")
    folder = model_folder(os.path.expanduser(asked.model))
    paths = list(map(os.path.expanduser, asked.images))
    outputs = read_contract(folder)["signatures"]["serving_default"]
    table = read_table(paths[0], outputs) if len(paths) == 1 and is_table(paths[0]) else None
    photographs, others = (table.photographs, 0) if table else find_photographs(paths)
    known, thresholds = read_reference(folder), read_thresholds()
    model = PushedModel(folder)
    predictor = Predictor(model, detection_of(asked))
    drawn = random.Random(0).sample(photographs, min(asked.most, len(photographs)))
    progress = tqdm(drawn, "Looking", unit=" photographs", disable=None)  # on a terminal
    found = measure_new(progress, model, predictor, known, aligned=not asked.as_is)
    if table:
        add_labels(found, known, table)
    if not found.values:
        reasons = [*found.left_out, *(f"{name}: {reason}" for name, reason in found.not_compared.items())]
        raise ValueError(f"Of {plural(found.photographs, 'photograph')} none could be compared: {'; '.join(reasons)}.")
    names = categories(model.outputs)
    names |= {f"{LABEL}{name}": each for name, each in names.items()}
    drift = find_drift(known, found.values, names, thresholds)
    drifted = [(dataset, each) for dataset, of in drift.items() for each in of if each.drifted]
    for dataset, each in drifted:
        print(f"{f'{dataset}: ' if len(drift) > 1 else ''}{each.sentence()}")
    if not found.mostly_answered:
        print(found.unanswered)
    for name, reason in found.not_compared.items():
        print(f"{name} is not compared: {reason}.")
    count = answered([each for of in drift.values() for each in of])
    if count < FEW:
        print(f"Only {plural(count, 'image')} answered: differences that aren't large don't show.")
    with open(out, "w", encoding="utf-8") as file:
        file.write(drift_page(model.name, model.version, found, drift).render())
    left_out = f"; {plural(others, 'other file')} left out" if others else ""
    why = "".join(f"; {reason}: {count}" for reason, count in found.left_out.most_common())
    print(
        f"{len(drifted)} of {plural(sum(map(len, drift.values())), 'statistic')} drifted. Of "
        f"{plural(len(photographs), 'photograph')} {found.photographs:,} looked at{left_out}{why}. Page: {asked.out}"
    )
    return bool(drifted) or not found.mostly_answered


if __name__ == "__main__":
    main()
