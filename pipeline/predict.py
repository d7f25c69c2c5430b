"""Answers for photographs: finds the faces, aligns them as the model's training images are, writes a row a face.

    make predict IMAGES=photos MODEL=mgg_net/celeb_a-lite0-tiny OUT=faces.csv
    python -m pipeline.predict photos/*.jpg --model mgg_net/celeb_a-lite0-tiny --out faces.parquet --min-face 60

Started again, it skips what is done, which lies in OUT.parts. On a cluster: --beam="--runner=FlinkRunner …".
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import shlex
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from components.page.formatting import plural
from components.prediction.places import MAPS, PARTS, TABLES
from pipeline import interruption
from pipeline.lock import InUseError, held
from pipeline.pushed import model_folder

if TYPE_CHECKING:
    from components.prediction.predictor import Detection

_STOPPED = "\nStopped. The same command goes on with the photographs that are not done."
_SEVERAL_WORKERS = 200  # photographs from which on it pays to start more of them


def parser() -> argparse.ArgumentParser:
    """Of the command's arguments."""
    arguments = argparse.ArgumentParser("python -m pipeline.predict", description="Answers for photographs.")
    arguments.add_argument("images", nargs="+", help="files, folders (with all below them) or patterns")
    arguments.add_argument(
        "--model", required=True, help="the experiment whose pushed model answers, or a folder of one"
    )
    arguments.add_argument("--out", required=True, help="the table to write, .csv or .parquet")
    add_detection(arguments)
    arguments.add_argument(
        "--beam", default="", help='options of Beam: where it runs, with how many workers; as --beam="--runner=…"'
    )
    return arguments


def add_detection(arguments: argparse.ArgumentParser) -> None:
    """Adds how faces are looked for, which `detection_of` reads."""
    arguments.add_argument("--as-is", action="store_true", help="ask about whole images, which are aligned already")
    arguments.add_argument(
        "--detector", default="hog", choices=["hog", "cnn"], help="hog is fast, cnn finds turned faces"
    )
    arguments.add_argument("--threshold", type=float, default=0.0, help="faces of a higher score only")
    arguments.add_argument("--min-face", type=int, default=40, help="pixels, the side of the smallest face")
    arguments.add_argument("--min-share", type=float, default=0.05, help="the same as a share of the longer side")


def detection_of(asked: argparse.Namespace) -> Detection | None:
    """How faces are looked for; None where images are asked about as they are."""
    from components.prediction.predictor import Detection

    return None if asked.as_is else Detection(asked.detector, asked.threshold, asked.min_share, asked.min_face)


def main(argv: Sequence[str] | None = None) -> None:
    """Answers and writes; what can't be done ends the process with a line that says why."""
    asked = parser().parse_args(argv)
    # Before TensorFlow is imported, which reads them once.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # keras_models/_environment.py says why
    try:
        _check_out(asked.out)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            predict(asked)
    except (ValueError, OSError, ModuleNotFoundError, InUseError) as error:
        if os.environ.get("VERBOSE"):
            raise
        sys.exit(f"facetfx: {error}")
    except KeyboardInterrupt:
        sys.exit(_STOPPED)
    except Exception:
        if interruption.asked():  # Beam raises what it likes then
            sys.exit(_STOPPED)
        raise


