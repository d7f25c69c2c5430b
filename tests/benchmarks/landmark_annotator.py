"""How well and how fast LandmarkAnnotator's detector works.

    .venv/bin/python -m tests.benchmarks.landmark_annotator ../shared/data/ibug68
    .venv/bin/python -m tests.benchmarks.landmark_annotator ../shared/data/celeba --speed --limit 2000
    .venv/bin/python -m tests.benchmarks.landmark_annotator ../shared/data/celeba --speed --limit 2000 \
        --direct_running_mode=multi_processing --direct_num_workers=2

The first compares with the .pts files of an iBUG 300-W folder; the others run the executor, with any Beam options.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from components.images.decoding import decode
from components.landmark_annotator.detector import LandmarkDetector, normalised
from components.tasks.landmarks.markup import MARKUPS

FAILURE = 0.10
NOT_INDEPENDENT = (
    "NB not an independent test: dlib's 68-point predictor was trained on iBUG 300-W, which contains the Helen train\n"
    "set and AFW. These figures say that the annotator works, not how well dlib generalises."
)


@dataclasses.dataclass(frozen=True)
class Face:
    """An image with its subset's name and its true points, [68, 2] in [0, 1]."""

    subset: str
    image: np.ndarray
    truth: np.ndarray


def read_pts(path: Path) -> np.ndarray:
    """A .pts file -> [L, 2] x, y as pixel indices from 0 (the file counts from 1)."""
    lines = path.read_text().partition("{")[2].partition("}")[0].split("\n")
    return np.array([line.split() for line in lines if line.strip()], float) - 1


def read_faces(folder: Path) -> list[Face]:
    """Every image of `folder` that has a .pts file; its subset is the first folder's name."""
    faces = []
    for path in sorted(folder.rglob("*.pts")):
        image = decode(path.with_suffix(".jpg").read_bytes()).numpy()
        faces.append(Face(path.relative_to(folder).parts[0], image, normalised(read_pts(path), *image.shape[:2])))
    if not faces:
        raise FileNotFoundError(f"Folder {str(folder)!r} has no .pts file. Expected an iBUG 300-W folder, or --speed.")
    return faces


def error(face: Face, points: np.ndarray | None) -> float:
    """Mean distance of the points over the inter-ocular distance, in pixels; NaN if the face was not found."""
    if points is None:
        return np.nan
    pixels = face.image.shape[1::-1]
    distances = np.linalg.norm((points - face.truth) * pixels, axis=1)
    return float(distances.mean() / MARKUPS[68].interocular(face.truth * pixels))


def print_accuracy(folder: Path) -> None:
    """Mean error, faces not found and failures, over all and for each subset."""
    faces, detect = read_faces(folder), LandmarkDetector()
    errors = np.array([error(face, detect(face.image)) for face in faces])
    subsets = np.array([face.subset for face in faces])
    print(f"{'':8}{'faces':>7}{'not found':>11}{'mean error':>12}{'median':>9}{'failures':>10}")
    for name in ("all", *sorted(set(subsets))):
        chosen = errors if name == "all" else errors[subsets == name]
        failed = np.isnan(chosen) | (chosen > FAILURE)
        print(
            f"{name:8}{len(chosen):7}{np.isnan(chosen).mean():11.2%}{np.nanmean(chosen):12.4f}"
            f"{np.nanmedian(chosen):9.4f}{failed.mean():10.2%}"
        )
    print("Error: mean point distance / distance of the outer eye corners, over the faces found.")
    print(f"Failures: error above {FAILURE:.2f}, or not found.\n{NOT_INDEPENDENT}")


def print_speed(folder: Path, limit: int | None, beam_args: list[str]) -> None:
    """Images a second of the whole step (reading, detection, writing) and the peak memory of this process."""
    import tensorflow as tf
    from tfx.types import artifact_utils, standard_artifacts
    from tfx.types.experimental import simple_artifacts

    from components.landmark_annotator.executor import COUNTS_FILE, Executor
    from components.record import FaceRecord

    paths = sorted(folder.rglob("*.jpg"))[:limit]
    with tempfile.TemporaryDirectory() as scratch:
        examples, annotated = standard_artifacts.Examples(), standard_artifacts.Examples()
        counts = simple_artifacts.Metrics()
        for artifact, name in ((examples, "examples"), (annotated, "annotated"), (counts, "counts")):
            artifact.uri = str(Path(scratch, name))
            Path(artifact.uri).mkdir()
        examples.split_names = artifact_utils.encode_split_names(["train"])
        split = Path(artifact_utils.get_split_uri([examples], "train"))
        split.mkdir()
        with tf.io.TFRecordWriter(str(split / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
            for path in paths:
                record = FaceRecord(id=path.stem, dataset=folder.name, image=path.read_bytes())
                writer.write(record.to_example().SerializeToString())
        started = time.perf_counter()
        executor = Executor(Executor.Context(beam_pipeline_args=beam_args))
        executor.Do(
            {"examples": [examples]},
            {"annotated_examples": [annotated], "counts": [counts]},
            {"label": "landmarks", "code_version": ""},
        )
        seconds = time.perf_counter() - started
        print(json.loads(Path(counts.uri, COUNTS_FILE).read_text()))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(paths)} images in {seconds:.1f} s: {len(paths) / seconds:.1f} images/s; peak {memory:,.0f} MiB")


def main() -> None:
    """Reads the command line; what it doesn't know is for Beam."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--speed", action="store_true", help="time the executor on the folder's .jpg files")
    parser.add_argument("--limit", type=int, help="with --speed: so many images")
    options, beam_args = parser.parse_known_args()
    if options.speed:
        sys.argv = sys.argv[:1]  # TFX's executor reads the command line, too
        print_speed(options.folder, options.limit, beam_args)
    else:
        print_accuracy(options.folder)


if __name__ == "__main__":
    main()
