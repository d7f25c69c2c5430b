"""Photographs as people have them against the data set's own crops: groups of CelebA's test faces, turned and scaled.

    python -m tests.benchmarks.own_photographs CELEBA_FOLDER MODEL [--groups 60]
    python -m tests.benchmarks.own_photographs IBUG_FOLDER MODEL --ibug

MODEL is an experiment with a pushed model, or its folder. Prints the share of faces that are found, how often a face's
decisions in a group are those on its own crop, how often both are right, and photographs a second. Of iBUG 300-W's
photographs, which have no such labels: how often decisions are those on the crop by the annotated points.
"""

from __future__ import annotations

import argparse
import io
import itertools
import pathlib
import time

import numpy as np
from PIL import Image

from components.config import DatasetConfig
from components.datasets import build_dataset
from components.faces.detector import Face
from components.faces.frame import aligned
from components.prediction.model import PushedModel
from components.prediction.predictor import Detection, Predictor, png
from pipeline.pushed import model_folder
from tests.benchmarks.landmark_annotator import read_pts

TASK = "attributes"
FACES = 4  # of a group
CELL = 480  # pixels of the square that each is put into
GREY = (96, 104, 96)
FIVE_OF_68 = (45, 42, 36, 39, 33)  # the points of dlib's five-point predictor: corners of the eyes, and the nose


def main() -> None:
    """Measures and prints."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder")
    arguments.add_argument("model")
    arguments.add_argument("--groups", type=int, default=60)
    arguments.add_argument("--ibug", action="store_true")
    asked = arguments.parse_args()
    if asked.ibug:
        with_annotated_points(pathlib.Path(asked.folder), PushedModel(model_folder(asked.model)))
    else:
        in_groups(asked)


def with_annotated_points(folder: pathlib.Path, model: PushedModel) -> None:
    """Of photographs with 68 points: decisions by dlib's own points and by theirs."""
    names, frame = model.outputs[TASK]["names"], model.frames[TASK]
    predict = Predictor(model, Detection())
    found, expected, seconds = [], [], 0.0
    paths = sorted(folder.rglob("*.pts"))
    for path in paths:
        photograph = np.asarray(Image.open(path.with_suffix(".jpg")).convert("RGB"))
        start = time.perf_counter()
        ((first, *_),) = predict([photograph])
        seconds += time.perf_counter() - start
        if "problem" in first.row:
            continue
        found.append([bool(first.row[f"{TASK}.{name}"]) for name in names])
        points = read_pts(path)[list(FIVE_OF_68)]
        height = model.image_size[0]
        crop, _ = aligned(photograph, Face((0, 0, 1, 1), 1.0, points + 0.5), frame, height, 2 * height)
        expected.append(model.answers([png(crop)])[0][f"{TASK}_decisions"] == 1)
    print(f"{len(paths)} photographs")
    print(f"a face found:                              {len(found) / len(paths):.1%}")
    print(f"decisions as on the annotated points' crop: {np.mean(np.array(found) == np.array(expected)):.1%}")
    print(f"photographs a second:                      {len(paths) / seconds:.1f}")


def in_groups(asked: argparse.Namespace) -> None:
    """Of CelebA's test faces in groups."""
    dataset = build_dataset(DatasetConfig("celeb_a", {"landmarks": False}), asked.folder)
    test = (reference for reference in dataset.references() if reference.split == "test")
    records = [dataset.load(reference) for reference in itertools.islice(test, FACES * asked.groups)]
    model = PushedModel(model_folder(asked.model))
    names = model.outputs[TASK]["names"]
    labels = np.array([record.labels[TASK] for record in records]) == 1
    crops = np.array([row[f"{TASK}_decisions"] for row in model.answers([record.image for record in records])]) == 1

    random = np.random.default_rng(0)
    predict = Predictor(model, Detection())
    found, seconds = {}, 0.0
    for first in range(0, len(records), FACES):
        photograph, middles = _group([record.image for record in records[first : first + FACES]], random)
        start = time.perf_counter()
        (answered,) = predict([photograph])
        seconds += time.perf_counter() - start
        for each in answered:
            if "problem" in each.row:
                continue
            middle = each.row["left"] + each.row["width"] / 2, each.row["top"] + each.row["height"] / 2
            distances = [np.hypot(*np.subtract(middle, other)) for other in middles]
            nearest = int(np.argmin(distances))
            if distances[nearest] < CELL / 4:
                found[first + nearest] = [bool(each.row[f"{TASK}.{name}"]) for name in names]
    places = sorted(found)
    decisions = np.array([found[place] for place in places])
    print(f"{len(records)} faces in {asked.groups} photographs of {FACES * CELL // 2} x {2 * CELL} pixels")
    print(f"found:                          {len(places) / len(records):.1%}")
    print(f"decisions as on the own crop:   {(decisions == crops[places]).mean():.1%}")
    print(f"right in the photograph:        {(decisions == labels[places]).mean():.1%}")
    print(f"right on the own crop, of them: {(crops[places] == labels[places]).mean():.1%}")
    print(f"photographs a second:           {asked.groups / seconds:.1f}")


def _group(images, random):
    """Two rows of faces, turned by up to 15 degrees, of 0.8 to 1.8 times their size; and their middles."""
    canvas = Image.new("RGB", (CELL * FACES // 2, 2 * CELL), GREY)
    middles = []
    for place, encoded in enumerate(images):
        image = Image.open(io.BytesIO(encoded)).convert("RGB")
        scale, angle = random.uniform(0.8, 1.8), random.uniform(-15, 15)
        image = image.resize([round(scale * side) for side in image.size], Image.Resampling.BICUBIC)
        image = image.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=GREY)
        middle = CELL * (place % (FACES // 2)) + CELL // 2, CELL * (place // (FACES // 2)) + CELL // 2
        canvas.paste(image, (middle[0] - image.width // 2, middle[1] - image.height // 2))
        middles.append(middle)
    return np.asarray(canvas), middles


if __name__ == "__main__":
    main()