def _check_out(asked):
    out = os.path.abspath(os.path.expanduser(asked))
    if not out.lower().endswith(TABLES):
        raise ValueError(f"OUT is a table, {' or '.join(TABLES)}; received {asked!r}.")
    if os.path.isdir(out):
        raise ValueError(f"OUT is a table; {asked!r} is a folder.")
    if "://" in asked:
        return
    folder = next(each for each in pathlib.Path(out).parents if each.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise OSError(f"OUT is {asked!r}, but nothing can be written in {str(folder)!r}.")


def predict(asked: argparse.Namespace) -> None:
    """Answers what isn't answered yet, and writes the table of all.

    Raises:
        ValueError: for a model that faces can't be shown to, or one of an earlier facetfx, and for options that Beam
            doesn't have.
        OSError: if there are no such images or no such model, or OUT can't be written.
        ModuleNotFoundError: if faces are to be found without dlib.
        InUseError: if another process writes to the same OUT.
    """
    from components.beam_workers import check_options
    from components.prediction.beam import Predict
    from components.prediction.model import PushedModel
    from components.prediction.parts import Parts, write_table
    from components.prediction.photographs import find_photographs
    from components.prediction.predictor import Predictor, table_columns

    logging.getLogger("apache_beam").setLevel(logging.ERROR)  # its workers warn of their own options
    out = os.path.expanduser(asked.out)
    parts_folder, maps = f"{out}{PARTS}", f"{out}{MAPS}"
    folder = model_folder(os.path.expanduser(asked.model))
    photographs, others = find_photographs(list(map(os.path.expanduser, asked.images)))
    detection, beam_options = detection_of(asked), shlex.split(asked.beam)
    check_options(beam_options)
    model = PushedModel(folder)
    Predictor(model, detection)  # what it can't do is said here, not by a worker
    columns = table_columns(model, asked.as_is)
    settings = [os.path.abspath(folder), model.name, model.version, detection and dataclasses.asdict(detection)]
    key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]
    parts = Parts(parts_folder, key)
    # Of storage elsewhere nobody knows who else is at it.
    with contextlib.nullcontext() if "://" in out else held(parts_folder, "OUT"):
        done = parts.done()
        left = [photograph for photograph in photographs if (photograph.path, photograph.version) not in done]
        left_out = f", {plural(others, 'other file')} left out" if others else ""
        _say(
            f"{plural(len(photographs), 'photograph')}{left_out}; {len(photographs) - len(left):,} of them answered "
            f"before. Model: {model.name}, version {model.version}."
        )
        if parts.has_others:
            _say(f"{asked.out} has answers of another model, or of other settings: they give way to these.")
        if left:
            _answer(left, Predict(folder, detection, parts, os.path.join(maps, key)), beam_options)
        rows = collections.Counter()

        def counted():
            for each in parts.rows(photographs):
                for row in each:
                    rows["problem" in row] += 1
                    yield row

        write_table(out, columns, counted())
        parts.remove_others()
        _remove_others(maps, key)
    answered, without = plural(rows[False], "face" if detection else "image"), plural(rows[True], "row")
    _say(f"{asked.out}: {answered} answered, {without} without an answer (the column `problem` says why).")


def _answer(photographs, step, beam_options):
    """Runs the step over the photographs; what it gives lies in its parts then."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from components.beam_progress import ShowProgress
    from components.prediction.beam import TOGETHER

    together = [photographs[first : first + TOGETHER] for first in range(0, len(photographs), TOGETHER)]
    options = PipelineOptions(beam_options or _local_workers(len(photographs)))
    with (
        ShowProgress("Answering", len(photographs), unit="photographs") as progress,
        beam.Pipeline(options=options) as pipeline,
    ):
        _ = pipeline | beam.Create(together, reshuffle=True) | beam.ParDo(step) | progress.count()


def _remove_others(maps, key):
    """Removes the label maps of other models and settings."""
    import tensorflow as tf

    for name in tf.io.gfile.listdir(maps) if tf.io.gfile.isdir(maps) else []:
        if name.strip("/") != key:
            tf.io.gfile.rmtree(os.path.join(maps, name))


def _local_workers(count):
    import tensorflow as tf

    processors = len(os.sched_getaffinity(0))
    if tf.config.list_physical_devices("GPU"):
        return []  # which the first process takes as a whole
    if count < _SEVERAL_WORKERS or processors == 1:
        return []
    return ["--direct_running_mode=multi_processing", f"--direct_num_workers={processors}"]


def _say(line):
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    interruption.end_in_a_line()
    main()
