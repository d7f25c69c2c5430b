"""Holds new pictures against those that a pushed model was tried on in training: do they and its answers look alike?

    make check-data IMAGES=photos MODEL=mgg_net/celeb_a-lite0-tiny OUT=drift.html
    python -m pipeline.check_data photos/*.jpg --model mgg_net/celeb_a-lite0-tiny --as-is

Says in a sentence each what differs, leaves a page with both side by side, and ends with 1 if anything differs by more
than chance and the bars of schemas/drift.pbtxt.
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

_FEW = 30  # pictures with an answer, below which only large differences show


def parser() -> argparse.ArgumentParser:
    """Of the command's arguments."""
    arguments = argparse.ArgumentParser(
        "python -m pipeline.check_data", description="New pictures against a model's own."
    )
    arguments.add_argument("images", nargs="+", help="files, folders (with all below them) or patterns")
    arguments.add_argument("--model", required=True, help="the experiment whose pushed model it is, or a folder of one")
    arguments.add_argument("--out", default="drift.html", help="the page to write")
    arguments.add_argument("--most", type=int, default=1000, help="pictures to look at, drawn by chance from more")
    add_detection(arguments)
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    """Compares; ends with 1 where pictures differ, and with a line that says why where it can't be done."""
    asked = parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # keras_models/_environment.py says why
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            counted = check_data(asked)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        if os.environ.get("VERBOSE"):
            raise
        sys.exit(f"facetfx: {error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped.")
    sys.exit(1 if counted else 0)


def check_data(asked: argparse.Namespace) -> int:
    """Looks at the pictures and writes the page; returns how much differs.

    Raises:
        ValueError: for a model that faces can't be shown to, or one of an earlier facetfx; if no picture was answered.
        OSError: if there are no such images or no such model, or the page can't be written.
        ModuleNotFoundError: if faces are to be found without dlib.
    """
    from tqdm import tqdm

    from components.prediction.comparison import differences
    from components.prediction.comparison_page import comparison_page
    from components.prediction.model import PushedModel
    from components.prediction.new_pictures import look_at
    from components.prediction.photographs import find_photographs
    from components.prediction.predictor import Predictor
    from components.serving.reference import categories, read_reference

    if asked.most < 1:
        raise ValueError(f"--most is 1 or more; received {asked.most}.")
    folder = model_folder(os.path.expanduser(asked.model))
    photographs, _ = find_photographs(list(map(os.path.expanduser, asked.images)))
    known = read_reference(folder)
    model = PushedModel(folder)
    predictor = Predictor(model, detection_of(asked))
    drawn = random.Random(0).sample(photographs, min(asked.most, len(photographs)))
    found = look_at(tqdm(drawn, "Looking", unit=" pictures"), model, predictor, known)
    if not found.values:
        reasons = "; ".join(found.unreadable) or "no face was found in any"
        raise ValueError(f"Of {plural(found.looked_at, 'picture')} none was answered: {reasons}.")
    words = categories(model.outputs)
    compared = {dataset: differences(known[dataset], values, words) for dataset, values in found.values.items()}
    page = comparison_page(model.name, model.version, found, compared).render()
    with open(asked.out, "w", encoding="utf-8") as file:
        file.write(page)
    counted = [(dataset, each) for dataset, of in compared.items() for each in of if each.counts]
    for dataset, each in counted:
        print(f"{f'{dataset}: ' if len(compared) > 1 else ''}{each.sentence()}")
    many = min(len(next(iter(values.values()))) for values in found.values.values())
    if many < _FEW:
        print(f"Only {plural(many, 'image')} answered: smaller differences than the largest don't show.")
    print(
        f"{plural(len(counted), 'difference')} of {plural(sum(map(len, compared.values())), 'comparison')}; "
        f"{plural(found.looked_at, 'picture')} looked at, {found.unreadable.total()} unreadable, "
        f"{found.without_face} without a face. Page: {asked.out}"
    )
    return len(counted)


if __name__ == "__main__":
    main()
